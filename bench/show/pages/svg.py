"""Pictures inside a page: an SVG file of ours as a piece of HTML, smaller, with names of its own and words that can be selected.

matplotlib draws letters as outlines, so that a picture looks alike everywhere. In a page the outlines, which all pictures
share, stand once; and over each word lies the same word as transparent text, to be found, selected and copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from bench.show.plots.style import HEADING

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_GLYPH = re.compile(r"(DejaVuSans(?:-[A-Za-z]+)?)-([0-9a-f]+)")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_FAMILY = {"DejaVuSans": "l", "DejaVuSans-Bold": "b", "DejaVuSans-Oblique": "o"}
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


@dataclass(slots=True)
class Letters:
    """The outlines of all letters that the pictures of one page use, by name: path and scale."""

    outlines: dict[str, tuple[str, str]] = field(default_factory=dict)

    def svg(self) -> str:
        """An element without size that holds them."""
        letters = sorted(self.outlines.items())
        paths = "".join(f'<path id="{name}" d="{d}" transform="{scale}"/>' for name, (d, scale) in letters)
        hidden = 'class="letters" width="0" height="0" aria-hidden="true" focusable="false"'
        return f"<svg {hidden}><defs>{paths}</defs></svg>"


def inline(text: str, name: str, letters: Letters) -> Inlined | None:
    """The picture `name` from the text of its file; None where that is empty. Its letters go to `letters`."""
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
    _take_letters(root, letters)
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
    """Put each word, which matplotlib leaves as a comment before its outlines, over them; and leave out line breaks."""
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
            written = Element("text", {"transform": "scale(1 -1)", "textLength": f"{length:.0f}", "lengthAdjust": "spacingAndGlyphs"})  # fmt: skip
            written.text = unescape(word.strip())  # matplotlib writes comments as if entities had a meaning there
            child.append(written)
        word = ""
        kept.append(child)
    element[:] = kept
    if element.text is not None and not element.text.strip():
        element.text = None


def _take_letters(root: Element, letters: Letters) -> None:
    for parent in list(root.iter()):
        for defs in [e for e in parent if e.tag == f"{_SVG}defs"]:
            for path in list(defs):
                outline = " ".join(path.get("d", "").split()), path.get("transform", "")
                short = _brief(path.get("id", ""))
                if short and letters.outlines.setdefault(short, outline) == outline:
                    defs.remove(path)
            if not len(defs):
                parent.remove(defs)


def _brief(name: str) -> str:
    """`l38` for DejaVuSans-38; nothing for what is no letter."""
    found = _GLYPH.fullmatch(name)
    return f"{_FAMILY[found[1]]}{found[2]}" if found and found[1] in _FAMILY else ""


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
                value = f"#{name}-{value[1:]}" if value[1:] in used else f"#{_brief(value[1:]) or value[1:]}"
            else:
                value = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value)
            if key in ("d", "x", "y", "transform", "points"):
                value = _NUMBER.sub(_short, " ".join(value.split()))
            told[key] = value.replace(": ", ":").replace("; ", ";") if key == "style" else value
        e.attrib.clear()
        e.attrib.update(_shorter(told) if e.tag == "use" else told)


def _shorter(letter: dict[str, str]) -> dict[str, str]:
    """A letter's place as an x, which is half as long as the same as a transform."""
    moved = re.fullmatch(r"translate\(([-\d.]+)(?: 0)?\)", letter.get("transform", ""))
    if moved is None or "x" in letter:
        return letter
    return {"href": letter["href"], "x": f"{float(moved[1]):.1f}".removesuffix(".0")}


def _short(number: re.Match[str]) -> str:
    """Two decimals, a hundredth of a point, and four of a small number, which is a scale."""
    value = float(number[0])
    return f"{value:.{4 if abs(value) < 1 else 2}f}".rstrip("0").rstrip(".")
