"""What the worker may do with a device, on a CPU or an accelerator."""
