"""Pictures inside a page: an SVG file of ours as a piece of HTML, smaller, and with names of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from bench.show.plots.shared.style import HEADING

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_POINT = 4 / 3  # pixels


@dataclass(frozen=True, slots=True)
class Inlined:
    """A picture: its title, how wide it and how high its drawn title is in pixels, and its `<svg>` element as text."""

    name: str
    title: str
    width: int
    heading: int
    svg: str


def inline(text: str, name: str) -> Inlined | None:
    """The picture `name` from the text of its file; None where that is empty."""
    if not text.strip():
        return None
    root = ElementTree.fromstring(text)
    title = " ".join((root.findtext(f"{_SVG}title") or name).split())
    for tag in ("title", "desc", "metadata"):
        for odd in root.findall(f"{_SVG}{tag}"):
            root.remove(odd)
    for defs in root.findall(f"{_SVG}defs"):  # its style would speak of the whole page, which says the same
        for odd in defs.findall(f"{_SVG}style"):
            defs.remove(odd)
    heading = _heading(root)
    _rename(root, name)
    box = root.attrib["viewBox"]
    width = round(float(box.split()[2]) * _POINT)
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": title})
    return Inlined(name, title, width, heading, ElementTree.tostring(root, encoding="unicode").replace("\n", " "))


def _heading(root: Element) -> int:
    """Give the drawn title a class, by which a narrow page hides what its caption says; how high it is in pixels, 0 without."""
    for e in root.iter(f"{_SVG}g"):
        found = re.fullmatch(rf"{HEADING}(\d+)", e.get("id", ""))
        if found:
            e.set("class", HEADING)
            return round(int(found[1]) * _POINT)
    return 0


def _rename(root: Element, name: str) -> None:
    """Give what is referred to a name that no other picture has, drop other names, and write tags and numbers short."""
    own = {e.get("id", "") for e in root.iter()} - {""}
    values = [value for e in root.iter() for value in e.attrib.values()]
    used = own & {name for value in values for name in re.findall(r"#([^)\s;]+)", value)}
    for e in root.iter():
        e.tag, e.tail = e.tag.removeprefix(_SVG), None
        if e.text is not None and not e.text.strip():
            e.text = None
        told = {}
        for key, value in e.attrib.items():
            if key == "id" and value not in used:
                continue
            key = key.removeprefix(_XLINK)
            if key == "id":
                value = f"{name}-{value}"
            elif key == "href":
                value = f"#{name}-{value[1:]}"
            else:
                value = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value)
            if key in ("d", "x", "y", "transform", "points"):
                value = _NUMBER.sub(_short, " ".join(value.split()))
            told[key] = value.replace(": ", ":").replace("; ", ";") if key == "style" else value
        e.attrib.clear()
        e.attrib.update(told)
    for e in reversed(list(root.iter())):  # a group without a look or place of its own
        e[:] = [inner for child in e for inner in (child if child.tag == "g" and not child.attrib else [child])]


def _short(number: re.Match[str]) -> str:
    """Two decimals, a hundredth of a point, and four of a small number, which is a scale."""
    value = float(number[0])
    return f"{value:.{4 if abs(value) < 1 else 2}f}".rstrip("0").rstrip(".")
