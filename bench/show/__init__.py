"""Show what a run says: plots, the terminal's table, and two runs side by side. No torch."""
