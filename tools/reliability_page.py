"""`python -m tools.reliability_page` prints the table of docs/RELIABILITY.md from the `fault` markers of the tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
SUBJECTS = {
    "killed": "Killed, crashed, interrupted",
    "disk": "Disks and files",
    "clocks": "Clocks and suspension",
    "memory": "Memory",
    "machine": "The machine",
    "torch and devices": "torch and devices",
    "folders of others": "Folders of others",
    "own blocks": "Blocks of your own",
    "terminals": "Terminals and pipes",
    "tables": "Tables",
    "configs": "Configs and arguments",
}
"""The headings, by the first word of a marker."""
Proofs = dict[tuple[str, str, str], list[str]]  # (subject, fault, promise) -> links to the tests


def proofs() -> Proofs:
    """What the markers say, in the order of files and tests. ValueError for a marker that is not three texts."""
    found: Proofs = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for marker in _markers(node):
                said = tuple(getattr(argument, "value", None) for argument in marker.args)
                if (
                    len(said) != 3
                    or marker.keywords
                    or said[0] not in SUBJECTS
                    or not all(isinstance(s, str) for s in said)
                ):
                    raise ValueError(
                        f"{path.name}:{marker.lineno}: a fault has a subject of {[*SUBJECTS]}, a fault and a promise"
                    )
                found.setdefault(said, []).append(f"[{_name(node)}](../tests/{path.name})")  # type: ignore[arg-type]
    return found


def markdown() -> str:
    """A table for each subject, with a row for each fault."""
    found = proofs()
    return "\n".join(line for subject, title in SUBJECTS.items() for line in _table(title, subject, found))


def _table(title: str, subject: str, found: Proofs) -> Iterator[str]:
    yield from (f"## {title}\n", "| fault | what bench promises | shown by |", "|---|---|---|")
    for (of, fault, promise), tests in found.items():
        if of == subject:
            yield "| " + " | ".join(cell.replace("|", r"\|") for cell in (fault, promise, "<br>".join(tests))) + " |"
    yield ""


def _markers(node: ast.stmt) -> list[ast.Call]:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return [d for d in decorators if isinstance(d, ast.Call) and ast.unparse(d.func) == "pytest.mark.fault"]


def _name(node: ast.stmt) -> str:
    return node.name.removeprefix("test_").replace("_", " ") if isinstance(node, ast.FunctionDef) else ""


if __name__ == "__main__":
    print(markdown(), end="")
