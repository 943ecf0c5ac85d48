"""Which rows form a sweep, what a layer costs by it, and from how many channels on separable is faster."""
