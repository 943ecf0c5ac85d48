"""From a config to trials, with their estimated minutes."""
