"""Results for other programs and as Markdown."""
