"""The tests of each table, view and group of functions: each is tried on the database before it is
written.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from psycopg import sql

from supabase_jobs.audit.configuration import CHANNELS as MESSAGES
from supabase_jobs.audit.emit.plain import AsSent, Plain
from supabase_jobs.audit.emit.recording import RecordedAttempt, RecordedRow, Recording, RowText
from supabase_jobs.audit.emit.replay import INCONCLUSIVE, TOUCHED, UNTOUCHED, Trial, outcomes, shown
from supabase_jobs.audit.emit.titles import file_stem, short_name, title
from supabase_jobs.audit.scene import REQUEST_SETTINGS
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES
from supabase_jobs.outcomes import CLOSED, ROWS, is_constraint_violation
from supabase_jobs.session.action import Call, Change, Cursor, printed
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.settings import SETTINGS

Kind = Literal["outcome", "untouched", "shows"]

_ACTIONS = ("select", "insert", "update", "delete", "call", "receive", "send")
_CALL, _EXISTS = "call", "exists"
_FUNCTIONS = "functions"
_LONGEST_VALUE = 40


@dataclass(frozen=True)
class Case:
    """A test of a statement. `kind` is what it compares with `expected`:

    outcome: the outcome of the statement for the caller; untouched: the result of the query
    `target` afterwards, which is that before; shows: the rows that the statement returns, as text.
    """

    title: str
    kind: Kind
    caller: str
    statement: str
    expected: str
    target: str = ""


@dataclass(frozen=True)
class PrivilegeCase:
    """A test of whether a role has a privilege on an object of a kind: a table or a function."""

    title: str
    role: str
    privilege: str
    object_kind: Literal["table", "function"]
    object: str
    granted: bool
    kind: ClassVar = "privilege"


@dataclass(frozen=True)
class ColumnsCase:
    """A test of the columns of a table or view on which a role has a privilege."""

    title: str
    role: str
    privilege: str
    object: str
    columns: tuple[str, ...]
    kind: ClassVar = "columns"


AnyCase = Case | PrivilegeCase | ColumnsCase


@dataclass(frozen=True)
class TableSuite:
    """The tests of one object. `name` is that of its file, `omitted` are the titles of what could
    not be tested.
    """

    object: str
    name: str
    rows: tuple[RowText, ...]
    cursors: tuple[Cursor, ...]
    callers: tuple[Caller, ...]
    cases: tuple[AnyCase, ...]
    omitted: tuple[str, ...] = field(default=())


def suites(connection: Connection, recording: Recording) -> list[TableSuite]:
    """The suites of all objects, by name. Tries every test on the database, and rolls back."""
    with rolled_back(connection, Statement(SETTINGS)):
        run_groups(connection, [REQUEST_SETTINGS])[0].answer()
        found = _suites(connection, recording)
    return [suite for suite in found if suite.cases]


def _suites(connection: Connection, recording: Recording) -> list[TableSuite]:
    plain = Plain(connection, recording)
    groups: dict[str, list[RecordedAttempt]] = {}
    for attempt in recording.attempts:
        if attempt.sent is not None or attempt.showings:
            groups.setdefault(_FUNCTIONS if attempt.verb == _CALL else attempt.of, []).append(
                attempt
            )
    if recording.functions:
        groups.setdefault(_FUNCTIONS, [])
    groups.pop("", None)
    names: set[str] = set()
    found = []
    for object_ in sorted(groups):
        name = file_stem(object_, names)
        names.add(name)
        found.append(_Builder(connection, recording, plain, object_, groups[object_]).suite(name))
    return found


class _Builder:
    """Builds the suite of one object."""

    def __init__(
        self,
        connection: Connection,
        recording: Recording,
        plain: Plain,
        object_: str,
        attempts: list[RecordedAttempt],
    ) -> None:
        self._connection, self._recording, self._plain, self._object = (
            connection,
            recording,
            plain,
            object_,
        )
        self._privileges = [a for a in attempts if a.verb == "truncate"]
        tried = [
            a for a in attempts if a.verb != "truncate" and a.outcome not in INCONCLUSIVE_SQLSTATES
        ]
        labels = list(dict.fromkeys(a.caller.label for a in recording.attempts))
        order = {label: number for number, label in enumerate(labels)}
        verbs = {verb: number for number, verb in enumerate(_ACTIONS)}
        tried = [a for a in tried if a.verb in verbs]
        self._attempts = sorted(tried, key=lambda a: (order[a.caller.label], verbs[a.verb]))

    def suite(self, name: str) -> TableSuite:
        """The suite, with the rows that its tests need."""
        best: tuple[int, TableSuite] | None = None
        for rows, style in variants(self._recording, self._plain, [self._object], self._attempts):
            disagreeing, suite = self._tried(name, [style.row(row) for row in rows], style)
            if best is None or disagreeing < best[0]:
                best = disagreeing, suite
            if not disagreeing:
                break
        assert best is not None  # noqa: S101  there is at least one variant
        return best[1]

    def _tried(self, name: str, rows: list[RowText], style: AsSent) -> tuple[int, TableSuite]:
        """The number of tests that do not show what the audit has found, and the suite."""
        attempts = self._attempts
        cursors, renamed = named_cursors([a for a in attempts if a.verb != _CALL], style)
        choices = [_trials(attempt, style) for attempt in renamed]
        flat = [trial for trials in choices for trial in trials]
        results = iter(outcomes(self._connection, rows, flat, cursors))
        repeats = Counter(a.cell for a in renamed)
        cases, omitted, disagreeing = [], [], 0
        for attempt, trials in zip(renamed, choices, strict=True):
            found = [(trial, next(results)) for trial in trials]
            tested = next(((t, o) for t, o in found if o not in (INCONCLUSIVE, TOUCHED)), None)
            if tested is None:
                omitted.append(title(attempt, attempt.outcome))
                disagreeing += 1
                continue
            trial, outcome = tested
            disagreeing += not _agrees(attempt, outcome)
            says = title(attempt, outcome)
            if repeats[attempt.cell] > 1 and attempt.value:
                says += f" to {attempt.value[:_LONGEST_VALUE]}"
            kind: Kind = "untouched" if outcome == UNTOUCHED else "outcome"
            cases.append(
                Case(
                    title=says,
                    kind=kind,
                    caller=attempt.caller.label,
                    statement=trial.sql,
                    expected=outcome,
                    target=trial.target,
                )
            )
        calls = [a for a in attempts if a.verb == _CALL]
        called = list(self._calls(rows, calls, style))
        disagreeing += len(calls) - len(called)
        cases += called
        used = {case.caller for case in cases}
        callers = {
            a.caller.label: style.caller(a.caller) for a in attempts if a.caller.label in used
        }
        suite = TableSuite(
            object=self._object,
            name=name,
            rows=tuple(rows) if used else (),
            cursors=tuple(cursors),
            callers=tuple(callers.values()),
            cases=tuple(_distinct([*cases, *self._privilege_cases()])),
            omitted=tuple(dict.fromkeys(omitted)),
        )
        return disagreeing, suite

    def _calls(
        self, rows: Sequence[RowText], attempts: Sequence[RecordedAttempt], style: AsSent
    ) -> Iterator[Case]:
        """The results of calls, if they will be the same; otherwise the outcomes, except that no
        row was returned.
        """
        trials = [_trials(attempt, style)[0] for attempt in attempts]
        first, second = (shown(self._connection, rows, trials) for _ in range(2))
        reached = outcomes(self._connection, rows, trials)
        for attempt, trial, text, again, outcome in zip(
            attempts, trials, first, second, reached, strict=True
        ):
            arguments = _arguments(attempt, style)
            if text is not None and text == again and self._may_show(text):
                what = f"gets {_short(text) or 'no row'} from {short_name(attempt.object)}"
                yield Case(
                    title=f"{attempt.caller.label} {what} with {arguments}",
                    kind="shows",
                    caller=attempt.caller.label,
                    statement=trial.sql,
                    expected=text,
                )
            elif outcome != INCONCLUSIVE:
                yield Case(
                    title=f"{title(attempt, outcome)} with {arguments}",
                    kind="outcome",
                    caller=attempt.caller.label,
                    statement=trial.sql,
                    expected=outcome,
                )

    def _may_show(self, text: str) -> bool:
        """Whether a test can expect a result: it is the same in each run, and no value that was
        computed from rows of a database.
        """
        printable = self._recording.printable
        is_public = printable is None or printable.includes(text)
        return is_public and not self._plain.has_generated_time(text)

    def _privilege_cases(self) -> Iterator[AnyCase]:
        for (name, role, privilege), columns in self._recording.columns.items():
            if name == self._object:
                target = short_name(name)
                what = (
                    f"{role} may {privilege}"
                    if columns
                    else f"{role} may not {privilege} any column"
                )
                says = (
                    f"{what} {', '.join(columns)} of {target}" if columns else f"{what} of {target}"
                )
                yield ColumnsCase(
                    title=says,
                    role=role,
                    privilege=privilege,
                    object=self._plain.label(name),
                    columns=columns,
                )
        for attempt in self._privileges:
            name = self._plain.label(attempt.of)
            yield _privilege(
                "table", attempt.caller.role, name, "truncate", granted=attempt.outcome == ROWS
            )
        if self._object == _FUNCTIONS:
            for signature, roles in sorted(self._recording.functions.items()):
                for role in ("anon", "authenticated"):
                    yield _privilege("function", role, signature, "execute", granted=role in roles)


def variants(
    recording: Recording,
    plain: Plain,
    objects: Sequence[str],
    attempts: Sequence[RecordedAttempt],
) -> Iterator[tuple[Sequence[RecordedRow], AsSent]]:
    """Rows that attempts on these objects need, and their style: first few and short ones, and none
    that triggers insert; last, as the audit sent them.
    """
    required = [row for row in recording.rows if not row.optional]
    short = [row.shortened() for row in required]
    for rows in (short, required, recording.rows):
        yield _needed(recording, objects, attempts, rows), plain
    yield recording.rows, plain
    yield recording.rows, AsSent()


def _needed(
    recording: Recording,
    objects: Sequence[str],
    attempts: Sequence[RecordedAttempt],
    rows: Sequence[RecordedRow],
) -> list[RecordedRow]:
    """The rows of the tables that the access depends on, and of the users in them and in the
    claims.
    """
    if not all(name in recording.related for name in objects):
        return [row for row in rows if row.table != MESSAGES or MESSAGES in objects]
    related = frozenset[str]().union(*(recording.related[name] for name in objects))
    kept = [row for row in rows if row.table in related]
    texts = [printed(row.statement) for row in kept]
    texts += [value for row in kept for _, value in row.settings]
    texts += [str(a.caller) for a in attempts]
    texts += [a.sent.test() for a in attempts if a.sent is not None]
    whole = "\n".join(texts)
    return [*(row for row in rows if row.user and row.user in whole), *kept]


def _privilege(
    kind: Literal["table", "function"], role: str, object_: str, privilege: str, *, granted: bool
) -> PrivilegeCase:
    says = f"{role} {'may' if granted else 'may not'} {privilege} {short_name(object_)}"
    return PrivilegeCase(
        title=says,
        role=role,
        privilege=privilege,
        object_kind=kind,
        object=object_,
        granted=granted,
    )


def named_cursors(
    attempts: Sequence[RecordedAttempt], style: AsSent
) -> tuple[list[Cursor], list[RecordedAttempt]]:
    """The cursors of the attempts, numbered in this file, and the attempts with these names."""
    cursors: dict[str, Cursor] = {}
    renamed = []
    for attempt in attempts:
        sent = attempt.sent
        if not isinstance(sent, Change) or sent.cursor is None:
            renamed.append(attempt)
            continue
        old, query = printed(sent.cursor.name), sql.SQL(style.text(sent.cursor.query))
        cursor = cursors.setdefault(old, Cursor(sql.SQL(f"row_{len(cursors) + 1}"), query))
        renamed.append(replace(attempt, sent=replace(sent, cursor=cursor)))
    return list(cursors.values()), renamed


def _trials(attempt: RecordedAttempt, style: AsSent) -> list[Trial]:
    """Statements that show an attempt, the best first."""
    caller = style.caller(attempt.caller)
    write = style.call if attempt.verb in (_CALL, _EXISTS) else style.action
    texts = [write(showing.action) for showing in attempt.showings]
    targets = [showing.target for showing in attempt.showings]
    if attempt.sent is None:
        alone = [text for text, target in zip(texts, targets, strict=True) if target is None]
        return [Trial(caller, text) for text in alone[:1]]
    blind = style.action(attempt.sent)
    target = next((style.text(target) for target in targets if target is not None), "")
    kept = attempt.decided_by_trigger and attempt.outcome in CLOSED
    trials = [Trial(caller, blind, target)] if kept and target else []
    keyed = [Trial(caller, text) for text in texts[:1] if text != blind]
    return [*trials, Trial(caller, blind), *keyed]


def _agrees(attempt: RecordedAttempt, outcome: str) -> bool:
    """Whether an outcome shows what the audit has found."""
    if attempt.decided_by_trigger or outcome == attempt.outcome:
        return True
    return attempt.outcome == ROWS and is_constraint_violation(outcome)


def _distinct(cases: Sequence[AnyCase]) -> Iterator[AnyCase]:
    """Each test once, with a title of its own."""
    titles: Counter[str] = Counter()
    seen = set()
    for case in cases:
        key = replace(case, title="")
        if key not in seen:
            seen.add(key)
            titles[case.title] += 1
            number = titles[case.title]
            yield case if number == 1 else replace(case, title=f"{case.title} ({number})")


def _arguments(attempt: RecordedAttempt, style: AsSent) -> str:
    """The arguments of a call, without their types."""
    [call, *_] = [showing.action for showing in attempt.showings]
    arguments = call.arguments if isinstance(call, Call) else ()
    return ", ".join(map(style.argument, arguments)) or "no argument"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else f"{line[:_LONGEST_VALUE]}…"
