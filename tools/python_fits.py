"""Can this interpreter run bench as it is? `python tools/python_fits.py [dev|test]` prints one line and exits 2 where not.

What it needs is read from pyproject.toml. A package older than the oldest tested one is said and let pass.
"""

from __future__ import print_function

import sys

IMPORTED_AS = {
    "pyyaml": "yaml",
    "pytest-benchmark": "pytest_benchmark",
    "pytest-xdist": "xdist",
    "import-linter": "importlinter",
}
TESTS = ("pytest", "hypothesis")  # all of dev that `make test-gpu` needs
SPARED = ("nvidia-ml-py", "hatchling")  # without them a card's readings stay empty; tests of the wheel are skipped


def main(extra=None):
    """Exit status."""
    if sys.version_info < (3, 11):
        print(
            "bench: needs Python 3.11 or newer; %s is %d.%d." % ((sys.executable,) + sys.version_info[:2]),
            file=sys.stderr,
        )
        return 2
    missing, old = look(extra)
    if missing:
        print("bench: " + lack(missing), file=sys.stderr)
        return 2
    if old:
        print("bench: older than any tested release, so untried: %s." % ", ".join(old), file=sys.stderr)
    return 0


def look(extra):
    """The requirements that cannot be imported, and the ones that are older than asked, each as a list of words."""
    import importlib.metadata
    import importlib.util
    import pathlib
    import re
    import tomllib

    root = pathlib.Path(__file__).resolve().parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tools = project["optional-dependencies"]["dev"] if extra else []
    if extra == "test":
        tools = [tool for tool in tools if tool.split(">=")[0] in TESTS]
    wanted = project["dependencies"] + tools
    missing, old = [], []
    for requirement in wanted:
        name, least = re.match(r"([\w.-]+)(?:>=([\d.]+))?", requirement).groups()
        if name.startswith("types-") or name.endswith("-stubs") or name in SPARED:
            continue  # mypy says itself what it lacks
        if importlib.util.find_spec(IMPORTED_AS.get(name, name)) is None:
            missing.append(name)
            continue
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a build of the machine's own, without metadata
        numbers = [[int(n) for n in re.findall(r"\d+", v.split("+")[0])[:3]] for v in (found, least or "0")]
        if numbers[0] < numbers[1]:
            old.append("%s %s (tested from %s)" % (name, found, least))
    return missing, old


def lack(missing):
    """One line: what is missing and how to install it without touching torch."""
    others = [name for name in missing if name != "torch"]
    words = "%s lacks %s. " % (sys.executable, ", ".join(missing))
    if "torch" in missing:
        words += "Install the torch build for this machine first (pytorch.org says which)" + (
            "; then: " if others else "."
        )
    else:
        words += "Its torch can stay as it is: "
    return words + ("%s -m pip install %s" % (sys.executable, " ".join(others)) if others else "")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
