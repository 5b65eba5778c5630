"""`docs/rls-faults.md` as values: the faults that stand in it, and how their parts are written anew.

The document is the only place of their SQL, for other tests too. A fault is a row of the table and a section of the
same number, name, one `sql` block that plants it, and one `text` block with what `verify` says.
"""

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "rls-faults.md"

_SECTION = re.compile(r"^## (\d+)\. (.+?)\n(.*?)(?=^## |\Z)", flags=re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| (\d+) \| \[(.+?)\]\(#.+?\) \| .+? \| (.+?) \|$", flags=re.MULTILINE)
_BLOCK = "```{}\n(.*?)```\n"


@dataclass(frozen=True)
class Documented:
    """One fault as the document has it; `verdict` is the last cell of its row: exit code, and who caught it."""

    number: int
    name: str
    sql: str
    output: str
    verdict: str


def table(text: str) -> dict[int, tuple[str, str]]:
    """Number → name and verdict, as the rows of the table say."""
    return {int(number): (name, verdict) for number, name, verdict in _ROW.findall(text)}


def load() -> list[Documented]:
    """The faults in the document's order. AssertionError where one has no row, or not one block of each kind."""
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = table(text)
    faults = []
    for number, name, body in _SECTION.findall(text):
        [sql] = re.findall(_BLOCK.format("sql"), body, flags=re.DOTALL)
        [output] = re.findall(_BLOCK.format("text"), body, flags=re.DOTALL)
        faults.append(Documented(int(number), name, sql, output, rows[int(number)][1]))
    return faults


def sql(name: str) -> str:
    """The SQL that plants the fault of this name. KeyError where there is none."""
    return {fault.name: fault.sql for fault in load()}[name]


def rewrite(fault: Documented, output: str, verdict: str) -> None:
    """Put what was seen in place of a fault's output and verdict, and leave everything else as it is."""
    text = DOCUMENT.read_text(encoding="utf-8")
    start = text.index(f"\n## {fault.number}. ")
    head, body = text[:start], text[start:]
    body = re.sub(_BLOCK.format("text"), lambda _: f"```text\n{output}```\n", body, count=1, flags=re.DOTALL)
    head = re.sub(
        rf"^(\| {fault.number} \| .+ \| ).+? \|$", lambda row: f"{row[1]}{verdict} |", head, flags=re.MULTILINE
    )
    DOCUMENT.write_text(head + body, encoding="utf-8")
