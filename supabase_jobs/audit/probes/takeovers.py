"""Takeovers: rows of others that the caller makes its own, and files of its own that it moves into
the folders of another.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import STRANGER
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.attempt import GROUP, MOVE, OTHER, OWN, TAKE_OVER, UPDATE, Attempt
from supabase_jobs.audit.probes.new_values import NewValues
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Writes, writable
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.outcomes import ROWS, VIOLATES


class Takeovers:
    """The updates that give a row another owner."""

    def __init__(self, world: World, values: NewValues, writes: Writes, record: Record) -> None:
        self._world, self._plan = world, world.plan
        self._values, self._writes, self._record = values, writes, record

    def of_rows(self) -> Iterator[Attempt]:
        """Rows of others that a policy refuses to leave as they are: with the caller as their
        owner, and in the states that policies compare.
        """
        done: set[tuple[int, int]] = set()
        updates = [a for a in self._record.attempts if a.action == UPDATE]
        for attempt in [a for a in updates if a.outcome == VIOLATES]:
            key = id(attempt.caller), attempt.relation.oid
            if attempt.whose not in (OTHER, GROUP) or attempt.caller.user is None or key in done:
                continue
            done.add(key)
            row = attempt.row
            new = self._values.as_own(row, attempt.caller, through_parents=True)
            for values_ in (new, *({name: value} for name, value in new.items() if len(new) > 1)):
                if values_ and all(
                    attempt.relation.may(attempt.caller.role, "UPDATE", c) for c in values_
                ):
                    taken = self._writes.update(attempt.caller, row, attempt.whose, values_)
                    taken.name = TAKE_OVER
                    yield taken
            yield from self._compared(attempt)

    def _compared(self, attempt: Attempt) -> Iterator[Attempt]:
        """The row of an attempt with each other value that policies compare a column with."""
        row, literals = attempt.row, self._plan.usage.constants.literals
        for column in writable(attempt.relation, attempt.caller.role, UPDATE):
            for value in literals.get((attempt.relation.oid, column.name), ())[: LIMITS.values]:
                if value not in (row.values.get(column.name), attempt.written.get(column.name)):
                    new = {column.name: value}
                    yield self._writes.update(attempt.caller, row, attempt.whose, new)

    def of_folders(self) -> Iterator[Attempt]:
        """Files of one's own that get a path in the folder of another: in each folder of the victim
        one, if the file may be changed at all.
        """
        for attempt in list(self._record.attempts):
            row, caller = attempt.row, attempt.caller
            may_change = attempt.action == UPDATE and attempt.outcome in (ROWS, VIOLATES)
            if not (may_change and row.relation.is_storage and attempt.whose == OWN):
                continue
            if caller.kind != STRANGER or not row.relation.may(caller.role, "UPDATE", "name"):
                continue
            for path in self._folders_of_victim(row):
                moved = self._writes.update(caller, row, OWN, {"name": f"{path}/{row.token}m.png"})
                moved.name = MOVE
                yield moved

    def _folders_of_victim(self, row: Row) -> list[str]:
        """The folders of tenant A's owner in the bucket of a file."""
        files = [r for r in self._world.a.owner.extra if r.relation is row.relation]
        paths = [file.values["name"] or "" for file in files if file.part == row.part]
        return list(dict.fromkeys(path.rpartition("/")[0] for path in paths if "/" in path))
