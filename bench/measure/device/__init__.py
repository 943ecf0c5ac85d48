"""What the worker may do with a device, on a CPU, an accelerator or the simulated one."""
