"""One results folder: journal, rows, tables, and the facts of a run."""
