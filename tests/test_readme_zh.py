"""The Chinese README says what the English one says: block by block the same code, targets, answers and figures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))

ANSWER = re.compile(
    r"(?<![A-Z])(?:FASTER|SLOWER|SAME|AMBIGUOUS|CONFOUNDED|SUPPORTED|REFUTED|EQUIVALENT|UNDECIDED|NOT MEASURED|WOULD BE)(?![A-Z])"
)
FIGURE = re.compile(
    r"\[[-+\d., ]+\](?!\()"  # an interval is one figure
    r"|(?<![A-Za-z0-9_.])[-+±]?\d+(?:[.,]\d+)*(?: ?(?:%|[KMG]i?B|[mu]s|s)(?![A-Za-z0-9])|x(?![A-Za-z0-9]))?"
)
NAME = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]+\d\w*", re.ASCII)  # H100, fp32
ENGLISH_WORDS = {
    word: 3 + i
    for i, words in enumerate(
        "three third thirds, four fourth quarter quarters, five fifth fifths, six sixth, seven seventh, eight eighth, "
        "nine ninth, ten tenth, eleven, twelve, thirteen, fourteen, fifteen, sixteen, seventeen, eighteen, nineteen, "
        "twenty".split(", ")
    )
    for word in words.split()
} | {"quarter of an hour": 15, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "ninety": 90}
ENGLISH_WORD = re.compile(rf"\b(?:{'|'.join(sorted(ENGLISH_WORDS, key=len, reverse=True))})\b", re.IGNORECASE)
CHINESE_DIGITS = "零一二三四五六七八九"
CHINESE_WORD = re.compile("一刻钟|[一二三四五六七八九]?十[一二三四五六七八九]?|[一二三四五六七八九]")


class Block(NamedTuple):
    """A heading, a fenced block, a row of a table, an item of a list or a paragraph, lines joined but for code."""

    kind: str
    text: str


def blocks(text: str) -> Iterator[Block]:
    for part in re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```"):
            yield Block("code", part)
            continue
        for paragraph in re.split(r"\n{2,}", part.strip()):
            # An item and a row start anew on their line, whatever stands above them.
            for piece in re.split(r"\n(?=- |\|)", paragraph):
                kind = {"#": "heading", "|": "row", "-": "item"}.get(piece[:1], "paragraph")
                if piece:
                    yield Block(kind, " ".join(line.strip() for line in piece.splitlines()))


def sections(text: str) -> list[list[Block]]:
    """The blocks under each heading, that one first."""
    found: list[list[Block]] = []
    for block in blocks(text):
        if block.kind == "heading":
            found.append([])
        found[-1].append(block)
    return found


def prose(block: Block) -> str:
    """What is read as words: without spans of code and without the addresses of links."""
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "`", block.text))


def spelt_in_english(word: str) -> int:
    return ENGLISH_WORDS[word.lower()]


def spelt_in_chinese(word: str) -> int:
    if word == "一刻钟":
        return 15
    tens, ten, ones = word.rpartition("十")
    return (CHINESE_DIGITS.index(tens or "一") * 10 if ten else 0) + CHINESE_DIGITS.index(ones or "零")


def figures(block: Block) -> Counter[str]:
    """Every number, with its unit: in digits all of them, in words from three on, as "one" and "two" are articles too."""
    text = prose(block)
    told = Counter(re.sub(r"(?<=\d) (?=[%A-Za-z])", "", figure) for figure in FIGURE.findall(text))
    words = [spelt_in_english(word) for word in ENGLISH_WORD.findall(text)]
    words += [spelt_in_chinese(word) for word in CHINESE_WORD.findall(text)]
    return told + Counter(str(number) for number in words if number > 2)


def differences(english: Block, chinese: Block) -> dict[str, tuple[object, object]]:
    """What the two blocks disagree in."""
    if english.kind == "code":
        facts = {"code": (english.text, chinese.text)}
    else:
        both = (english, chinese)
        facts = {
            "level": tuple(len(b.text) - len(b.text.lstrip("#")) for b in both),
            "spans": tuple(Counter(re.findall(r"`[^`]+`", b.text)) for b in both),
            "targets": tuple(sorted(re.findall(r"\]\(([^)]+)\)", b.text)) for b in both),
            "pictures": tuple(re.findall(r"!\[[^]]*\]\(([^)]+)\)", b.text) for b in both),
            "answers": tuple(Counter(ANSWER.findall(prose(b))) for b in both),
            "figures": tuple(figures(b) for b in both),
            "names": tuple(set(NAME.findall(prose(b))) for b in both),
        }
    return {name: (a, b) for name, (a, b) in facts.items() if a != b}


def without_the_way_over(text: str, other: str) -> str:
    """The text without the paragraph under its title that leads to the other language."""
    title, way, rest = text.split("\n\n", 2)
    assert f"]({other})" in way
    return f"{title}\n\n{rest}"


def pairs(english: str, chinese: str) -> list[tuple[str, Block, Block]]:
    """Each block beside its translation, with the headings that they stand under."""
    ours = sections(without_the_way_over(english, "README.zh-CN.md"))
    theirs = sections(without_the_way_over(chinese, "README.md"))
    assert len(ours) == len(theirs), "the two have other numbers of sections"
    for here, there in zip(ours, theirs, strict=True):
        kinds, kinds_there = ([block.kind for block in side] for side in (here, there))
        assert kinds == kinds_there, f"{here[0].text} / {there[0].text}: other paragraphs, rows or items"
    return [
        (f"{here[0].text} / {there[0].text}", *both)
        for here, there in zip(ours, theirs, strict=True)
        for both in zip(here, there, strict=True)
    ]


def first_cells(text: str) -> list[list[str]]:
    """The first cells of each section's table, without its head."""
    rows = [[b.text.split("|")[1].strip() for b in part if b.kind == "row"][2:] for part in sections(text)]
    return [cells for cells in rows if cells]


