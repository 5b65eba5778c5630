"""Markdown, for a job summary or a comment on a pull request."""

from collections.abc import Sequence

from supabase_jobs.findings import Grid
from supabase_jobs.report.document import (
    Access,
    AccessCell,
    Code,
    Detail,
    Document,
    Entry,
    Findings,
    Legend,
    Limit,
    Omissions,
    Outcomes,
    Prose,
    Strong,
    Table,
    Tables,
)
from supabase_jobs.report.markup import block, code, html, plain, table
from supabase_jobs.report.phrases import counted


def write(document: Document) -> str:
    """The verdict, the numbers and the findings; the rest is collapsed.

    Matrices of outcomes are always there; of the other parts, what fits into the limit.
    """
    matrices = [_outcomes(section.grid) for section in document.of(Outcomes)]
    parts = _Parts(document.limit, kept=matrices)
    marker = f"{document.marker}\n" if document.marker else ""
    parts.add(f"{marker}## supabase-jobs {document.title}: {_prose(document.heading)}\n")
    parts.add(f"{_prose(document.opening)}\n")
    for tables in document.of(Tables):
        parts.add_all(map(_table, tables.tables))
    for findings in document.of(Findings):
        if not findings.folded:
            _add_findings(parts, findings, document)
    for section in document.sections:
        if isinstance(section, Access) and section.folded:
            parts.add_folded(section.folded, _access(section, document))
        elif isinstance(section, Omissions) and section.title:
            parts.add_folded(_omissions_title(section), _omissions(section))
    for findings in document.of(Findings):
        if findings.folded:
            entries = [_entry(entry, document) for entry in findings.entries]
            parts.add_folded(findings.folded, entries)
    return parts.text()


class _Parts:
    """Parts of a document up to a limit; what does not fit is counted. `kept` are parts that are
    always there, at the end.
    """

    def __init__(self, limit: Limit, kept: Sequence[str]) -> None:
        self._limit, self._kept = limit, kept
        self._parts: list[str] = []
        self._room = limit.size - sum(map(self._size, kept))
        self._omitted = 0

    def add(self, part: str, number: int = 1) -> bool:
        """Append a part that stands for a number of things, if it fits."""
        if self._size(part) > self._room:
            self._omitted += number
            return False
        self._parts.append(part)
        self._room -= self._size(part)
        return True

    def add_all(self, parts: "map[str] | Sequence[str]") -> None:
        """Append the parts that fit."""
        for part in parts:
            self.add(part)

    def add_folded(self, title: str, parts: Sequence[str]) -> None:
        """Append a collapsed section with the parts that fit."""
        if not parts:
            return
        start, end = f"<details><summary>{html(title)}</summary>\n", "</details>\n"
        self._room -= self._size(end)
        if self.add(start):
            self.add_all(parts)
            self._parts.append(end)

    def text(self) -> str:
        """The document; it says how many things did not fit."""
        parts = [*self._parts, *self._kept]
        if self._omitted:
            noun = self._limit.noun
            verb = f"{noun} does" if self._omitted == 1 else f"{noun}s do"
            parts.append(f"{self._omitted} more {verb} not fit into {self._limit.place}\n")
        return "\n".join(parts)

    def _size(self, part: str) -> int:
        """The size of a part and the line end after it."""
        return len(part.encode() if self._limit.in_bytes else part) + 1


def _prose(prose: Prose) -> str:
    return "".join(map(_span, prose))


def _span(span: str | Code | Strong) -> str:
    if isinstance(span, Code):
        return code(span.text)
    if isinstance(span, Strong):
        return f"**{span.text}**"
    # a line ends at the edges of a span, not in it
    start = " " if span.startswith(" ") else ""
    end = " " if span.endswith(" ") and span.strip() else ""
    return f"{start}{plain(span)}{end}"


# -------------------------------------------------------------------------------------------------
# findings


def _add_findings(parts: _Parts, findings: Findings, document: Document) -> None:
    if findings.title:
        parts.add(f"### {findings.title}\n")
    counts_findings = document.limit.noun == "finding"
    if findings.is_checklist:
        for entry in findings.entries:
            parts.add(f"- [ ] {_sentence(entry)} {code(entry.id)}\n")
        return
    for entry in findings.entries:
        parts.add(_entry(entry, document), entry.findings if counts_findings else 1)


