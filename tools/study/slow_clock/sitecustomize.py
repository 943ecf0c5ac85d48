"""On a side's import path (`bench ab --b-path tools/study/slow_clock`) its clock runs 5 % fast, so that all its times read 5 % longer."""

import time

_true = time.perf_counter_ns
time.perf_counter_ns = lambda: _true() * 21 // 20
