"""Probe every table as every caller: reads, writes, writes by column, and what a permitted write
opens.
"""

from collections.abc import Collection, Sequence

from supabase_jobs.audit.callers import LAPSED, Persona
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import Attempt
from supabase_jobs.audit.probes.deciding_roles import DecidingRoles
from supabase_jobs.audit.probes.escalation import Escalation, Gain
from supabase_jobs.audit.probes.exclusions import Exclusion, Exclusions
from supabase_jobs.audit.probes.existing_rows import ExistingRows
from supabase_jobs.audit.probes.known import Known, Tried
from supabase_jobs.audit.probes.lasting import LastingColumns
from supabase_jobs.audit.probes.mass_assignment import MassAssignment
from supabase_jobs.audit.probes.new_rows import NewRows
from supabase_jobs.audit.probes.new_values import NewValues
from supabase_jobs.audit.probes.promotions import Promotions
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.self_approval import SelfApproval
from supabase_jobs.audit.probes.state_changes import StateChanges
from supabase_jobs.audit.probes.takeovers import Takeovers
from supabase_jobs.audit.probes.writes import Writes
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Standing
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.session.action import Cursor
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.runner import Runner


class Probes:
    """Tries what callers may do, in the order in which each step builds on those before it.

    `attempts` keeps what shows access, `gains` what permitted writes opened. `exclusions` are the
    tables whose rows exclude whom they name, and `standings` those of the world with what members
    still write; a run on the same rows as an earlier one finds neither.
    """

    def __init__(
        self,
        impersonation: Impersonation,
        world: World,
        callers: Sequence[Persona],
        deadline: Deadline,
        known: Known | None = None,
    ) -> None:
        """`known` are the outcomes of an earlier run on the same rows."""
        known = known or Known()
        self._impersonation, self._world = impersonation, world
        self._callers = [caller for caller in callers if caller.kind != LAPSED]
        self._is_first = known.reach is None
        self.prober = Runner(impersonation, deadline)
        self._record = Record(self.prober, known)
        self._values = NewValues(world)
        self._lasting = LastingColumns(world, known)
        self.gains: list[Gain] = []
        self.exclusions: list[Exclusion] = []
        self.standings: Sequence[Standing] = world.observed.standings

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts whose outcomes are the access of callers."""
        return self._record.attempts

    @property
    def restored(self) -> dict[int, set[str]]:
        """The columns of each table that a trigger restores or sets, whoever changes them."""
        return self._lasting.restored

    @property
    def known(self) -> Known:
        """The attempts of this run, for others on the same rows."""
        return Known(Tried(self._record.tried), self._lasting.restored, self._lasting.refused)

    def run(
        self, relations: Sequence[Relation], writes: Collection[tuple[int, str]] | None = None
    ) -> None:
        """Probe these relations. `writes` are the actions on tables after which what they may open
        is tried again; None: all.
        """
        tables = _tables(relations)
        cursors = self._open_cursors(tables)
        if self._is_first:
            self._lasting.find(tables, self._callers[0], self._values, self.prober)
        writes_again = self._attempt(tables, cursors, with_own_rows=tables)
        if self._is_first:
            excluded = Exclusions(self._world, writes_again, self._record)
            self.exclusions, self.standings = excluded.find(), excluded.standings()
        self.gains = Escalation(self._world.plan, self._record).gains(writes)

    def run_by_key(self, relations: Sequence[Relation]) -> None:
        """Probe these relations as requests do: they name rows by their keys, so that the SELECT
        policies apply too.
        """
        self._attempt(_tables(relations), cursors={}, with_own_rows=())

    def _attempt(
        self,
        tables: Sequence[Relation],
        cursors: dict[int, Cursor],
        *,
        with_own_rows: Sequence[Relation],
    ) -> Writes:
        """Try everything with the tables; `with_own_rows` are those in which callers also write the
        profile or membership that each of them has. Returns what makes the writes.
        """
        world, values, record, callers = self._world, self._values, self._record, self._callers
        writes = Writes(world.plan, own_role(self._impersonation), cursors)
        existing = ExistingRows(world, values, writes, self._lasting, record)
        new_rows = NewRows(world, values, writes, record)
        takeovers = Takeovers(world, values, writes, record)
        states = StateChanges(world, writes, record)
        assignment = MassAssignment(world, values, writes, record)
        promotions = Promotions(world, values, writes, record)
        approval = SelfApproval(world, values, writes, record)
        roles = DecidingRoles(world, writes, record)

        first: list[Attempt] = []
        for caller in callers:
            for table in tables:
                if table.is_storage or not caller.operation:
                    first += existing.of_table(caller, table)
                    first += new_rows.of_table(caller, table)
        record.send(first)
        roles.find_rights_of_colleagues()
        record.send([*new_rows.without_decisions()])
        record.send([*existing.other_columns()])
        record.send([*takeovers.of_rows()])
        record.send([*states.acceptances(callers)])
        record.send([*takeovers.of_folders()])
        record.send([*states.restorations(callers, with_own_rows)])
        record.send([*states.left_states()])
        record.send(
            [
                *assignment.of_accepted(),
                *assignment.of_newcomers(callers, with_own_rows),
                *promotions.memberships(callers, with_own_rows),
                *promotions.invitations(),
            ]
        )
        record.send([*approval.started()])
        approval.find_deciders()
        roles.find()
        return writes

    def _open_cursors(self, tables: Sequence[Relation]) -> dict[int, Cursor]:
        """Open a cursor on every generated row, so that an UPDATE or DELETE of one row reads no
        column. They are returned by the identity of their row.
        """
        rows = (*self._world.a.all_rows, *self._world.b.all_rows)
        probed = {relation.oid for relation in tables}
        own = self._world.newcomer.rows.values()
        cursors: dict[int, Cursor] = {}
        opening: list[Statement] = []
        for number, row in enumerate((*rows, *own)):  # the same names, whichever are probed
            if row.relation.kind != "r" or (number < len(rows) and row.relation.oid not in probed):
                continue
            cursors[id(row)] = statements.cursor(number, row)
            opening += cursors[id(row)].opening()
        if opening:
            [result] = run_groups(self._impersonation.connection, [opening])
            result.answer()
        return cursors


def _tables(relations: Sequence[Relation]) -> list[Relation]:
    return [r for r in relations if r.is_table and r.partition_of is None]
