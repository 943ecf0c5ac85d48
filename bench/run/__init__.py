"""Plan -> workers -> journal. No torch here: a worker is started by name."""