def test_both_say_the_same():
    told = [
        f"{where}: {name} of {english.text[:60]!r}: {a}, but in Chinese {b}"
        for where, english, chinese in pairs(ENGLISH, CHINESE)
        for name, (a, b) in differences(english, chinese).items()
    ]
    assert told == []


def test_tables_name_the_same_things_in_the_same_order():
    """Devices and files."""
    named = first_cells(ENGLISH)
    assert first_cells(CHINESE) == named
    assert len(named) == 2


@pytest.mark.parametrize(
    ("pattern", "lie"),
    [
        (r"\d", lambda digit: str(9 - int(digit))),
        (ANSWER.pattern, lambda answer: "SAME" if answer != "SAME" else "SLOWER"),
        (r"(?<=\d) ?%|(?<=\d)x\b", lambda unit: " ms"),
        (r"(?<=\]\()[^)]+", lambda target: "LICENSE"),
        (r"(?<=`)[a-z]+", lambda name: "other"),
        (rf"(?i:{ENGLISH_WORD.pattern})|{CHINESE_WORD.pattern}", lambda word: "17"),
    ],
    ids=["digit", "answer", "unit", "target", "code", "word"],
)
def test_a_fact_changed_in_one_of_the_two_is_found(pattern: str, lie: Callable[[str], str]):
    """Each of them, wherever it stands, in either file."""
    planted = 0
    for _, english, chinese in pairs(ENGLISH, CHINESE):
        for told, other in ((english, chinese), (chinese, english)):
            for fact in re.finditer(pattern, told.text, re.ASCII):
                planted += 1
                wrong = told.text[: fact.start()] + lie(fact[0]) + told.text[fact.end() :]
                assert differences(told._replace(text=wrong), other), wrong[max(0, fact.start() - 60) :][:120]
    assert planted > 4


@pytest.mark.parametrize("left_out", [r"\n- .*", r"\n## .*", r"\n\|.*", r"\n\n[^`#|-].*(?:\n\S.*)*(?=\n\n#)"])
def test_what_one_of_the_two_leaves_out_is_found(left_out: str):
    """An item, a heading, a row, a last paragraph."""
    for shorter in (
        (re.sub(left_out, "", ENGLISH, count=1), CHINESE),
        (ENGLISH, re.sub(left_out, "", CHINESE, count=1)),
    ):
        assert shorter != (ENGLISH, CHINESE)
        with pytest.raises(AssertionError, match="other"):
            pairs(*shorter)


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("sixteen CPU cores", "16 个 CPU 核心"),
        ("sixty pairs, six to twelve", "六十对，六到十二"),
        ("5 % of 3 x 3", "3×3 的 5%"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(english: str, chinese: str):
    assert figures(Block("paragraph", english)) == figures(Block("paragraph", chinese)) != Counter()


def test_a_sign_is_part_of_a_figure():
    assert figures(Block("paragraph", "activations -0.63")) != figures(Block("paragraph", "activations 0.63"))
    assert figures(Block("paragraph", "MACs -0.00 %")) == figures(Block("paragraph", "MAC 数 -0.00%"))