def _entry(entry: Entry, document: Document) -> str:
    """The sentences, the cause, what it explains, and the fix in a code block."""
    if entry.details:
        return _folded(entry)
    cause = f"\n<br>cause: {plain(entry.cause)}" if entry.cause else ""
    item = "- " if document.is_compact else ""
    lines = [f"{item}{_badge(entry)}{_sentence(entry)}{cause}\n", *_listed(entry)]
    if not entry.fixes:
        return "\n".join(lines)
    fix = block("\n".join(entry.fixes))
    return "\n".join([*lines, _indented(fix) if document.is_compact else fix])


def _badge(entry: Entry) -> str:
    return f"**{entry.badge}** " if entry.is_graded else ""


def _sentence(entry: Entry) -> str:
    name = f"{code(entry.object)}: " if entry.is_named else ""
    if entry.is_several:
        return f"{name}{len(entry.messages)} findings"
    return name + "\n<br>".join(plain(message.text) for message in entry.messages)


def _listed(entry: Entry) -> list[str]:
    """The messages of a list, and those that the entry explains, collapsed."""
    messages, says = entry.explained, f"explains {counted(len(entry.explained), 'finding')}"
    if entry.is_several:
        messages, says = entry.messages, f"{len(entry.messages)} findings"
    if not messages:
        return []
    items = "".join(f"- {plain(message.text)}\n" for message in messages)
    return [f"<details><summary>{says}</summary>\n\n{items}\n</details>\n"]


def _folded(entry: Entry) -> str:
    """An entry with details, which only its sentence shows while it is collapsed."""
    details = "".join(f"{_detail(detail)}\n" for detail in entry.details)
    return f"<details><summary>{_sentence(entry)}</summary>\n\n{details}</details>\n"


def _detail(detail: Detail) -> str:
    if detail.language:
        return block(detail.text.rstrip("\n"), detail.language)
    return f"{detail.title.capitalize()}: {plain(detail.text)}.\n"


def _indented(text: str) -> str:
    """A code block as a part of a list item."""
    return "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())


# -------------------------------------------------------------------------------------------------
# tables


def _table(numbers: Table) -> str:
    head = [column.title for column in numbers.columns]
    return table(head, [tuple(map(plain, row)) for row in numbers.rows])


def _outcomes(grid: Grid) -> str:
    """A grid with a row for each identity; a mismatching cell is bold, and opens the section."""
    rows = []
    for r, (label, cells) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        row = [plain(label)]
        for c, cell in enumerate(cells):
            row.append(f"**{plain(cell)}**" if (r, c) in grid.mismatches else plain(cell))
        rows.append(row)
    title, is_open = f"Access to {grid.title}", ""
    if number := len(grid.mismatches):
        title += f": {counted(number, 'cell')} {'is' if number == 1 else 'are'} not as declared"
        is_open = " open"
    matrix = table((plain(grid.title), *map(plain, grid.columns)), rows)
    # Markdown inside HTML needs an empty line before it
    return f"<details{is_open}><summary>{html(title)}</summary>\n\n{matrix}\n</details>\n"


def _access(section: Access, document: Document) -> list[str]:
    """The matrix and its legend."""
    rows = [(code(row.object), *map(_access_cell, row.cells)) for row in section.rows]
    parts = [table(("table", *section.actions), rows)]
    for legend in document.of(Legend):
        parts.append(f"{_legend(legend)}\n")
    return parts


def _access_cell(cell: AccessCell | None) -> str:
    if cell is None:
        return ""
    return f"**{cell.who}** ⚠️" if cell.is_leak else cell.who


def _legend(legend: Legend) -> str:
    return " · ".join(f"{word}: {meaning}" for word, meaning in legend.words.items())


# -------------------------------------------------------------------------------------------------
# what was not tested


def _omissions_title(section: Omissions) -> str:
    number = len(section.items)
    return f"{section.title}: {counted(number, section.noun) if section.noun else number}"


def _omissions(section: Omissions) -> list[str]:
    items = []
    for item in section.items:
        why = f"{plain(item.why.rstrip('.'))}. {plain(item.help)}" if item.help else plain(item.why)
        items.append(f"- {code(item.object)}: {why}\n")
    return items
