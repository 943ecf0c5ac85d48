"""Which rows hold what fixed while one count grows, and what follows from that."""
