"""A user's block that misbehaves on the side whose variable OWN_SIDE says so."""

from __future__ import annotations

import os
import signal

from torch import Tensor, nn


class block(nn.Conv2d):  # noqa: N801 (a config names it)
    """A convolution; `late` and `killed` only after its first calls, when it is inspected and warm."""

    calls = 0

    def __init__(self, c_in: int, c_out: int, **_: object) -> None:
        if os.environ.get("OWN_SIDE") == "raises":
            raise ValueError("planted")
        super().__init__(c_in, c_out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 30 and os.environ.get("OWN_SIDE") == "late":
            raise ValueError("planted")
        if self.calls == 30 and os.environ.get("OWN_SIDE") == "killed":
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().forward(x)
