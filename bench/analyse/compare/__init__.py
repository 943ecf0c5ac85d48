"""Two runs, or many of one machine in time."""
