"""How much memory must be alive at once: the values between a block's operators, each from its birth to its last use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Word = Literal["conv", "norm", "act", "max_pool", "global_pool", "add"]


class Operator(NamedTuple):
    """One operator; `taken` are the values that it reads: 0 is the block's input, i the output of operator i (from 1).

    Bytes: `put` of its output, `weights` of its parameters, `aside` of what it notes for its backward besides.
    """

    word: Word
    taken: tuple[int, ...]
    put: int
    weights: int = 0
    aside: int = 0


class Step(NamedTuple):
    """One allocation: bytes asked for, and bytes alive with them."""

    asked: int
    alive: int


def peak(steps: Iterable[Step]) -> int:
    """The most bytes alive at once."""
    return max((step.alive for step in steps), default=0)


def inference_steps(operators: Sequence[Operator]) -> Iterator[Step]:
    """The allocations of a forward pass beyond input and weights, if nothing needs a workspace.

    An operator's inputs and output live together, beside what is yet to be read. The block's input is the caller's.
    """
    last = {value: i for i, o in enumerate(operators) for value in o.taken}
    alive = 0
    for i, operator in enumerate(operators):
        alive += operator.put
        yield Step(operator.put, alive)
        for value in operator.taken:
            if value and last[value] == i:
                alive -= operators[value - 1].put


def training_steps(operators: Sequence[Operator], input_bytes: int) -> Iterator[Step]:
    """The same for a forward and a backward pass.

    A convolution, a linear layer, batch norm and max pooling keep their input, ReLU keeps its output. Going back, an
    operator's gradient comes in and those of its inputs go out beside what is still kept, and the gradients of the
    weights pile up. The gradient of the last output is the caller's; where two ways part, their gradients become one.
    """
    last = {value: i for i, o in enumerate(operators) for value in o.taken}
    sizes = [input_bytes, *(o.put for o in operators)]
    keepers = Counter(_kept(o, i) for i, o in enumerate(operators))
    callers = (0, len(operators))  # the input and the last output
    alive = 0
    for i, operator in enumerate(operators):
        alive += operator.put + operator.aside
        yield Step(operator.put + operator.aside, alive)
        for value in operator.taken:
            if value not in callers and last[value] == i and not keepers[value]:
                alive -= sizes[value]
    gradients = {len(operators): _Buffer(0)}
    for i in reversed(range(len(operators))):
        operator, arriving = operators[i], gradients.pop(i + 1)
        if operator.word == "add":
            leaving = [arriving for _ in operator.taken]
        else:
            leaving = [_Buffer(sizes[value], users=0) for value in operator.taken]
        made = operator.weights + sum(buffer.size for buffer in leaving if not buffer.users)
        alive += made
        yield Step(made, alive)
        for value, buffer in zip(operator.taken, leaving, strict=True):
            buffer.users += 1
            alive -= gradients[value].let_go() if value in gradients else 0
            gradients[value] = buffer
        alive -= arriving.let_go() + operator.aside
        kept = _kept(operator, i)
        keepers[kept] -= 1
        if kept is not None and kept not in callers and not keepers[kept]:
            alive -= sizes[kept]


@dataclass(slots=True)
class _Buffer:
    """A gradient's bytes, and of how many values it is the gradient: an addition hands on the one that it gets."""

    size: int
    users: int = 1

    def let_go(self) -> int:
        """One user fewer; the bytes that become free."""
        self.users -= 1
        return 0 if self.users else self.size


def _kept(operator: Operator, place: int) -> int | None:
    """The value that the operator keeps for its backward."""
    if operator.word == "act":
        return place + 1
    return operator.taken[0] if operator.word in ("conv", "norm", "max_pool") else None
