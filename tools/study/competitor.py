"""A competing process: seeded bursts on one core, 40 ms busy and 80 ms idle on average, until it is killed."""

import os
import random
import sys
import time

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
coin = random.Random(int(sys.argv[1]))
while os.getppid() != 1:
    until = time.monotonic() + coin.expovariate(1 / 0.04)
    while time.monotonic() < until:
        pass
    time.sleep(coin.expovariate(1 / 0.08))
