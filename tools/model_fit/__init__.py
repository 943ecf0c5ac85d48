"""Fit the prediction model to measurements, and report its errors. Not part of the package."""
