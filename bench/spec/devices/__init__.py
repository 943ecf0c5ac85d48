"""Names of devices, and the devices that times are predicted for."""
