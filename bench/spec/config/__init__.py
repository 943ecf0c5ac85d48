"""The config file: its model, its reading, its error messages."""
