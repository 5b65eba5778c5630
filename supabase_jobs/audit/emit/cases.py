"""The tests of each table, view and group of functions: each is tried on the database before it is
written.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from supabase_jobs.audit.audit import REQUEST_SETTINGS, rolled_back
from supabase_jobs.audit.configuration import CHANNELS as MESSAGES
from supabase_jobs.audit.emit.plain import Plain
from supabase_jobs.audit.emit.titles import file_stem, title
from supabase_jobs.audit.recording import Cursor, RecordedAttempt, RecordedRow, Recording
from supabase_jobs.audit.replay import INCONCLUSIVE, TOUCHED, UNTOUCHED, Trial, outcomes, shown
from supabase_jobs.database.batch import run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES
from supabase_jobs.outcomes import CLOSED, ROWS, is_constraint_violation
from supabase_jobs.session.caller import Caller

Kind = Literal["outcome", "untouched", "shows", "privilege", "columns"]

_ACTIONS = ("select", "insert", "update", "delete", "call", "receive", "send")
_CALL = "call"
_FUNCTIONS = "functions"
_USERS = "auth.users"
# the instance of every user
_INSTANCE = "00000000-0000-0000-0000-000000000000"
_LONGEST_VALUE = 40


@dataclass(frozen=True)
class Case:
    """A test. `kind` is what it compares with `expected`:

    outcome: the outcome of the statement for the caller; untouched: the result of the query
    `target` afterwards, which is that before; shows: the rows that the statement returns, as text;
    privilege: whether the role `caller` has the privilege `statement` on the function or table
    `target`; columns: on which columns of it, separated by commas.
    """

    title: str
    kind: Kind
    caller: str
    statement: str
    expected: str
    target: str = ""


@dataclass(frozen=True)
class TableSuite:
    """The tests of one object. `name` is that of its file, `omitted` are the titles of what could
    not be tested.
    """

    object: str
    name: str
    rows: tuple[RecordedRow, ...]
    cursors: tuple[Cursor, ...]
    callers: tuple[Caller, ...]
    cases: tuple[Case, ...]
    omitted: tuple[str, ...] = field(default=())


def suites(connection: Connection, recording: Recording) -> list[TableSuite]:
    """The suites of all objects, by name. Tries every test on the database, and rolls back."""
    with rolled_back(connection):
        run_groups(connection, [REQUEST_SETTINGS])[0].answer()
        found = _suites(connection, recording)
    return [suite for suite in found if suite.cases]


def _suites(connection: Connection, recording: Recording) -> list[TableSuite]:
    plain = Plain(connection, recording)
    groups: dict[str, list[RecordedAttempt]] = {}
    for attempt in recording.attempts:
        if attempt.blind or attempt.checks:
            groups.setdefault(_FUNCTIONS if attempt.action == _CALL else attempt.of, []).append(
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
        self._privileges = [a for a in attempts if a.action == "truncate"]
        tried = [
            a
            for a in attempts
            if a.action != "truncate" and a.outcome not in INCONCLUSIVE_SQLSTATES
        ]
        order = {
            label: number
            for number, label in enumerate(
                dict.fromkeys(a.caller.label for a in recording.attempts)
            )
        }
        verbs = {verb: number for number, verb in enumerate(_ACTIONS)}
        tried = [a for a in tried if a.action.split()[0] in verbs]
        self._attempts = sorted(
            tried, key=lambda a: (order[a.caller.label], verbs[a.action.split()[0]])
        )

    def suite(self, name: str) -> TableSuite:
        """The suite, with the rows that its tests need."""
        best: tuple[int, TableSuite] | None = None
        for rows, attempts in self._variants():
            disagreeing, suite = self._tried(name, rows, attempts)
            if best is None or disagreeing < best[0]:
                best = disagreeing, suite
            if not disagreeing:
                break
        assert best is not None  # noqa: S101  there is at least one variant
        return best[1]

    def _variants(self) -> Iterator[tuple[list[RecordedRow], list[RecordedAttempt]]]:
        """Rows and attempts: first few and short ones, and none that triggers insert; last, as the
        audit sent them.
        """
        plain = [self._plain.attempt(a) for a in self._attempts]
        required = [row for row in self._recording.rows if not row.optional]
        short = [replace(row, sql=row.short or row.sql) for row in required]
        for rows in (short, required, self._recording.rows):
            yield [self._plain.row(row) for row in self._needed(rows, plain)], plain
        yield [self._plain.row(row) for row in self._recording.rows], plain
        yield list(self._recording.rows), self._attempts

    def _needed(
        self, rows: Sequence[RecordedRow], attempts: Sequence[RecordedAttempt]
    ) -> list[RecordedRow]:
        """The rows of the tables that the access depends on, and of the users in them and in the
        claims.
        """
        related = self._recording.related.get(self._object)
        if related is None:
            return [row for row in rows if row.table != MESSAGES or self._object == MESSAGES]
        kept = [row for row in rows if row.table in related]
        texts = [row.sql for row in kept] + [value for row in kept for _, value in row.settings]
        texts += [str(a.caller) for a in attempts] + [a.blind for a in attempts]
        whole = "\n".join(texts)
        users = [
            row for row in rows if row.table == _USERS and any(i in whole for i in _ids(row.sql))
        ]
        return [*users, *kept]

    def _tried(
        self, name: str, rows: list[RecordedRow], attempts: list[RecordedAttempt]
    ) -> tuple[int, TableSuite]:
        """The number of tests that do not show what the audit has found, and the suite."""
        cursors, renamed = _cursors([a for a in attempts if a.action != _CALL])
        choices = [_trials(attempt) for attempt in renamed]
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
            cases.append(Case(says, kind, attempt.caller.label, trial.sql, outcome, trial.target))
        calls = [a for a in attempts if a.action == _CALL]
        called = list(self._calls(rows, calls))
        disagreeing += len(calls) - len(called)
        cases += called
        used = {case.caller for case in cases}
        callers = {a.caller.label: a.caller for a in attempts if a.caller.label in used}
        cases += self._privilege_cases()
        suite = TableSuite(
            self._object,
            name,
            tuple(rows) if used else (),
            tuple(cursors),
            tuple(callers.values()),
            tuple(_distinct(cases)),
            tuple(dict.fromkeys(omitted)),
        )
        return disagreeing, suite

    def _calls(
        self, rows: Sequence[RecordedRow], attempts: Sequence[RecordedAttempt]
    ) -> Iterator[Case]:
        """What calls return, if it will be the same; otherwise their outcomes, except that no row
        was returned.
        """
        trials = [_trials(attempt)[0] for attempt in attempts]
        first, second = (shown(self._connection, rows, trials) for _ in range(2))
        reached = outcomes(self._connection, rows, trials)
        for attempt, trial, text, again, outcome in zip(
            attempts, trials, first, second, reached, strict=True
        ):
            arguments = _arguments(trial.sql)
            if text is not None and text == again and not self._plain.has_generated_time(text):
                what = (
                    f"gets {_short(text) or 'no row'} from {attempt.object.removeprefix('public.')}"
                )
                yield Case(
                    f"{attempt.caller.label} {what} with {arguments}",
                    "shows",
                    attempt.caller.label,
                    trial.sql,
                    text,
                )
            elif outcome != INCONCLUSIVE:
                yield Case(
                    f"{title(attempt, outcome)} with {arguments}",
                    "outcome",
                    attempt.caller.label,
                    trial.sql,
                    outcome,
                )

    def _privilege_cases(self) -> Iterator[Case]:
        for (name, role, privilege), columns in self._recording.columns.items():
            if name == self._object:
                target = name.removeprefix("public.")
                what = (
                    f"{role} may {privilege}"
                    if columns
                    else f"{role} may not {privilege} any column"
                )
                says = (
                    f"{what} {', '.join(columns)} of {target}" if columns else f"{what} of {target}"
                )
                yield Case(
                    says, "columns", role, privilege, ", ".join(columns), self._plain.name(name)
                )
        for attempt in self._privileges:
            name = self._plain.name(attempt.of)
            yield _privilege(
                "table", attempt.caller.role, name, "truncate", granted=attempt.outcome == "rows"
            )
        if self._object == _FUNCTIONS:
            for signature, roles in sorted(self._recording.functions.items()):
                for role in ("anon", "authenticated"):
                    yield _privilege("function", role, signature, "execute", granted=role in roles)


def _privilege(kind: str, role: str, object_: str, privilege: str, *, granted: bool) -> Case:
    says = f"{role} {'may' if granted else 'may not'} {privilege} {object_.removeprefix('public.')}"
    return Case(says, "privilege", role, f"{kind} {privilege}", str(granted).lower(), object_)


def _cursors(attempts: Sequence[RecordedAttempt]) -> tuple[list[Cursor], list[RecordedAttempt]]:
    """The cursors of the attempts, numbered in this file, and the attempts with these names."""
    names: dict[str, str] = {}
    numbers = count(1)
    cursors, renamed = [], []
    for attempt in attempts:
        if attempt.cursor is None:
            renamed.append(attempt)
            continue
        old = attempt.cursor.name
        if old not in names:
            names[old] = f"row_{next(numbers)}"
            cursors.append(replace(attempt.cursor, name=names[old]))
        text = re.sub(
            rf'where current of "?{old}"?$', f"where current of {names[old]}", attempt.blind
        )
        renamed.append(
            replace(attempt, blind=text, cursor=replace(attempt.cursor, name=names[old]))
        )
    return cursors, renamed


def _trials(attempt: RecordedAttempt) -> list[Trial]:
    """Statements that show an attempt, the best first."""
    caller = attempt.caller
    if not attempt.blind:
        return [Trial(caller, check.sql) for check in attempt.checks if not check.target][:1]
    target = next((check.target for check in attempt.checks if check.target), "")
    kept = attempt.decided_by_trigger and attempt.outcome in CLOSED
    trials = [Trial(caller, attempt.blind, target)] if kept and target else []
    keyed = [Trial(caller, check.sql) for check in attempt.checks[:1] if check.sql != attempt.blind]
    return [*trials, Trial(caller, attempt.blind), *keyed]


def _agrees(attempt: RecordedAttempt, outcome: str) -> bool:
    """Whether an outcome shows what the audit has found."""
    if attempt.decided_by_trigger or outcome == attempt.outcome:
        return True
    return attempt.outcome == ROWS and is_constraint_violation(outcome)


def _distinct(cases: Sequence[Case]) -> Iterator[Case]:
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


def _ids(text: str) -> set[str]:
    """The UUIDs in the insertion of a user."""
    return set(re.findall(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", text)) - {_INSTANCE}


def _arguments(text: str) -> str:
    """The arguments of a call, without their types."""
    inner = text.partition("(")[2].rpartition(")")[0]
    return re.sub(r"::[\w. ]+", "", inner) or "no argument"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else f"{line[:_LONGEST_VALUE]}…"
