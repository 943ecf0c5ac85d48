"""What to measure, as plain data: no torch, no pandas."""
