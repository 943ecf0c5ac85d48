"""What explains time in a table of observations, ours or others': elasticities, shares of R2, an additive model."""
