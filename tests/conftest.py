"""What every test may rely on."""

from hypothesis import settings

from bench.measure import simulated

simulated.register()  # torch has to know its devices before the first backward of the process

# Examples are drawn from a fixed seed, and none fails for being slow on a busy machine.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
