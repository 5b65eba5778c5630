"""What a fault changes for a caller: the audit of a copy with the fault, compared with that of one without."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from supabase_jobs.audit.recording import RecordedAttempt, Recording, record
from supabase_jobs.audit.run import Options, audit
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Audit
from supabase_jobs.mutation.suite.copies import Copy
from supabase_jobs.mutation.suite.missing import MissingTest, Replay, find

_SEQUENCES = Path(__file__).with_name("sql") / "sequences.sql"
_REFUSALS = ("hidden", "denied", "violates")
# differences that are tried for a test
_MAX_TRIED = 40

Cell = tuple[str, str, str, str]


@dataclass(frozen=True)
class Effect:
    """What the audit of a fault shows. `equivalent`: it changes nothing for any caller. `note`: what is unknown."""

    equivalent: bool
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
        self._reference, self._options = reference, replace(options, is_local=True)
        self._lock = threading.Lock()
        self._before: _Observed | None = None

    def observe(self, copy: Copy, target: str) -> Effect:
        """The effect of the fault in a copy. `target` is the object that the fault changes."""
        with self._lock, connect(self._reference.url) as reference:
            before = self._before = self._before or self._audit(reference)
        with connect(copy.url) as mutated:
            after = self._audit(mutated)
            differences = sorted(_differences(before.recording, after.recording), key=_danger)
            if not differences:
                untested = [n for n in before.result.not_tested if n.object in (target, "database")]
                if untested:
                    return Effect(False, note=f"audit cannot test {target}: {untested[0].why}")
                return Effect(True)
            with self._lock, connect(self._reference.url) as reference:
                for old, new in differences[:_MAX_TRIED]:
                    attempt, recording = (new, after.recording) if new.checks else (old, before.recording)
                    test = find(Replay(reference), Replay(mutated), recording.rows, attempt)
                    if test is not None:
                        return Effect(False, test)
        return Effect(False, note="no single statement of a caller shows it")

    def _audit(self, connection: Connection) -> _Observed:
        sql_file(_SEQUENCES).execute(connection)
        recordings: list[Recording] = []
        recorder: Callable[..., None] = lambda *found: recordings.append(record(connection, *found))  # noqa: E731
        result = audit(connection, replace(self._options, record=recorder))
        return _Observed(result, recordings[0])


def _differences(before: Recording, after: Recording) -> Iterator[tuple[RecordedAttempt, RecordedAttempt]]:
    """The attempts of equal cells with different outcomes.

    A cell that one audit lacks counts as refused there: a column that nobody can update is not tried.
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


def _refused(attempt: RecordedAttempt, others: Mapping[Cell, Sequence[RecordedAttempt]]) -> RecordedAttempt:
    """What the other audit has instead of an attempt: that of no column, or nothing that differs from a refusal."""
    whole = others.get((*attempt.cell[:3], attempt.action.partition(" ")[0]), ())
    if whole:
        return whole[0]
    return replace(attempt, outcome="hidden" if attempt.outcome == "rows" else attempt.outcome, checks=())


def _by_cell(attempts: Sequence[RecordedAttempt]) -> dict[Cell, list[RecordedAttempt]]:
    found: dict[Cell, list[RecordedAttempt]] = {}
    for attempt in attempts:
        found.setdefault(attempt.cell, []).append(attempt)
    return found


def _danger(difference: tuple[RecordedAttempt, RecordedAttempt]) -> tuple[int, int]:
    """The order of tests: what strangers gain, what others gain, what a caller loses, and other outcomes."""
    old, new = difference
    near = ("own", "group", "none", "other").index(new.whose)
    if new.outcome == "rows" or (old.outcome in _REFUSALS and new.outcome not in _REFUSALS):
        return 0, -near
    return (1 if old.outcome == "rows" else 2), near
