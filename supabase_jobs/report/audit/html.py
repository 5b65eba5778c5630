"""An audit as one self-contained HTML page: no script, no font, no image, no network."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from jinja2 import Template
from markupsafe import Markup

from supabase_jobs.findings import Audit, AuditCell, AuditFinding, Severity
from supabase_jobs.outcomes import OUTCOMES, SQLSTATE_MEANING
from supabase_jobs.report.audit import matrix
from supabase_jobs.report.audit.converted import location
from supabase_jobs.report.html import LIMIT_BYTES, environment

# the part of the page for findings; the dialogs of cells get what is left
_FINDINGS_BYTES = 120_000
# what a button has more than a cell without a dialog
_BUTTON_BYTES = 60
_WHOSE = {
    "own": "own rows",
    "group": "rows of the group",
    "other": "another's rows",
    "none": "rows without an owner",
}


@dataclass(frozen=True)
class _Group:
    """Callers with the same outcome of an action; `cell` is that of the first."""

    cell: AuditCell
    callers: tuple[str, ...]

    @property
    def whose(self) -> str:
        """Whose rows they are, for the caller."""
        return _WHOSE.get(self.cell.whose, self.cell.whose)

    @property
    def column(self) -> str:
        """The updated column, or ''."""
        return self.cell.action.partition(" ")[2]

    @property
    def kind(self) -> str:
        """The CSS class of the outcome."""
        return self.cell.outcome if self.cell.outcome in OUTCOMES else "other"

    @property
    def sql(self) -> str:
        """The statement."""
        return self.cell.sql if isinstance(self.cell.sql, str) else self.cell.sql()

    @property
    def request(self) -> str:
        """The curl command."""
        return self.cell.request if isinstance(self.cell.request, str) else self.cell.request()


@dataclass
class _Cell:
    """Who may do something with an object. `details` is the dialog of the cell, '' if the page has
    no room for it.
    """

    title: str
    who: str
    leak: bool
    anchor: str
    groups: tuple[_Group, ...]
    details: str = ""


@dataclass(frozen=True)
class _Row:
    """An object; the cells are those of the actions, None for an action that it does not have."""

    object: str
    cells: tuple[_Cell | None, ...]

    @property
    def classes(self) -> str:
        """The CSS classes by which the filters select rows."""
        cells = [cell for cell in self.cells if cell is not None]
        words = {cell.who for cell in cells} & {"all", "users"}
        return " ".join([*sorted(words), *(["leak"] if any(cell.leak for cell in cells) else [])])


def audit(result: Audit) -> str:
    """The page: verdict, leaks, changes, filters, the matrix with the SQL and the request of each
    cell, callers.
    """
    templates = environment()
    rows, functions = list(_rows(result)), list(_functions(result))
    cells = [cell for row in (*rows, *functions) for cell in row.cells if cell is not None]
    parts, omitted = _articles(result, templates.get_template("audit/finding.html.jinja"))
    page = partial(
        templates.get_template("audit/page.html.jinja").render,
        result=result,
        coverage=matrix.coverage(result),
        parts=parts,
        omitted=omitted,
        counts=[
            (severity, sum(f.severity is severity for f in result.findings))
            for severity in Severity
        ],
        words=matrix.WORDS,
        meanings=matrix.MEANINGS,
        rows=rows,
        functions=functions,
        outcomes=OUTCOMES,
        sqlstate_meaning=SQLSTATE_MEANING,
    )
    dialog = templates.get_template("audit/cell.html.jinja")
    room = LIMIT_BYTES - len(page(without_details=len(cells)).encode())
    # where there is not enough room, leaks come first, then what is open
    for cell in sorted(cells, key=lambda c: (not c.leak, c.who not in ("all", "users"))):
        details = Markup(dialog.render(cell=cell))  # noqa: S704  the template escapes
        size = len(details.encode()) + _BUTTON_BYTES
        if cell.groups and size <= room:
            cell.details = details
            room -= size
    return page(without_details=sum(not cell.details for cell in cells if cell.groups))


def _articles(result: Audit, template: Template) -> tuple[list[tuple[str, str, list[Markup]]], int]:
    """The parts with findings: (anchor, title, articles); the number of omitted findings."""
    room, omitted = _FINDINGS_BYTES, 0
    parts = []
    for anchor, title, findings in _parts(result):
        articles: list[Markup] = []
        for group in matrix.grouped(findings):
            text = Markup(template.render(group=group, location=location(result, group[0])))  # noqa: S704
            room -= len(text.encode())
            if room < 0:
                omitted += len(group)
            else:
                articles.append(text)
        if articles:
            parts.append((anchor, title, articles))
    return parts, omitted


def _parts(result: Audit) -> Iterator[tuple[str, str, Sequence[AuditFinding]]]:
    yield "leaks", "Leaks", matrix.leaks(result)
    yield "changes", f"Differences from {result.baseline}", matrix.deviations(result)
    yield "notes", "Notes", matrix.notes(result)


def _rows(result: Audit) -> Iterator[_Row]:
    by_action = _by_action(result.cells)
    numbers = count(1)
    for row in matrix.rows(result):
        cells: list[_Cell | None] = []
        for action, word in matrix.WORDS.items():
            if (who := row.access.get(action)) is None:
                cells.append(None)
                continue
            groups = tuple(_groups(by_action.get((row.object, action), ())))
            cells.append(
                _Cell(
                    f"{row.object}: {word}",
                    who,
                    action in row.leaks,
                    f"cell-{next(numbers)}",
                    groups,
                )
            )
        yield _Row(row.object, tuple(cells))


def _functions(result: Audit) -> Iterator[_Row]:
    """The functions: who may call each, with the calls and their outcomes."""
    calls: dict[str, list[AuditCell]] = {name: [] for name in result.functions}
    for cell in result.cells:
        if cell.object in calls:
            calls[cell.object].append(cell)
    leaks = {finding.object for finding in (*matrix.leaks(result), *matrix.deviations(result))}
    for number, (name, roles) in enumerate(sorted(result.functions.items()), 1):
        who = "all" if "anon" in roles.split() else "users" if roles != "none" else "none"
        groups = tuple(_groups(calls[name]))
        yield _Row(
            name, (_Cell(f"{name}: call", who, name in leaks, f"function-{number}", groups),)
        )


def _by_action(cells: Iterable[AuditCell]) -> Mapping[tuple[str, str], list[AuditCell]]:
    found: dict[tuple[str, str], list[AuditCell]] = {}
    for cell in cells:
        found.setdefault((cell.object, cell.action.partition(" ")[0]), []).append(cell)
    return found


def _groups(cells: Iterable[AuditCell]) -> Iterator[_Group]:
    """The cells of an action, by their rows, column and outcome; what reached its target first."""
    found: dict[tuple[str, str, str], list[AuditCell]] = {}
    for cell in cells:
        found.setdefault((cell.whose, cell.action, cell.outcome), []).append(cell)
    for group in sorted(found.values(), key=lambda group: group[0].outcome != "rows"):
        yield _Group(group[0], tuple(dict.fromkeys(cell.caller for cell in group)))
