"""One results folder: journal -> rows -> frames -> summary."""
