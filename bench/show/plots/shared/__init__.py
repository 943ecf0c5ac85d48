"""What all pictures are made with: looks and axes, rows and panels, files."""
