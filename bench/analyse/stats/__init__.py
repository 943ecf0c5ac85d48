"""Numbers on arrays: estimators, corrections for multiple testing, regression. No run, no rows."""
