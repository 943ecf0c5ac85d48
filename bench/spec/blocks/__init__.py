"""Blocks and networks as data, and their exact costs."""
