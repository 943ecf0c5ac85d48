"""Is a depthwise-separable block faster than the standard convolution it replaces, on this machine, and why?"""

__version__ = "0.2.0"
