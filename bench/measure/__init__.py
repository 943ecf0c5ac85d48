"""One worker process: build the modules, talk to the device, sample, watch memory and the machine's health."""
