"""Text for a terminal: matrices, findings by cause, and the verdict in the last line."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import indent

from rich.table import Table as Columns
from rich.text import Text

from supabase_jobs.findings import Grid, Severity
from supabase_jobs.outcomes import DENIED, HIDDEN, ROWS, VIOLATES
from supabase_jobs.report import printable
from supabase_jobs.report.document import (
    Access,
    AccessCell,
    Detail,
    Document,
    Entry,
    Extent,
    Findings,
    Legend,
    Line,
    Message,
    Omission,
    Omissions,
    Outcomes,
    Tables,
)
from supabase_jobs.report.overview import overview
from supabase_jobs.report.phrases import counted
from supabase_jobs.report.terminal import Page

_CELL = 8
_LABEL = 26  # leaves space for six columns
# in a shortened report: the listed findings of a cause, and the characters of a message
_SHOWN = 3
_LISTED = 156
_MESSAGE = 800
_MORE = "(+1): and one more, as --all prints"
_SEVERITIES = {
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.INFO: "blue",
    Severity.QUESTION: "blue",
}
_COLOURS = {
    ROWS: "green",
    HIDDEN: "cyan",
    DENIED: "magenta",
    VIOLATES: "yellow",
    "none": "dim",
    "own": "green",
    "group": "cyan",
    "users": "yellow",
    "all": "magenta",
}


def write(
    document: Document, *, colour: bool = False, whole: bool = True, width: int | None = None
) -> str:
    """The matrices, the findings by cause with their fixes, what was not tested, and the verdict.

    A cell with a mismatch or a leak ends in `!`. If not `whole`, each entry shows only a part of
    its messages and no details, and a result with findings has no matrix. `width` is that of the
    terminal; by default, it is that of the document.
    """
    writer = _Writer(document, colour=colour, whole=whole, width=width or document.width)
    writer.matrices()
    if document.is_compact:
        writer.lists()
    else:
        writer.entries()
        writer.omissions()
    writer.tables()
    writer.ending(width)
    return writer.page.text()


def matrix(grid: Grid, *, colour: bool = False, width: int = 80) -> str:
    """One matrix, without a legend."""
    page = Page(width, colour=colour)
    for part in _parts(grid, width):
        page.table(_outcomes(part))
    return page.text()


class _Writer:
    """Writes one document. `_printed` are the fixes and entries of supabase-jobs.toml so far."""

    def __init__(self, document: Document, *, colour: bool, whole: bool, width: int | None) -> None:
        self._document, self._whole = document, whole
        self._width = width
        self._printed: set[str] = set()
        self.page = Page(width or 80, colour=colour)

    # ---------------------------------------------------------------------------------------------
    # matrices

    def matrices(self) -> None:
        """The matrices and the legend."""
        if not self._whole and self._document.results:
            return
        outcomes = self._document.of(Outcomes)
        if outcomes and not self._whole:
            self._overview(outcomes[0])
            return
        for section in outcomes:
            for part in _parts(section.grid, self._width or 80):
                self.page.table(_outcomes(part))
                self.page.line()
        matrices = [section for section in self._document.of(Access) if section.is_in_text]
        for matrix in matrices:
            self.page.table(_access(matrix))
        if not outcomes and not matrices:
            return
        for legend in self._document.of(Legend):
            self._paragraph(_legend(legend), style="dim")
            self.page.line()

    def _overview(self, first: Outcomes) -> None:
        """The most important part of the first matrix."""
        grid = overview(first.grid)
        for part in _parts(grid, self._width or 80):
            self.page.table(_outcomes(part))
        outcomes = {outcome for cells in grid.cells for outcome in cells}
        for legend in self._document.of(Legend):
            known = {word: legend.words[word] for word in legend.words if word in outcomes}
            words = known if len(known) == len(outcomes) else legend.words
            self._paragraph(f"{_meanings(words)} · {_MORE}", style="dim")

    def tables(self) -> None:
        """The tables of numbers, each followed by an empty line."""
        for section in self._document.of(Tables):
            for table in section.tables:
                for line in table.lines:
                    self.page.line(line)
                if table.lines:
                    self.page.line()

    # ---------------------------------------------------------------------------------------------
    # entries, each followed by an empty line

    def entries(self) -> None:
        """The entries of all sections in one list."""
        if self._document.instead and not self._whole:
            self.page.line(
                f"error: {self._document.instead}", _bold(Severity.ERROR), label="error: "
            )
            return
        found = [entry for section in self._document.of(Findings) for entry in section.entries]
        if not self._whole and any(entry.details for entry in found):
            self._sentences(found)
            return
        listed = {
            id(entry)
            for part in self._document.of(Findings)
            if part.is_checklist
            for entry in part.entries
        }
        ordered = sorted(found, key=lambda entry: entry.position)
        for entry in ordered:
            self._entry(entry)
            if id(entry) not in listed or entry is ordered[-1]:
                self.page.line()

    def _sentences(self, entries: Sequence[Entry]) -> None:
        """A line for each entry; equal ones, such as the two ORs of a policy, share a line."""
        briefs = {f"{entry.label}{entry.brief}" for entry in entries if entry.brief}
        lines = Counter(
            f"{entry.label}{printable.line(entry.brief or entry.messages[0].text)}"
            for entry in entries
        )
        for line, number in lines.items():
            if line in briefs:
                self.page.line(f"{line} ({counted(number, self._document.noun)})")
            else:
                self.page.line(f"{line} ({number} places)" if number > 1 else line)
        self.page.line()

    def _entry(self, entry: Entry) -> None:
        """Its sentences, what it explains, and the fix on lines of its own."""
        self._paragraph(self._title(entry), style=_bold(entry.severity), label=entry.label)
        if entry.explained:
            self._paragraph(_explains(entry), first="  ")
        if entry.is_several or entry.explained:
            self._list(entry.explained or entry.messages)
        if not entry.is_list:
            for message in entry.messages[1:]:
                text = f"and: {printable.line(message.text)}"
                self._paragraph(text, first="  ", rest="    ")
        if entry.cause:
            cause = f"cause: {printable.line(entry.cause)}"
            self._paragraph(cause, style="dim", first="  ", rest="    ")
        if entry.id:
            self.page.line(f"  {printable.line(entry.id)}")
        for detail in entry.details:
            self._detail(detail)
        self._accept(entry.accept)
        if entry.fixes:
            self.page.line("fix:", style="dim")
        for fix in entry.fixes:
            # psql has to accept it: neither wrapped nor indented, and with its tabs
            self.page.raw(f"{printable.sql(fix)}\n")

    def _title(self, entry: Entry) -> str:
        if entry.is_several:
            return f"{printable.line(entry.object)}, {len(entry.messages)} times:"
        text = _sentence(entry)
        return self._cut(text, _MESSAGE) if entry.is_list else text

    def _list(self, messages: Sequence[Message]) -> None:
        shown = messages if self._whole else messages[:_SHOWN]
        for message in shown:
            text = self._cut(printable.line(message.text), _LISTED)
            self._paragraph(text, first="  ", rest="    ")
        if len(messages) > len(shown):
            self.page.line(f"  … {len(messages) - len(shown)} more", style="dim")

    def _cut(self, text: str, limit: int) -> str:
        return text if self._whole or len(text) <= limit else f"{text[: limit - 1]}…"

    def _detail(self, detail: Detail) -> None:
        if not detail.language:
            self.page.line(f"  {detail.title}: {printable.line(detail.text)}")
            return
        text = printable.visible(detail.text).rstrip("\n") + "\n"
        if detail.title:
            self.page.line(f"  {detail.title}:")
        if detail.is_pasted:
            self.page.raw(f"{printable.sql(detail.text.rstrip())}\n")
            return
        self.page.raw(indent(text, "    " if detail.title else "  "))

    def _accept(self, entries: Iterable[str]) -> None:
        """Entries of supabase-jobs.toml, each once in a report, so that all can be pasted."""
        new = [entry for entry in dict.fromkeys(entries) if entry not in self._printed]
        if not new:
            return
        self._printed.update(new)
        self.page.line(
            "  if it is intended, add to supabase-jobs.toml with the reason:", style="dim"
        )
        for entry in new:
            self.page.raw(indent(printable.visible(entry).rstrip("\n") + "\n", "    "))

    def omissions(self) -> None:
        """The omissions, each with a remedy."""
        if not self._whole:
            return
        for section in self._document.of(Omissions):
            for item in section.items:
                self._paragraph(_omission(item), style="bold yellow", label=section.label)
                if item.help:  # the lines for audit.toml can be pasted, too
                    self.page.raw(f"{printable.sql(item.help)}\n")
                self.page.line()

    # ---------------------------------------------------------------------------------------------
    # lists of short entries under their titles

    def lists(self) -> None:
        """The entries by section, and what was not tested; an empty line between the sections."""
        for number, section in enumerate(self._listed()):
            if number:
                self.page.line()
            self.page.line(f"{section.title}:")
            if isinstance(section, Findings):
                for entry in section.entries:
                    self._item(entry)
                continue
            for item in section.items:
                self._paragraph(f"{section.label}{_omission(item)}", first="  ", rest="      ")
        if self._listed() and self._document.closing:
            self.page.line()

    def _listed(self) -> list[Findings | Omissions]:
        sections = self._document.sections
        return [section for section in sections if isinstance(section, Findings | Omissions)]

    def _item(self, entry: Entry) -> None:
        self._paragraph(f"{entry.label}{_sentence(entry)}", first="  ", rest="      ")
        others = entry.messages[1:] if self._whole else entry.messages[1:_SHOWN]
        for message in others:
            text = f"and: {printable.line(message.text)}"
            self._paragraph(text, first="    ", rest="      ")
        if len(entry.messages) > len(others) + 1:
            self.page.line(f"    … {len(entry.messages) - len(others) - 1} more", style="dim")
        if entry.cause:
            self._paragraph(f"cause: {printable.line(entry.cause)}", first="    ", rest="      ")
        for fix in entry.fixes:
            if self._whole and fix not in self._printed:
                self._printed.add(fix)
                self.page.line("    fix:")
                for line in printable.sql(fix).splitlines():
                    self.page.raw(f"{line}\n")  # psql has to accept it: not indented

    # ---------------------------------------------------------------------------------------------
    # the end

    def ending(self, width: int | None) -> None:
        """The hints, and the last lines with the verdict, which is one line without a terminal."""
        hints = self._shown(self._document.hints)
        for hint in hints:
            self._paragraph(hint, style="dim")
        if hints:
            self.page.line()
        *lines, verdict = self._shown(self._document.closing) or [""]
        for line in lines:
            self.page.line(line)
        if verdict:
            style = "bold green" if self._document.ok else "bold red"
            self.page.paragraph(verdict, style, width=width)

    def _shown(self, lines: Sequence[Line]) -> list[str]:
        return [
            printable.line(line.text)
            for line in lines
            if line.extent is None or (line.extent is Extent.WHOLE) == self._whole
        ]

    def _paragraph(
        self, text: str, *, style: str = "", label: str = "", first: str = "", rest: str = ""
    ) -> None:
        self.page.paragraph(text, style, label=label, first=first, rest=rest, width=self._width)


def _bold(severity: Severity) -> str:
    return f"bold {_SEVERITIES[severity]}"


def _sentence(entry: Entry) -> str:
    name = f"{entry.object}: " if entry.is_named else ""
    return printable.line(f"{name}{entry.messages[0].text}")


def _explains(entry: Entry) -> str:
    areas = Counter(message.area for message in entry.explained)
    counts = ", ".join(f"{number} {area}" for area, number in areas.items())
    return f"explains {counted(len(entry.explained), 'finding')} ({counts}):"


def _omission(item: Omission) -> str:
    return printable.line(f"{item.object}: {item.why}")


def _legend(legend: Legend) -> str:
    return _meanings({**legend.words, "!": legend.mark} if legend.mark else legend.words)


def _meanings(words: Mapping[str, str]) -> str:
    return " · ".join(f"{word}: {meaning}" for word, meaning in words.items())


# -------------------------------------------------------------------------------------------------
# matrices


def _parts(grid: Grid, width: int) -> Iterator[Grid]:
    """Split a grid that is too wide by columns."""
    label = min(max(len(row) for row in grid.rows), _LABEL)
    fit = max(1, (width - label) // (_CELL + 1))
    for start in range(0, len(grid.columns), fit):
        end = start + fit
        yield Grid(
            title=grid.title,
            columns=grid.columns[start:end],
            rows=grid.rows,
            cells=tuple(cells[start:end] for cells in grid.cells),
            mismatches=frozenset((r, c - start) for r, c in grid.mismatches if start <= c < end),
        )


def _outcomes(grid: Grid) -> Columns:
    table = Columns(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(grid.title, overflow="fold")
    for column in grid.columns:
        table.add_column(column, width=_CELL, overflow="fold", vertical="bottom")
    for r, (label, cells) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        table.add_row(
            label, *(_outcome(cell, (r, c) in grid.mismatches) for c, cell in enumerate(cells))
        )
    return table


def _outcome(outcome: str, is_mismatch: bool) -> Text:
    if is_mismatch:
        return Text(f"{outcome[: _CELL - 1]}!", style="bold red")
    return Text(outcome, style=_COLOURS.get(outcome, ""))


def _access(matrix: Access) -> Columns:
    table = Columns(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(matrix.text_heading, overflow="fold")
    for action in matrix.actions:
        table.add_column(action, width=_CELL)
    for row in matrix.rows:
        table.add_row(printable.line(row.object), *map(_access_cell, row.cells))
    return table


def _access_cell(cell: AccessCell | None) -> Text:
    if cell is None:
        return Text("")
    if cell.is_leak:
        return Text(f"{cell.who} !", style="bold red")
    return Text(cell.who, style=_COLOURS.get(cell.who, ""))
