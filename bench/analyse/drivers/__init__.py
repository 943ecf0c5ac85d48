"""What explains time in any table of observations."""
