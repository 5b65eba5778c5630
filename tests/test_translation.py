"""README.es.md says what README.md says: the same headings, commands, code, links and table rows,
in the same order.
"""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^```\w*\n.*?^```$", flags=re.DOTALL | re.MULTILINE)
# the measured figures, which `scripts/bench --record` rewrites in one file only
FIGURES = re.compile(r"<!-- bench headlines -->.*?<!-- /bench -->", flags=re.DOTALL)
BLOB = "https://github.com/supabase-jobs/supabase-jobs/blob/main/"


def _read(name: str) -> str:
    return FIGURES.sub("", (ROOT / name).read_text(encoding="utf-8"))


ENGLISH, SPANISH = _read("README.md"), _read("README.es.md")


def _headings(text: str) -> list[tuple[str, str]]:
    """The level and the text of each heading outside code."""
    return re.findall(r"^(#+) (.+)$", FENCED.sub("", text), flags=re.MULTILINE)


def _sections(text: str) -> list[str]:
    return re.split(r"^#+ .+$", FENCED.sub("", text), flags=re.MULTILINE)


def _code(text: str) -> list[str]:
    """The code in the running text, without blanks that a line break adds."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


def _targets(text: str) -> list[str]:
    """Where the links lead; a heading of the same file is its number."""
    anchors = [
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for _, heading in _headings(text)
    ]
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [
        f"heading {anchors.index(target[1:])}" if target.startswith("#") else target
        for target in found
    ]


def test_the_headings_have_the_same_number_and_levels() -> None:
    levels = [level for level, _ in _headings(ENGLISH)]
    assert len(levels) >= 5
    assert [level for level, _ in _headings(SPANISH)] == levels


def test_the_code_blocks_are_identical() -> None:
    assert FENCED.findall(SPANISH) == FENCED.findall(ENGLISH)


def test_each_section_names_the_same_commands_options_and_files() -> None:
    for english, spanish in zip(_sections(ENGLISH), _sections(SPANISH), strict=True):
        assert Counter(_code(spanish)) == Counter(_code(english))


def test_the_links_and_the_picture_are_the_same() -> None:
    english, spanish = _targets(ENGLISH), _targets(SPANISH)
    assert [english.pop(0), spanish.pop(0)] == [f"{BLOB}README.es.md", f"{BLOB}README.md"]
    assert spanish == english


def test_the_tables_have_the_same_rows_by_code() -> None:
    """The cells with code, exit codes or links, which no translation changes."""
    for english, spanish in zip(_sections(ENGLISH), _sections(SPANISH), strict=True):
        rows = [
            [row.split("|")[1:-1] for row in re.findall(r"^\|.*$", text, re.MULTILINE)]
            for text in (english, spanish)
        ]
        assert [len(row) for row in rows[1]] == [len(row) for row in rows[0]]
        assert [_fixed(row) for row in rows[1]] == [_fixed(row) for row in rows[0]]


def _fixed(row: list[str]) -> list[object]:
    first = row[0].strip()
    numbers = re.findall(r"\b\d+\b(?=[:,;]|$)", row[-1].strip())
    return [first if re.match(r"[`\d\[]", first) else None, sorted(_code("|".join(row))), numbers]


def test_the_lists_have_the_same_number() -> None:
    for english, spanish in zip(_sections(ENGLISH), _sections(SPANISH), strict=True):
        items = [len(re.findall(r"^- ", text, flags=re.MULTILINE)) for text in (english, spanish)]
        assert items[1] == items[0]
