"""One self-contained HTML page: no script, no font, no image, no network.

Each kind of section has a template in `page/`, with the name of the kind.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from supabase_jobs.findings import Case, Finding
from supabase_jobs.outcomes import OUTCOMES
from supabase_jobs.report.document import (
    Access,
    AccessCell,
    AccessRow,
    Cases,
    Code,
    Column,
    Document,
    Entry,
    Findings,
    Legend,
    Outcomes,
    Prose,
    Scripts,
    Section,
    Strong,
    Table,
)

# a page stays below 500 kB: the entries get a part of it, and the SQL of cells and cases the rest
LIMIT_BYTES = 490_000
_MOST_ROWS = 500
# the most that the elements around a script add to it: a button, or a summary
_BUTTON_BYTES = 120
_SUMMARY_BYTES = 100
# the most that the elements around a preamble add to it
_PREAMBLE_BYTES = 360


def write(document: Document) -> str:
    """The page: verdict, findings with their fixes, matrices, and the SQL that it has room for."""
    return _Page(document).text()


class _Page:
    """Renders one document within the limit. `_left` are the bytes that are left for scripts."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._preambles = _preambles(document)
        self._needed: set[str] = set()
        self._details: dict[str, Markup] = {}
        self._shown: dict[str, list[Entry]] = {}
        self._left = 0
        self._templates = _environment()
        self._templates.globals |= {
            "document": document,
            "preambles": self._preambles,
            "most_rows": _MOST_ROWS,
        }
        self._templates.filters["needed_scripts"] = self._needed_scripts

    def text(self) -> str:
        """The page. It is rendered twice: without scripts, to know their room, and with them."""
        contents = self._choose_entries()
        scripts = list(_scripts(self._document))
        page = self._render_page(contents, {}, without_details=len(scripts))
        self._left = LIMIT_BYTES - _size(page)
        checks = self._scripts_of_entries()
        for script in sorted(scripts, key=lambda script: script.rank):
            if self._take(text := self._render_script(script), script.case, script.around):
                self._details[script.key] = text
        return self._render_page(
            contents, checks, without_details=len(scripts) - len(self._details)
        )

    def _render_page(
        self,
        contents: Sequence[tuple[str, str]],
        checks: Mapping[str, Markup],
        *,
        without_details: int,
    ) -> str:
        articles, shown = {}, {}
        for title, entries in self._shown.items():
            articles[title] = [self._render_entry(entry, checks) for entry in entries]
            shown[title] = sum(entry.findings for entry in entries)
        return self._templates.get_template("page.html.jinja").render(
            contents=contents,
            articles=articles,
            shown=shown,
            details=self._details,
            without_details=without_details,
        )

    # ---------------------------------------------------------------------------------------------
    # entries

    def _choose_entries(self) -> list[tuple[str, str]]:
        """Choose the entries for which there is room; return the table of contents."""
        room = self._document.findings_bytes
        for section in self._document.of(Findings):
            shown = self._shown.setdefault(section.heading or section.title, [])
            for entry in section.entries:
                room -= _size(self._render_entry(entry, {}))
                if room >= 0:
                    shown.append(entry)
        return list(_contents(self._document))

    def _render_entry(self, entry: Entry, checks: Mapping[str, Markup]) -> Markup:
        return self._render("entry.html.jinja", entry=entry, scripts=checks)

    def _scripts_of_entries(self) -> dict[str, Markup]:
        """The SQL of the checks behind the entries, by the id of the case, if there is room."""
        found: dict[str, Markup] = {}
        for case in self._cases_of_entries():
            if not case.sql or case.id in found:
                continue
            text = self._render("script.html.jinja", case=case, link=True, findings=())
            if self._take(text, case, _SUMMARY_BYTES):
                found[case.id] = text
        return found

    def _cases_of_entries(self) -> Iterator[Case]:
        for entries in self._shown.values():
            for entry in entries:
                for message in (*entry.messages, *entry.explained):
                    if message.case is not None:
                        yield message.case

    # ---------------------------------------------------------------------------------------------
    # scripts

    def _render_script(self, script: "_Script") -> Markup:
        body = self._render(script.template, **script.values)
        if not script.title:
            return body
        return self._render(
            "dialog.html.jinja",
            anchor=script.key,
            title=script.title,
            classes=script.classes,
            word=script.word,
            body=body,
        )

    def _take(self, text: str, case: Case | None, around: int) -> bool:
        """Whether there was room for a text, `around` it, and for the preamble that it needs."""
        key = "" if case is None else case.preamble or case.area
        size = _size(text) + around
        if key in self._preambles and key not in self._needed:
            preamble = self._preambles[key]
            comments = 20 * preamble.count("\n--")
            size += _size(escape(preamble)) + 2 * _size(key) + comments + _PREAMBLE_BYTES
        if size > self._left:
            return False
        self._left -= size
        self._needed |= {key} & self._preambles.keys()
        return True

    def _needed_scripts(self, section: Scripts) -> Mapping[str, str]:
        if not section.is_needed:
            return section.scripts
        return {key: text for key, text in section.scripts.items() if key in self._needed}

    def _render(self, template: str, **values: Any) -> Markup:
        return Markup(self._templates.get_template(template).render(**values))  # noqa: S704


def _preambles(document: Document) -> Mapping[str, str]:
    """The scripts that others need."""
    found: dict[str, str] = {}
    for section in document.of(Scripts):
        if section.is_needed:
            found |= section.scripts
    return found


def _contents(document: Document) -> Iterator[tuple[str, str]]:
    """(anchor, title) of the sections that a reader looks for."""
    for section in document.sections:
        if isinstance(section, Outcomes):
            yield section.anchor, section.grid.title
        elif isinstance(section, Findings):
            yield section.anchor, section.heading or section.title
        elif not isinstance(section, Legend) and not _is_appendix(section):
            yield section.anchor, section.title


