"""A worker process: build torch modules, time them on a device, watch what disturbs the machine."""
