"""Existing rows: each caller reads, updates and deletes them, then updates their other columns."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.probes import probed_rows, statements
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    GROUP,
    NONE,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.lasting import LastingColumns
from supabase_jobs.audit.probes.new_values import NewValues
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Writes, writable
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.outcomes import DENIED, HIDDEN, VIOLATES


class ExistingRows:
    """The attempts of callers on existing rows."""

    def __init__(
        self,
        world: World,
        values: NewValues,
        writes: Writes,
        lasting: LastingColumns,
        record: Record,
    ) -> None:
        self._world, self._values, self._writes = world, values, writes
        self._lasting, self._record = lasting, record

    def of_table(self, caller: Persona, relation: Relation) -> Iterator[Attempt]:
        """A caller reads, updates and deletes the rows of a table. The update is of the column
        that has the fewest side effects.
        """
        for whose, row in probed_rows.of(self._world, caller, relation):
            yield self._read(caller, row, whose)
            columns = self._lasting.by_weight(relation, writable(relation, caller.role, UPDATE))
            if columns:
                value = self._values.of(row, columns[0], caller)[0]
                yield self._writes.update(caller, row, whose, {columns[0].name: value})
            else:
                yield Attempt(caller=caller, relation=relation, whose=whose, action=UPDATE, row=row)
            deletion = statements.delete(row, self._writes.cursor(row))
            yield Attempt(
                caller=caller, relation=relation, whose=whose, action=DELETE, row=row, sent=deletion
            )

    def _read(self, caller: Persona, row: Row, whose: str) -> Attempt:
        """A caller reads a row, alone if only its key tells it from others and is not readable."""
        attempt = Attempt(
            caller=caller,
            relation=row.relation,
            whose=whose,
            action=SELECT,
            row=row,
            sent=statements.select(row, caller.role),
        )
        if statements.may_read(row, row.key, caller.role):
            return attempt
        return self._writes.after(attempt, statements.delete_alike(row, caller.role))

    def other_columns(self) -> Iterator[Attempt]:
        """Each other column, of rows of one's own and of the group, if the policies let one column
        pass; of any row, if only a trigger has refused the one; and each state of a row of others,
        or of one in another state, if WITH CHECK has refused the one: it may ask for a state.
        """
        tried = [a for a in self._record.attempts if a.action == UPDATE and a.sent is not None]
        for attempt in tried:
            is_let = self._by_column(attempt) and attempt.outcome not in (HIDDEN, DENIED)
            is_let |= self._is_refused_by_a_trigger(attempt)
            is_let &= not attempt.is_state
            is_limited = attempt.is_state or attempt.whose == OTHER
            is_limited &= attempt.outcome == VIOLATES
            if not (is_let or is_limited):
                continue
            row = attempt.row
            for column in writable(attempt.relation, attempt.caller.role, UPDATE):
                if not (is_let or self._world.plan.may_hold_state(attempt.relation, column)):
                    continue
                for value in self._values.of(row, column, attempt.caller):
                    if (column.name, value) != (attempt.column, attempt.value):
                        new = {column.name: value}
                        yield self._writes.update(attempt.caller, row, attempt.whose, new)

    def _is_refused_by_a_trigger(self, attempt: Attempt) -> bool:
        """Whether a trigger may have refused the value of an update, after the policies let the row
        pass.
        """
        has_triggers = bool(attempt.relation.triggers)
        return has_triggers and attempt.outcome == DENIED and attempt.error is not None

    def _by_column(self, attempt: Attempt) -> bool:
        """Whether columns matter: of rows of one's own and of the group, and of what policies of
        others read.
        """
        return attempt.whose in (OWN, GROUP) or (
            attempt.whose == NONE and attempt.relation.oid in self._world.plan.opening
        )
