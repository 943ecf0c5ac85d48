"""Read runs back: records, estimates, speedups, frames and the sentence that sums them up. No torch, no plots."""
