"""The least memory of a block: each operator's output, alive from its allocation to its last use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Word = Literal["conv", "norm", "act", "max_pool", "global_pool", "add"]


class Operator(NamedTuple):
    """One operator. `inputs`: the values that it reads; 0 is the block's input, i the output of operator i (from 1).

    Bytes: `output_bytes`, `weights`: parameters, `kept_bytes`: extra data that it keeps for its backward.
    """

    word: Word
    inputs: tuple[int, ...]
    output_bytes: int
    weights: int = 0
    kept_bytes: int = 0


class Step(NamedTuple):
    """One allocation: its bytes, and all bytes alive with them."""

    asked: int
    alive: int


def peak(steps: Iterable[Step]) -> int:
    """The most bytes alive at once."""
    return max((step.alive for step in steps), default=0)


def inference_steps(operators: Sequence[Operator]) -> Iterator[Step]:
    """The allocations of a forward pass beyond input and weights, without workspaces.

    An operator's inputs and output are alive together, beside values that are read later. The caller owns the input.
    """
    last = {value: i for i, o in enumerate(operators) for value in o.inputs}
    alive = 0
    for i, operator in enumerate(operators):
        alive += operator.output_bytes
        yield Step(operator.output_bytes, alive)
        for value in operator.inputs:
            if value and last[value] == i:
                alive -= operators[value - 1].output_bytes


def training_steps(operators: Sequence[Operator], input_bytes: int) -> Iterator[Step]:
    """The same for a forward and a backward pass.

    A convolution, a linear layer, batch norm and max pooling keep their input, ReLU keeps its output. In the backward
    pass an operator's gradient and those of its inputs are alive together, beside what is still kept; gradients of
    weights stay. The caller owns the gradient of the last output. The gradients of a value that is read twice are added
    into one.
    """
    last = {value: i for i, o in enumerate(operators) for value in o.inputs}
    sizes = [input_bytes, *(o.output_bytes for o in operators)]
    keepers = Counter(_kept(o, i) for i, o in enumerate(operators))
    callers = (0, len(operators))  # owned by the caller: the input and the last output
    alive = 0
    for i, operator in enumerate(operators):
        alive += operator.output_bytes + operator.kept_bytes
        yield Step(operator.output_bytes + operator.kept_bytes, alive)
        for value in operator.inputs:
            if value not in callers and last[value] == i and not keepers[value]:
                alive -= sizes[value]
    gradients = {len(operators): _Buffer(0)}
    for i in reversed(range(len(operators))):
        operator, arriving = operators[i], gradients.pop(i + 1)
        if operator.word == "add":
            leaving = [arriving for _ in operator.inputs]
        else:
            leaving = [_Buffer(sizes[value], users=0) for value in operator.inputs]
        made = operator.weights + sum(buffer.size for buffer in leaving if not buffer.users)
        alive += made
        yield Step(made, alive)
        for value, buffer in zip(operator.inputs, leaving, strict=True):
            buffer.users += 1
            alive -= gradients[value].release() if value in gradients else 0
            gradients[value] = buffer
        alive -= arriving.release() + operator.kept_bytes
        kept = _kept(operator, i)
        keepers[kept] -= 1
        if kept is not None and kept not in callers and not keepers[kept]:
            alive -= sizes[kept]


@dataclass(slots=True)
class _Buffer:
    """A gradient's bytes and the number of values that share it: an addition passes its gradient on to both inputs."""

    size: int
    users: int = 1

    def release(self) -> int:
        """Drop one user; the bytes that become free."""
        self.users -= 1
        return 0 if self.users else self.size


def _kept(operator: Operator, place: int) -> int | None:
    """The value that the operator keeps for its backward, if any."""
    if operator.word == "act":
        return place + 1
    return operator.inputs[0] if operator.word in ("conv", "norm", "max_pool") else None
