"""Devices that are not here, for users of the model."""