def _is_appendix(section: Section) -> bool:
    if isinstance(section, Cases):
        return not section.groups
    return isinstance(section, Scripts) and section.is_needed


# -------------------------------------------------------------------------------------------------
# the SQL of cells and cases


@dataclass(frozen=True)
class _Script:
    """A part of a page about a cell or a case, shown on request, in a dialog if it has a title.

    The lower the `rank`, the earlier it gets room. `around` is what the elements around it add.
    """

    key: str
    rank: tuple[bool, ...]
    template: str
    values: Mapping[str, Any]
    around: int
    case: Case | None = None
    title: str = ""
    classes: str = ""
    word: str = ""


def _scripts(document: Document) -> Iterator[_Script]:
    findings: dict[str, list[Finding]] = {}
    for result in document.results:
        findings.setdefault(result.finding.id, []).append(result.finding)
    for section in document.sections:
        if isinstance(section, Outcomes):
            yield from _of_outcomes(section, findings)
        elif isinstance(section, Access):
            yield from _of_access(section)
        elif isinstance(section, Cases):
            yield from _of_cases(section)


def _of_outcomes(section: Outcomes, findings: Mapping[str, list[Finding]]) -> Iterator[_Script]:
    """The cells with a case; those with a finding first."""
    for row in _probes(section):
        for cell in row.cells:
            if cell.case is None:
                continue
            own = findings.get(cell.case.id, [])
            yield _Script(
                key=cell.anchor,
                rank=(not own, False),
                template="case.html.jinja",
                values={"case": cell.case, "findings": own, "link": False},
                around=_BUTTON_BYTES,
                case=cell.case,
                title=cell.case.name,
                classes=cell.classes,
                word=cell.outcome,
            )


def _of_access(section: Access) -> Iterator[_Script]:
    """The cells with attempts; leaks first, then what is open."""
    for row in section.rows[:_MOST_ROWS]:
        for cell in row.known:
            if not cell.attempts:
                continue
            yield _Script(
                key=cell.anchor,
                rank=(not cell.is_leak, cell.who not in ("all", "users")),
                template="attempts.html.jinja",
                values={"cell": cell},
                around=_BUTTON_BYTES,
                title=cell.title,
                classes=_access_class(cell),
                word=cell.who,
            )


def _of_cases(section: Cases) -> Iterator[_Script]:
    for group in section.groups:
        for case, findings in group.cases:
            yield _Script(
                key=case.id,
                rank=(not findings, True),
                template="case.html.jinja",
                values={"case": case, "findings": findings, "link": True},
                around=_SUMMARY_BYTES,
                case=case,
            )


# -------------------------------------------------------------------------------------------------
# what the templates need


@dataclass(frozen=True)
class _Probe:
    """A cell of a grid: `case` is None if it was not probed; `anchor` is unique in the page."""

    outcome: str
    is_mismatch: bool
    anchor: str
    case: Case | None

    @property
    def classes(self) -> str:
        """The CSS classes of the outcome."""
        return f"{_outcome_class(self.outcome)}{' mismatch' if self.is_mismatch else ''}"


@dataclass(frozen=True)
class _Probes:
    """A row of a grid."""

    label: str
    cells: tuple[_Probe, ...]


def _probes(section: Outcomes) -> list[_Probes]:
    grid, rows = section.grid, []
    for r, label in enumerate(grid.rows):
        cells = tuple(
            _Probe(
                outcome=outcome,
                is_mismatch=(r, c) in grid.mismatches,
                anchor=f"{section.anchor}-{r + 1}-{c + 1}",
                case=section.cases.get((r, c)),
            )
            for c, outcome in enumerate(grid.cells[r])
        )
        rows.append(_Probes(label, cells))
    return rows


def _environment() -> Environment:
    """The templates; values are escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: Mapping[str, Callable[..., Any]] = {
        "code": _code,
        "prose": _prose,
        "probes": _probes,
        "row_classes": _row_classes,
        "access_class": _access_class,
        "outcome_class": _outcome_class,
        "columns": lambda table: _ordered(table.columns, table),
        "cells": _cells,
    }
    made.filters.update(filters)
    return made


def _size(text: str) -> int:
    return len(text.encode())


def _code(text: str) -> Markup:
    """A text in an element, with its quotes as they are: SQL has many."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(escaped)  # noqa: S704


def _prose(prose: Prose) -> Markup:
    return Markup("").join(map(_span, prose))


def _span(span: str | Code | Strong) -> Markup:
    if isinstance(span, Code):
        return Markup("<code>{}</code>").format(span.text)
    if isinstance(span, Strong):
        return Markup("<strong>{}</strong>").format(span.text)
    return escape(span)


def _outcome_class(outcome: str) -> str:
    return outcome if outcome in OUTCOMES else "other"


def _access_class(cell: AccessCell) -> str:
    return "mismatch" if cell.is_leak else f"who-{cell.who}"


def _row_classes(row: AccessRow) -> str:
    """The CSS classes by which the filters select rows."""
    words = sorted({cell.who for cell in row.known} & {"all", "users"})
    return " ".join([*words, "leak"] if any(cell.is_leak for cell in row.known) else words)


def _ordered(values: Sequence[Any], table: Table) -> list[Any]:
    """The values of the columns with words, then those of the columns with numbers."""
    order = sorted(range(len(table.columns)), key=lambda n: table.columns[n].is_number)
    return [values[number] for number in order]


def _cells(table: Table) -> list[list[tuple[Column, str]]]:
    """The rows, each with (column, value)."""
    columns = _ordered(table.columns, table)
    return [list(zip(columns, _ordered(row, table), strict=True)) for row in table.rows]
