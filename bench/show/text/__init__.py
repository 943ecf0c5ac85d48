"""Words and terminal tables. No matplotlib, no HTML."""
