"""The rows that a view selects: the generated ones, once they have the values that it asks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.policies.uses import ColumnKey, Condition
from supabase_jobs.audit.probes.attempt import DELETE, SELECT, is_referenced
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.effects import Effects
from supabase_jobs.audit.probes.statements import exists
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.outcomes import HIDDEN, ROWS
from supabase_jobs.session.action import Select
from supabase_jobs.session.outcome import outcome_of_error


@dataclass(eq=False, kw_only=True)
class PreparedUse(Bypass):
    """A read of a view, or a write to it, after the owner has `prepared` the rows that it selects.

    `own` sets the role of the owner. Rows that the caller reads in their tables then are none that
    these refuse. Where these refuse all of which the view may show something, `everything` reads it
    whole: before, it showed no row, so that any row is one of them.
    """

    prepared: Sequence[Statement]
    own: Statement
    everything: Sequence[Select] = ()

    @property
    def _readable(self) -> list[Row]:
        """The rows of tables that the caller's role may read."""
        return [row for row in self.hidden if row.relation.may(self.caller.role, SELECT.upper())]

    @property
    def statements(self) -> list[Statement]:
        """The statements of the owner and of the caller, in order."""
        reads = exists((row, self.caller.role) for row in self._readable)
        whole = [read.statement for read in self.everything]
        return [self.own, *self.prepared, self.become, reads, *super().statements, *whole]

    def read(self, result: GroupResult) -> None:
        """Read which rows the view shows or changes, and which of them their tables refuse."""
        self.error = result.error
        if result.error is not None:
            # foreign keys keep a row only if the view would delete it
            is_kept = self.action == DELETE and is_referenced(result.error)
            self.effects = Effects(changed=self.hidden if is_kept else ())
            self.outcome = ROWS if is_kept else outcome_of_error(result.error)
            return
        reads, answer, *whole = result.answers[-2 - len(self.everything) :]
        if self.action == SELECT:
            known = zip(self._readable, reads.rows[0] if self._readable else (), strict=True)
            read = {id(row) for row, is_read in known if is_read}
            found = self._shown_in(str(answer.rows[0][0]) if answer.rows else "")
            if not found and not read and any(one.rows[0][0] is not None for one in whole):
                found, self.sent = list(self.hidden), self.everything
            self.said.shown = [row for row in found if id(row) not in read]
        else:
            found = list(self.hidden) if answer.count else []
            self.effects = Effects(changed=found)
        self.outcome = ROWS if found else HIDDEN


@dataclass(eq=False, kw_only=True)
class StateUse(PreparedUse):
    """A read of a view of a row in a `state` in which its table refuses the row to the caller, who
    reads it in another one.
    """

    state: str

    def read(self, result: GroupResult) -> None:
        """Read whether the view shows the row: by a mark, or by its key."""
        super().read(result)
        if self.error is None and not self.said.shown:
            reads, answer = result.answers[-2:]
            text = str(answer.rows[0][0]) if answer.rows else ""
            [row] = self.hidden
            values_ = [value for value in map(row.values.get, row.key) if value is not None]
            is_read = bool(self._readable) and reads.rows[0][0]
            is_shown = any(len(v) >= LIMITS.identifying_unique_text and v in text for v in values_)
            self.said.shown = [row] if is_shown and not is_read else []
            self.outcome = ROWS if self.said.shown else HIDDEN


def wanted(
    world: World, rows: Sequence[Row], conditions: Sequence[Condition]
) -> dict[ColumnKey, str | None]:
    """The values with which rows meet the conditions of a view; of each column the first one."""
    by_table = {row.relation.oid: row for row in rows}
    found: dict[ColumnKey, str | None] = {}
    for (oid, name), operator, text in conditions:
        row = by_table.get(oid)
        for value in _values(world, row, name, (operator, text)) if row is not None else ():
            found.setdefault((oid, name), value)
            break
    return found


def _values(
    world: World, row: Row, name: str, condition: tuple[str, str | None]
) -> Iterator[str | None]:
    """The values of a column that meet a condition."""
    column, current = row.relation.by_name[name], row.values.get(name)
    limits = world.plan.limits.get(row.relation.oid, {}).get(name, Limits())
    match condition:
        case ("=", str(text)):
            yield text
        case (expressions.IS_NULL, _):
            yield None
        case (expressions.IS_NOT_NULL, _) if current is None:
            yield from values.candidates(
                column, limits, world.new_token, 78, world.now, world.plan.words
            )
        case ("<>", text) if text == current:
            yield from (value for value in column.labels or limits.allowed or () if value != text)
        case ("<" | "<=" | ">" | ">=" as operator, str(text)) if column.category == "N":
            yield str(float(text) + (-1 if operator in expressions.LESS else 1)).removesuffix(".0")
        case ("<" | "<=" | ">" | ">=" as operator, None) if column.base in values.TIMES:
            yield _beside(world.now, operator).isoformat()


def _beside(now: datetime, operator: str) -> datetime:
    """A time before now, or after it."""
    distance = timedelta(days=LIMITS.days)
    return now - distance if operator in expressions.LESS else now + distance
