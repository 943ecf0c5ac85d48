"""Pictures inside a page: an SVG file of ours as a piece of HTML, smaller, with names of its own and its words as text.

matplotlib draws letters as outlines, so that a picture looks alike everywhere. In a page each word is text of the same
length instead: smaller, and to be found, selected and copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from bench.show.plots.shared.style import HEADING

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_LETTER = 62.0  # width of a letter, where outlines are 100 high
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
    root = ElementTree.fromstring(text, ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True)))
    title = " ".join((root.findtext(f"{_SVG}title") or name).split())
    for tag in ("title", "desc", "metadata"):
        for odd in root.findall(f"{_SVG}{tag}"):
            root.remove(odd)
    for defs in root.findall(f"{_SVG}defs"):  # its style would speak of the whole page, which says the same
        for odd in defs.findall(f"{_SVG}style"):
            defs.remove(odd)
    heading = _heading(root)
    _spell(root)
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


def _spell(element: Element) -> None:
    """Put each word, which matplotlib leaves as a comment before its outlines, in their place; and leave out line breaks."""
    kept: list[Element] = []
    word = ""
    for child in element:
        child.tail = None
        if not isinstance(child.tag, str):  # a comment's tag is the function that makes one
            word = child.text or ""
            continue
        _spell(child)
        uses = [e for e in child if e.tag == f"{_SVG}use"]
        if word.strip() and uses:
            moved = re.match(r"translate\(([-\d.]+)", uses[-1].get("transform", ""))
            length = (float(moved[1]) if moved else 0.0) + _LETTER
            bold = "Bold" in uses[-1].get(f"{_XLINK}href", "")
            child.tag, child[:] = "text", []
            child.text = unescape(word[1:-1])  # matplotlib writes comments as if entities had a meaning there
            child.attrib["transform"] = f"{child.get('transform', '')} scale(1 -1)"
            child.attrib |= {"textLength": f"{length:.0f}", "lengthAdjust": "spacingAndGlyphs"} | (
                {"class": "bold"} if bold else {}
            )
        word = ""
        kept.append(child)
    element[:] = kept
    if element.text is not None and not element.text.strip():
        element.text = None


def _rename(root: Element, name: str) -> None:
    """Give what is referred to a name that no other picture has, drop other names, and write tags and numbers short."""
    own = {e.get("id", "") for e in root.iter()} - {""}
    values = [value for e in root.iter() for value in e.attrib.values()]
    used = own & {name for value in values for name in re.findall(r"#([^)\s;]+)", value)}
    for e in root.iter():
        e.tag = str(e.tag).removeprefix(_SVG)
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
