"""The effect of a fault for callers: the audit of a copy with the fault, compared with that of one
without.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from psycopg import sql

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.emit.recording import RecordedAttempt, Recording, Showing, record
from supabase_jobs.audit.evidence import Evidence
from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.findings import Audit
from supabase_jobs.mutation.suite.copies import Copy
from supabase_jobs.mutation.suite.missing import MissingTest, Replay, find
from supabase_jobs.mutation.suite.objects import ProjectObject
from supabase_jobs.outcomes import CLOSED, HIDDEN, ROWS
from supabase_jobs.session.action import Query
from supabase_jobs.session.caller import Caller

_QUERIES = sql_files(Path(__file__).with_name("sql"))
# differences that are tried for a test
_MAX_TRIED = 40

Cell = tuple[str, str, str, str]


@dataclass(frozen=True)
class Effect:
    """The result of an audit of a fault. `note` names unknowns.

    `state`: survived, equivalent (it changes nothing for any caller), or untested (the audit cannot
    tell).
    """

    state: str
    test: MissingTest | None = None
    note: str = ""


@dataclass(frozen=True)
class _Observed:
    """An audit and its recording."""

    result: Audit
    recording: Recording


class Effects:
    """Compares copies with faults with one without; `observe` may be called by several threads."""

    def __init__(self, reference: Copy, options: Options) -> None:
        self._reference, self._options = reference, replace(options)
        self._lock = threading.Lock()
        self._before: _Observed | None = None

    def observe(self, copy: Copy, target: ProjectObject) -> Effect:
        """The effect of the fault in a copy. `target` is the object that the fault changes."""
        with self._lock, connect(self._reference.url) as reference:
            before = self._before = self._before or self._audit(reference)
        with connect(copy.url) as mutated:
            after = self._audit(mutated)
            found = (
                *_differences(before.recording, after.recording),
                *_calls(before.recording, after.recording),
            )
            differences = sorted(found, key=_danger)
            if not differences:
                why = _untested(before, after, target) or _not_observed(mutated, after, target)
                return Effect("untested", note=why) if why else Effect("equivalent")
            with self._lock, connect(self._reference.url) as reference:
                for old, new in differences[:_MAX_TRIED]:
                    attempt, recording = (
                        (new, after.recording) if new.showings else (old, before.recording)
                    )
                    test = find(Replay(reference), Replay(mutated), recording, attempt)
                    if test is not None:
                        return Effect("survived", test)
        return Effect("survived", note="no single statement of a caller shows it")

    def _audit(self, connection: Connection) -> _Observed:
        _QUERIES["sequences"].execute(connection)
        recordings: list[Recording] = []

        def recorder(evidence: Evidence) -> None:
            recordings.append(record(connection, evidence, copied=self._options.copied))

        result = audit(connection, replace(self._options, record=recorder, repairs=False))
        return _Observed(result, recordings[0])


def _untested(before: _Observed, after: _Observed, target: ProjectObject) -> str:
    """Why one of the audits has not tested the object; '' if both have."""
    names = (target.name, target.label, "database")
    listed = [n for o in (before, after) for n in o.result.not_tested if n.object in names]
    return f"audit cannot test {target.name}: {listed[0].why}" if listed else ""


def _not_observed(connection: Connection, observed: _Observed, target: ProjectObject) -> str:
    """Why nothing is known about a function that no table runs and of which no call had an effect;
    '' if it is known.

    The audit calls functions only with rows that are hidden from the caller, so it does not see
    their effect on others.
    """
    if not target.is_function:
        return ""
    calls = [a for a in observed.recording.attempts if a.of_function]
    effective = sorted({call.object for call in calls if call.outcome == ROWS})
    [(is_reached,)] = _QUERIES["reached"].rows(connection, target.name, effective)
    if is_reached:
        return ""
    if any(call.object == target.name for call in calls):
        return (
            f"audit calls {target.name} only with rows of others, and no call returned or"
            " changed any of them"
        )
    if target.name in observed.recording.functions:
        return (
            f"audit does not call {target.name} with the fault: it reads no table with hidden rows"
        )
    return (
        f"audit does not call {target.name}, and no policy, trigger or function that audit"
        " observes calls it"
    )


def _calls(
    before: Recording, after: Recording
) -> Iterator[tuple[RecordedAttempt, RecordedAttempt]]:
    """The roles that may call a function on one side only, whether or not the audit calls it."""
    for name in sorted(before.functions.keys() & after.functions.keys()):
        for role in sorted(
            (before.functions[name] ^ after.functions[name]) & {"anon", "authenticated"}
        ):
            query = sql.SQL(
                "select 1 where has_function_privilege(current_user, {}, 'execute')"
            ).format(sql.Literal(name))
            may = RecordedAttempt(
                object=name,
                caller=Caller(role=role, claims={"role": role}, headers={}, label=role),
                whose="none",
                verb="execute",
                outcome=ROWS,
                showings=(Showing(Query(sql.Literal(name), query)),),
                of=name,
                of_function=True,
            )
            may_not = replace(may, outcome=HIDDEN)
            yield (may, may_not) if role in before.functions[name] else (may_not, may)


def _differences(
    before: Recording, after: Recording
) -> Iterator[tuple[RecordedAttempt, RecordedAttempt]]:
    """The attempts of equal cells with different outcomes.

    A cell that one audit lacks counts as refused there: a column that nobody can update is not
    tried.
    """
    old, new = _by_cell(before.attempts), _by_cell(after.attempts)
    for cell in dict.fromkeys([*old, *new]):
        for first, second in zip_longest(old.get(cell, ()), new.get(cell, ())):
            if first is not None and second is not None:
                pair = first, second
            elif first is not None:
                pair = first, _refused(first, new)
            else:
                pair = _refused(second, old), second
            if pair[0].outcome != pair[1].outcome:
                yield pair


def _refused(
    attempt: RecordedAttempt, others: Mapping[Cell, Sequence[RecordedAttempt]]
) -> RecordedAttempt:
    """The attempt of the other audit instead of one: that of no column, else one that differs from
    no refusal.
    """
    whole = others.get((*attempt.cell[:3], attempt.verb), ())
    if whole:
        return whole[0]
    return replace(
        attempt, outcome=HIDDEN if attempt.outcome == ROWS else attempt.outcome, showings=()
    )


def _by_cell(attempts: Sequence[RecordedAttempt]) -> dict[Cell, list[RecordedAttempt]]:
    found: dict[Cell, list[RecordedAttempt]] = {}
    for attempt in attempts:
        found.setdefault(attempt.cell, []).append(attempt)
    return found


def _danger(difference: tuple[RecordedAttempt, RecordedAttempt]) -> tuple[int, int]:
    """The order of tests: what strangers gain, what others gain, what a caller loses, and other
    outcomes.

    Of what is lost, a row without a special state or owner comes first: it makes the plainest test.
    """
    old, new = difference
    near = ("own", "group", "none", "other").index(new.whose)
    if new.outcome == ROWS or (old.outcome in CLOSED and new.outcome not in CLOSED):
        return 0, -near
    if old.outcome == ROWS:
        return 1, 2 * near + (new.verb == "insert" and bool(new.column or new.name))
    return 2, near
