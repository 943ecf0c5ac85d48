"""Devices that are not here: where separable would be faster on them."""
