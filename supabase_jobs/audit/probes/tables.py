"""Probe every relation as every caller: reads, writes, writes by column, and what a permitted write
opens.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from psycopg import errors

from supabase_jobs.audit.callers import (
    ANON,
    CLAIM,
    FORMER,
    IMPOSTOR,
    INVITED,
    LAPSED,
    MEMBER,
    NEWCOMER,
    OWNER,
    STRANGER,
    Persona,
)
from supabase_jobs.audit.catalog import Column, Constraint, Relation, is_partition_column
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.policies.tested import Left, left
from supabase_jobs.audit.policies.usage import ColumnKey, columns_of_state
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import (
    ACCEPT,
    ADD,
    BELOW,
    CHOOSE,
    DECIDE,
    DELETE,
    FORGE,
    GROUP,
    INSERT,
    JOIN,
    LEAVE,
    MOVE,
    NAME,
    NONE,
    OPEN,
    OTHER,
    OWN,
    RESTORE,
    SELECT,
    START,
    TAKE_OVER,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.known import Known, Tried
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.plan import Membership, default_of, user_columns
from supabase_jobs.audit.rows.tenants import Row, Tenant, User
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.outcomes import DENIED, HIDDEN, ROWS, VIOLATES
from supabase_jobs.session.action import Cursor
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import SET, Impersonation, own_role
from supabase_jobs.session.runner import OwnerProbe, Runner, probes_of

_Effect = Callable[[Sequence[Any]], bool]
# the caller, by its identity, the table, the action, the column, and the name of the attempt
_Write = tuple[int, int, str, str, str]
_PRIVILEGE = {SELECT: "SELECT", INSERT: "INSERT", UPDATE: "UPDATE", DELETE: "DELETE"}


@dataclass(frozen=True, eq=False)
class Gain:
    """An access that a permitted write opened to its caller: to a row that it could not read,
    change or delete before.
    """

    write: Attempt
    row: Row
    action: str


@dataclass(frozen=True)
class _Role:
    """A role that each user has: the table and column, the value, and others that it could be."""

    relation: Relation
    user: str
    column: str
    value: str
    others: Sequence[str]

    @property
    def label(self) -> str:
        """The role as questions name it."""
        return f"{self.relation.name}.{self.column} = {self.value}"


class Probes:
    """Runs the attempts in batches; `attempts` keeps all of them."""

    def __init__(
        self,
        impersonation: Impersonation,
        world: World,
        callers: Sequence[Persona],
        deadline: Deadline,
        known: Known | None = None,
    ) -> None:
        """`known` are the outcomes of an earlier run on the same rows."""
        self._impersonation, self._world = impersonation, world
        self._callers = [caller for caller in callers if caller.kind != LAPSED]
        self._plan = world.plan
        self._known = known or Known()
        self.prober = Runner(impersonation, deadline)
        self._cursors: dict[int, Cursor] = {}
        self._tables: Sequence[Relation] = ()
        self._everybody: list[_Role] | None = None
        # table → columns that a trigger restores or sets, whoever changes them
        self.restored: dict[int, set[str]] = dict(self._known.restored)
        # table → columns whose new value a constraint refuses in some row
        self._refused: dict[int, set[str]] = dict(self._known.refused)
        self._tried: list[Attempt] = []
        self.attempts: list[Attempt] = []
        self.gains: list[Gain] = []

    def run(
        self, relations: Sequence[Relation], writes: Collection[tuple[int, str]] | None = None
    ) -> None:
        """Probe these relations. `writes` are the actions on tables after which what they may open
        is tried again; None: all.
        """
        tables = [r for r in relations if r.is_table and r.partition_of is None]
        self._tables = tables
        self._open_cursors(tables)
        self._find_passing(tables)
        self._attempt(tables)
        self._escalate(writes)

    def run_by_key(self, relations: Sequence[Relation]) -> None:
        """Probe these relations as requests do: they name rows by their keys, so that the SELECT
        policies apply too.
        """
        self._attempt([r for r in relations if r.is_table and r.partition_of is None])

    def _attempt(self, tables: Sequence[Relation]) -> None:
        pairs = [(c, r) for c in self._callers for r in tables if r.is_storage or not c.operation]
        self._send([attempt for pair in pairs for attempt in self._basic(*pair)])
        self._find_rights_of_colleagues()
        self._send(list(self._unset()))
        self._send(list(self._columns()))
        self._send(list(self._takeovers()))
        self._send(list(self._acceptances()))
        self._send(list(self._moves()))
        self._send(list(self._restorations()))
        self._send(list(self._left_states()))
        self._send(list(self._new_rows()))
        self._send(list(self._decided()))
        self._decide_about_own()
        self._find_deciding_roles()

    # -------------------------------------------------------------------------------------------
    # sending

    def _send(self, attempts: Sequence[Attempt]) -> None:
        """Run attempts; those that need a privilege that the role lacks are denied without a
        statement.
        """
        waiting = []
        for attempt in attempts:
            is_possible = attempt.sent is not None and attempt.relation.may(
                attempt.caller.role, _PRIVILEGE[attempt.action], attempt.column or None
            )
            if is_possible:
                waiting.append(attempt)
            else:
                attempt.outcome = DENIED
        try:
            self._try(waiting)
        finally:  # those that the time limit left out have no outcome
            self.attempts += [attempt for attempt in attempts if attempt.outcome]

    def _try(self, attempts: Iterable[Attempt]) -> None:
        """Run the attempts whose outcome is not known."""
        unknown = [attempt for attempt in attempts if not self._known.tells(attempt)]
        self._tried += unknown
        self.prober.run(probes_of(unknown, LIMITS.attempts_in_batch))

    @property
    def known(self) -> Known:
        """The attempts of this run, for others on the same rows."""
        return Known(Tried(self._tried), self.restored, self._refused)

    def _open_cursors(self, tables: Sequence[Relation]) -> None:
        """Open a cursor on every generated row, so that an UPDATE or DELETE of one row reads no
        column.
        """
        rows = [
            row
            for tenant in (self._world.a, self._world.b)
            for user in tenant.users
            for row in (*user.rows.values(), *user.extra)
        ]
        probed = {relation.oid for relation in tables}
        own = self._world.newcomer.rows.values()
        opening: list[Statement] = []
        for number, row in enumerate((*rows, *own)):  # the same names, whichever are probed
            if row.relation.kind != "r" or (number < len(rows) and row.relation.oid not in probed):
                continue
            self._cursors[id(row)] = statements.cursor(number, row)
            opening += self._cursors[id(row)].opening()
        if opening:
            [result] = run_groups(self._impersonation.connection, [opening])
            result.answer()

    def _find_passing(self, tables: Sequence[Relation]) -> None:
        """Note the columns whose new value a trigger replaces for the database's owner too, such as
        `updated_at`, or a constraint refuses in some row: that shows nothing about a caller.
        """
        tried: list[tuple[Row, str]] = []
        controls: list[Statement] = []
        for relation in tables if self._known.reach is None else ():
            first = self._world.a.rows.get(relation.oid)
            has_checks = any(constraint.kind == "c" for constraint in relation.constraints)
            if first is None or not (relation.triggers or has_checks):
                continue
            states = [row for row in self._world.a.states if row.relation is relation]
            for column in self._columns_by_weight(relation, relation.columns)[: LIMITS.controls]:
                for row in (first, *(states if has_checks else ())):
                    value = self._values(row, column, self._callers[0])[0]
                    tried.append((row, column.name))
                    controls.append(statements.lasting_update(row, column.name, value))
        if not controls:
            return
        probe = OwnerProbe(controls)
        self.prober.run([probe])
        for (row, name), result in zip(tried, probe.results, strict=True):
            oid = row.relation.oid
            answers = [] if result.error is not None else result.answers[0].rows
            if isinstance(result.error, errors.IntegrityError):
                self._refused.setdefault(oid, set()).add(name)
            elif answers and not answers[0][0] and row is self._world.a.rows[oid]:
                self.restored.setdefault(oid, set()).add(name)

    # -------------------------------------------------------------------------------------------
    # rows

    def rows(self, caller: Persona, relation: Relation) -> Iterator[tuple[str, Row]]:
        """The rows that a caller is probed with: (whose, row)."""
        if relation.is_storage:
            yield from self._objects(caller)
            return
        a = self._world.a.rows.get(relation.oid)
        own = caller.own_row(relation.oid)
        if not self._plan.owned(relation):
            if a is not None:
                yield NONE, a
            return
        if own is not None and (caller.kind != OWNER or own is a):
            yield OWN, own
        if caller.kind == OWNER:
            member = next((u for u in self._world.a.users if u.is_member), None)
            if relation.oid in self._plan.tenants:
                member = self._world.a.users[1]
            row = member.rows.get(relation.oid) if member else None
            if row is not None:
                yield GROUP, row
        elif a is not None and a is not own:
            yield (GROUP if caller.kind == MEMBER else OTHER), a

    def _states(self, caller: Persona, relation: Relation) -> Iterator[tuple[str, Row]]:
        """Rows of tenant A in other states, for everyone."""
        whose = {OWNER: OWN, MEMBER: GROUP}.get(caller.kind, OTHER)
        owner = self._world.a.owner
        for row in self._world.a.states:
            if row.relation is not relation or relation.is_storage:
                continue
            if caller.own_row(relation.oid) is row:
                continue
            if row.state_of is not None and row not in owner.extra:  # that of a further user
                if relation.oid in self._plan.tenants:
                    yield {OWNER: GROUP, MEMBER: GROUP}.get(caller.kind, OTHER), row
                elif caller.kind != OWNER:
                    yield OTHER, row
            else:
                yield whose if self._plan.owned(relation) else NONE, row

    def _objects(self, caller: Persona) -> Iterator[tuple[str, Row]]:
        """The objects of Storage: a caller's own, and those of tenant A's owner."""
        owner = self._world.a.owner
        if caller.user is not None:
            yield from ((OWN, row) for row in caller.user.extra if row.relation.is_storage)
        if caller.user is not owner:
            whose = GROUP if caller.kind == MEMBER else OTHER
            yield from ((whose, row) for row in owner.extra if row.relation.is_storage)

    def _basic(self, caller: Persona, relation: Relation) -> Iterator[Attempt]:
        for whose, row in (*self.rows(caller, relation), *self._states(caller, relation)):
            yield Attempt(
                caller=caller,
                relation=relation,
                whose=whose,
                action=SELECT,
                row=row,
                sent=statements.select(row, caller.role),
            )
            columns = self._columns_by_weight(
                relation, self._writable(relation, caller.role, UPDATE)
            )
            if columns:
                yield self._update(
                    caller, row, whose, {columns[0].name: self._values(row, columns[0], caller)[0]}
                )
            else:
                yield Attempt(caller=caller, relation=relation, whose=whose, action=UPDATE, row=row)
            deletion = statements.delete(row, self._cursors.get(id(row)))
            yield Attempt(
                caller=caller, relation=relation, whose=whose, action=DELETE, row=row, sent=deletion
            )
        yield from self._inserts(caller, relation)

    def _writable(self, relation: Relation, role: str, action: str) -> list[Column]:
        return [
            c
            for c in relation.columns
            if not c.generated
            and c.identity != "a"
            and relation.may(role, _PRIVILEGE[action], c.name)
        ]

    def _columns_by_weight(self, relation: Relation, columns: Sequence[Column]) -> list[Column]:
        """The columns, first those whose update has the fewest side effects and lasts."""
        return sorted(columns, key=lambda column: self._weight(relation, column))

    def _weight(self, relation: Relation, column: Column) -> int:
        """The lower, the fewer side effects an update of the column has."""
        does_not_last = any(
            column.name in known.get(relation.oid, ()) for known in (self.restored, self._refused)
        )
        key = any(column.name in k for k in relation.unique_keys)
        foreign = any(column.name in k.columns for k in relation.foreign_keys)
        identifies = column.name in user_columns(relation, self._plan.usage, self._plan.per_user)
        mentioned = column.name in self._plan.usage.words
        return 32 * does_not_last + 8 * identifies + 4 * foreign + 4 * key + mentioned

    # -------------------------------------------------------------------------------------------
    # updates

    def _update(
        self, caller: Persona, row: Row, whose: str, new: Mapping[str, str | None]
    ) -> Attempt:
        relation = row.relation
        column = next(iter(new))
        attempt = Attempt(
            caller=caller,
            relation=relation,
            whose=whose,
            action=UPDATE,
            row=row,
            sent=statements.update(row, new, self._cursors.get(id(row))),
            column=column,
            value=new[column],
        )
        if relation.triggers and row.ctid:
            lasts = statements.has_value(row, column, new[column])
            attempt.after = [own_role(self._impersonation), lasts]
            attempt.effect = _counts_and_lasts
        return attempt

    def _values(self, row: Row, column: Column, caller: Persona) -> list[str | None]:
        """Constants for a column that differ from its value: other tenants' ids, other roles,
        another text.
        """
        relation, current = row.relation, row.values.get(column.name)
        foreign = [k for k in relation.foreign_keys if column.name in k.columns]
        found: list[str | None] = []
        if foreign:
            found = [v for k in foreign for v in self._referenced(k, column.name, caller)]
        elif column.name in user_columns(relation, self._plan.usage, self._plan.per_user):
            users = [
                u.id
                for u in (caller.user, self._world.a.owner, self._world.b.owner)
                if u is not None
            ]
            found = [values.with_user(column, current, id_) for id_ in users]
        elif (relation.oid, column.name) in self._shared_columns:
            found = [self._shared_value(row, column, t) for t in (self._world.a, self._world.b)]
        else:
            limits = self._plan.limits.get(relation.oid, {}).get(column.name, Limits())
            literals = self._plan.usage.literals.get((relation.oid, column.name), [])
            found = [*literals]
            if len(literals) < 2 or column.typtype == "e" or limits.allowed:
                generated = values.candidates(
                    column,
                    limits,
                    self._world.new_token,
                    77,
                    self._world.now,
                    self._plan.words,
                )
                found += generated[
                    : LIMITS.values
                    if column.typtype == "e" or limits.allowed or column.base == "bool"
                    else 1
                ]
        different = [
            v for v in dict.fromkeys(found) if v != current and not (v is None and column.not_null)
        ]
        return different[: LIMITS.values] or [current]

    @cached_property
    def _shared_columns(self) -> Collection[ColumnKey]:
        """The columns with a value that all rows of a tenant have."""
        usage = self._plan.usage
        return {*self._plan.tenant_values, *usage.claim_columns, *usage.header_columns}

    def _shared_value(self, row: Row, column: Column, tenant: Tenant) -> str | None:
        """The value of such a column: that of the tenant, or of its claim or header."""
        usage, key = self._plan.usage, (row.relation.oid, column.name)
        if key in self._plan.tenant_values:
            return tenant.shared_value(column)
        if (path := usage.claim_columns.get(key)) is not None:
            return tenant.claims.get(path)
        header = tenant.headers.get(usage.header_columns[key])
        return None if header is None else usage.of_header(key, header)

    def _referenced(self, key: Constraint, column: str, caller: Persona) -> list[str | None]:
        at = key.target_columns[key.columns.index(column)]
        if key.target_name == "auth.users":
            return [
                u.id
                for u in (caller.user, self._world.a.owner, self._world.b.owner)
                if u is not None
            ]
        own = caller.tenant.row(key.target, caller.user) if caller.tenant and caller.user else None
        rows = [own, *(t.rows.get(key.target or 0) for t in (self._world.a, self._world.b))]
        return [row.values.get(at) for row in rows if row is not None]

    def _columns(self) -> Iterator[Attempt]:
        """Each other column, of rows of one's own and of the group, if the policies let one column
        pass; of any row, if only a trigger has refused the one.
        """
        for attempt in [a for a in self.attempts if a.action == UPDATE and a.sent is not None]:
            is_let = self._by_column(attempt) and attempt.outcome not in (HIDDEN, DENIED)
            if attempt.is_state or not (is_let or self._is_refused_by_a_trigger(attempt)):
                continue
            row = attempt.row
            for column in self._writable(attempt.relation, attempt.caller.role, UPDATE):
                for value in self._values(row, column, attempt.caller):
                    if (column.name, value) != (attempt.column, attempt.value):
                        yield self._update(attempt.caller, row, attempt.whose, {column.name: value})

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
            attempt.whose == NONE and attempt.relation.oid in self._plan.opening
        )

    def _takeovers(self) -> Iterator[Attempt]:
        """Rows of others that a policy refuses to leave as they are: with the caller as their
        owner, and in the states that policies compare.
        """
        done: set[tuple[int, int]] = set()
        for attempt in [a for a in self.attempts if a.action == UPDATE and a.outcome == VIOLATES]:
            key = id(attempt.caller), attempt.relation.oid
            if attempt.whose not in (OTHER, GROUP) or attempt.caller.user is None or key in done:
                continue
            done.add(key)
            row = attempt.row
            new = self._as_own(row, attempt.caller, through_parents=True)
            for values_ in (new, *({name: value} for name, value in new.items() if len(new) > 1)):
                if values_ and all(
                    attempt.relation.may(attempt.caller.role, "UPDATE", c) for c in values_
                ):
                    taken = self._update(attempt.caller, row, attempt.whose, values_)
                    taken.name = TAKE_OVER
                    yield taken
            yield from self._compared(attempt)

    def _compared(self, attempt: Attempt) -> Iterator[Attempt]:
        """The row of an attempt with each other value that policies compare a column with."""
        row, literals = attempt.row, self._plan.usage.literals
        for column in self._writable(attempt.relation, attempt.caller.role, UPDATE):
            for value in literals.get((attempt.relation.oid, column.name), ())[: LIMITS.values]:
                if value not in (row.values.get(column.name), attempt.written.get(column.name)):
                    new = {column.name: value}
                    yield self._update(attempt.caller, row, attempt.whose, new)

    def _acceptances(self) -> Iterator[Attempt]:
        """Memberships that an invited person accepts with the most powerful role."""
        for caller in self._callers:
            membership = caller.user.membership if caller.user else None
            row = caller.own_row(membership.relation.oid) if membership else None
            if caller.kind != INVITED or caller.operation or membership is None or row is None:
                continue
            if membership.role is None or len(membership.roles) < 2 or membership.invited is None:
                continue
            member = next((u for u in self._world.a.users if u.is_member), None)
            accepted = member.rows.get(membership.relation.oid) if member else None
            state = membership.invited[0]
            if accepted is None or state not in accepted.values:
                continue
            new = {membership.role: membership.roles[0], state: accepted.values[state]}
            if all(row.relation.may(caller.role, "UPDATE", column) for column in new):
                attempt = self._update(caller, row, OWN, new)
                attempt.name = ACCEPT
                yield attempt

    def _restorations(self) -> Iterator[Attempt]:
        """The row that each user has, in another state than the owner's: its user sets a column of
        the state to the default, as who was deactivated, and to that of the owner, such as a role.
        """
        for caller in self._callers:
            row = None if caller.user is None else caller.user.state
            if row is None or caller.operation or row.relation not in self._tables:
                continue
            for state in columns_of_state(row.part):
                column = None if state.table else row.relation.by_name.get(state.name)
                if column is None or not row.relation.may(caller.role, "UPDATE", column.name):
                    continue
                default, first = default_of(column), self._world.a.rows.get(row.relation.oid)
                known = [default] if first is None else [default, first.values.get(column.name)]
                for value in dict.fromkeys(known):
                    is_possible = value is not None or not column.not_null
                    if is_possible and value != row.values.get(column.name):
                        restored = self._update(caller, row, OWN, {column.name: value})
                        restored.name = RESTORE
                        yield restored

    def _left_states(self) -> Iterator[Attempt]:
        """Rows of one's own in a state that only others set, such as hidden: with a value that
        their owner may set.
        """
        tried = [a for a in self.attempts if a.action == UPDATE and a.whose == OWN and a.reached]
        done = set[tuple[int, int]]()
        for attempt in tried:
            caller, row, key = attempt.caller, attempt.row, (id(attempt.caller), id(attempt.row))
            is_user = caller.kind in (ANON, NEWCOMER, STRANGER, MEMBER)
            if attempt.is_state or key in done or not (is_user and row.key):
                continue
            done.add(key)
            for name, state in self._left_by(row.relation, caller.role).items():
                current = row.values.get(name)
                value = current if current in state.first else state.first[0]
                where = {column: row.values[column] for column in row.key}
                for other in state.values[: LIMITS.chosen]:
                    if row.relation.may(caller.role, "UPDATE", name):
                        change = statements.update_where(row.relation, where, {name: other})
                        new = {name: value}
                        back = replace(self._update(caller, row, OWN, new), name=LEAVE)
                        sent = statements.update(row, new, None)
                        yield self._after(replace(back, sent=sent), change)

    def _left_by(self, relation: Relation, role: str) -> Mapping[str, Left]:
        """The states that only others set, and that the owner of a row ends."""
        owners = [n for oid, n in self._plan.usage.owners if oid == relation.oid]
        return left(relation, role, owners, self._plan.closed(relation))

    def _moves(self) -> Iterator[Attempt]:
        """Files of one's own that get a path in the folder of another: in each folder of the victim
        one, if the file may be changed at all.
        """
        for attempt in list(self.attempts):
            row, caller = attempt.row, attempt.caller
            may_change = attempt.action == UPDATE and attempt.outcome in (ROWS, VIOLATES)
            if not (may_change and row.relation.is_storage and attempt.whose == OWN):
                continue
            if caller.kind != STRANGER or not row.relation.may(caller.role, "UPDATE", "name"):
                continue
            for path in self._folders_of_victim(row):
                moved = self._update(caller, row, OWN, {"name": f"{path}/{row.token}m.png"})
                moved.name = MOVE
                yield moved

    def _folders_of_victim(self, row: Row) -> list[str]:
        """The folders of tenant A's owner in the bucket of a file."""
        files = [r for r in self._world.a.owner.extra if r.relation is row.relation]
        paths = [file.values["name"] or "" for file in files if file.part == row.part]
        return list(dict.fromkeys(path.rpartition("/")[0] for path in paths if "/" in path))

    def _as_own(self, row: Row, caller: Persona, *, through_parents: bool) -> dict[str, str | None]:
        """The columns that make a row the caller's: its ids, and with `through_parents` its own
        parents and its tenant.
        """
        new: dict[str, str | None] = {}
        users = user_columns(row.relation, self._plan.usage, self._plan.per_user)
        owner = self._world.a.owner
        if caller.user is None or caller.tenant is None:
            return new
        for column in users:
            current = row.values.get(column)
            if owner.id in (current or "") or through_parents:
                new[column] = values.with_user(
                    row.relation.by_name[column], current, caller.user.id
                )
        for key in row.relation.foreign_keys:
            parent = caller.user.rows.get(key.target or 0)
            own_key = through_parents or (key.target in self._plan.per_user)
            if parent is not None and own_key and key.target_name != "auth.users":
                for column, at in zip(key.columns, key.target_columns, strict=True):
                    new[column] = parent.values.get(at)
        for own in row.relation.columns if through_parents else ():
            is_shared = (row.relation.oid, own.name) in self._shared_columns
            value = self._shared_value(row, own, caller.tenant) if is_shared else None
            if value is not None:
                new[own.name] = value
        return {name: value for name, value in new.items() if value != row.values.get(name)}

    # -------------------------------------------------------------------------------------------
    # inserts

    def _inserts(self, caller: Persona, relation: Relation) -> Iterator[Attempt]:
        """Copies of rows: of the caller's own, of another's, and of another's with the caller as
        its owner.

        Also in other states, such as a ticket that is paid, and below rows in other states, such as
        a closed topic.
        """
        for whose, row in (*self.rows(caller, relation), *self._states(caller, relation)):
            if relation.is_storage:  # the service writes the caller's id into the row
                if "/" not in (row.values["name"] or "") and whose != OWN:
                    continue  # no folder of another
                user = caller.user.id if caller.user else None
                for name in self._paths(caller, whose, row):
                    new = {**row.values, "name": name, "owner": user, "owner_id": user}
                    yield self._insert(caller, whose, row, new)
                continue
            yield self._insert(caller, whose, row, row.values)
            author = whose == OWN and caller.kind == STRANGER and not self._is_membership(relation)
            if author and (authors := self._authors(row)):
                yield self._insert(caller, OTHER, row, {**row.values, **authors}, name=FORGE)
            opening = whose == NONE and relation.oid in self._plan.opening and caller.kind != OWNER
            if opening and (new := self._as_own(row, caller, through_parents=True)):
                yield self._insert(caller, whose, row, {**row.values, **new}, name=JOIN)
            if whose in (OTHER, GROUP) and caller.user is not None and caller.kind != OWNER:
                new = self._as_own(row, caller, through_parents=False)
                if new and (self._has_parent(row) or self._is_membership(relation)):
                    for values_ in self._granting(row):
                        yield self._insert(caller, GROUP, row, {**values_, **new}, name=JOIN)
                elif (
                    new
                    and caller.kind in (NEWCOMER, STRANGER)
                    and relation.oid in self._plan.opening
                ):
                    for own in self._each_alone(relation, new):
                        for values_ in self._in_states(row):
                            yield self._insert(caller, OWN, row, {**values_, **own}, name=OPEN)

    def _each_alone(
        self, relation: Relation, new: Mapping[str, str | None]
    ) -> list[Mapping[str, str | None]]:
        """The columns that name the caller: all of them, and each alone, as of the guardian of
        another's child.
        """
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        alone = [{name: value} for name, value in new.items() if name in persons]
        return [new, *(alone if len(alone) > 1 else ())]

    def _unset(self) -> Iterator[Attempt]:
        """Rows of one's own that a policy refuses, without the values that some policy compares
        with null: what others decide later is not set yet.
        """
        for attempt in [a for a in self.attempts if a.action == INSERT and a.outcome == VIOLATES]:
            is_own = attempt.whose == OWN and attempt.name == ""
            if not (is_own or attempt.name == JOIN) or attempt.relation.is_storage:
                continue
            names = [n for n in self._unset_columns(attempt.relation) if n in attempt.written]
            if names:
                row = {**attempt.row.values, **attempt.written, **dict.fromkeys(names)}
                yield self._insert(
                    attempt.caller, attempt.whose, attempt.row, row, name=attempt.name
                )

    def _unset_columns(self, relation: Relation) -> list[str]:
        """The columns that policies compare with null, but for those that say to whom a row
        belongs: the user that an INSERT must name, the tenant, and the row above it.
        """
        usage, oid = self._plan.usage, relation.oid
        above = {
            (oid, name)
            for key in relation.foreign_keys
            for name in key.columns
            if key.target_name != "auth.users"
        }
        belonging = {*usage.checked, *self._plan.tenant_values, *usage.claim_columns, *above}
        unset = usage.nulls - belonging
        return [c.name for c in relation.columns if (oid, c.name) in unset and not c.not_null]

    def _paths(self, caller: Persona, whose: str, row: Row) -> Iterator[str]:
        """The path of a file, and for a stranger one with the own id behind another's folder."""
        path = row.values["name"] or ""
        yield path
        folder, _, file = path.rpartition("/")
        if whose == OTHER and caller.kind == STRANGER and folder and caller.user is not None:
            yield f"{folder}/{caller.user.id}/{file}"

    def _granting(self, row: Row) -> list[Mapping[str, str | None]]:
        """The values of memberships that may grant something: the owner's, and as a former or
        future member has them.

        Roles on the whole project and rows about another user are those of a member: the owner's
        grants nothing.
        """
        oid, membership = row.relation.oid, self._plan.memberships.get(row.relation.oid)
        if membership is None:
            return [row.values]
        users = [u for u in self._world.a.users if u.membership is membership and oid in u.rows]
        users.sort(key=lambda user: user.is_inactive)
        rows = [u.rows[oid].values for u in users]
        inactive = [u for u in users if u.is_inactive]
        role = any(k.target in self._plan.roles for k in row.relation.foreign_keys)
        about_user = set(membership.groups) & set(
            user_columns(row.relation, self._plan.usage, self._plan.per_user)
        )
        if rows and (role or about_user):
            return [rows[0], *(u.rows[oid].values for u in inactive)]
        return [row.values, *(u.rows[oid].values for u in inactive)]

    def _in_states(self, row: Row) -> list[Mapping[str, str | None]]:
        """Copies of a row with other keys, and with each constant that policies and functions
        compare a column with.
        """
        relation, copy = row.relation, self._copy(row)
        literals = self._plan.usage.literals
        changed = [
            {**copy, c.name: value}
            for c in relation.columns
            for value in literals.get((relation.oid, c.name), ())
            if value != copy.get(c.name) and not c.filled_by_server
        ]
        return [copy, *changed[: LIMITS.values]]

    def _copy(self, row: Row) -> dict[str, str | None]:
        """The values of a row with other keys."""
        relation = row.relation
        keys = {name for key in relation.unique_keys for name in key} - {
            *user_columns(relation, self._plan.usage, self._plan.per_user),
            *(name for key in relation.foreign_keys for name in key.columns),
        }
        limits, now = self._plan.limits.get(relation.oid, {}), self._world.now
        copy = dict(row.values)
        for name in keys:
            token = self._world.new_token
            copy[name] = values.candidates(
                relation.by_name[name], limits.get(name, Limits()), token, 78, now, self._plan.words
            )[0]
        return copy

    def _new_rows(self) -> Iterator[Attempt]:
        """New rows of one's own, if a plain one is accepted, that differ in one column: a value of
        one's choice, a parent of another, or another person.
        """
        done: set[tuple[int, int]] = set()
        inserts = [a for a in self.attempts if a.action == INSERT and a.reached]
        # a row in another state, or below one, only if no other is accepted
        inserts.sort(key=lambda one: one.is_state)
        by_users = {a.relation.oid for a in inserts if a.caller.kind == STRANGER}
        for attempt in inserts:
            caller, relation = attempt.caller, attempt.relation
            is_own = attempt.whose == OWN and attempt.name in ("", OPEN)
            # where a role of the JWT is needed, who has the first one that is enough
            is_user = caller.kind == STRANGER
            if caller.claim and relation.oid not in by_users:
                by_users.add(relation.oid)
                is_user = True
            is_own &= is_user and (attempt.name == "" or attempt.error is None)
            is_guest = caller.kind == ANON and attempt.name == ""  # such as of a public form
            key = id(caller), relation.oid
            if not (is_own or is_guest) or relation.is_storage or key in done:
                continue
            done.add(key)
            copy = {**self._copy(attempt.row), **self._kept(attempt)}
            unset = set(self._unset_columns(relation)) - attempt.written.keys()
            copy |= dict.fromkeys(unset)
            if is_guest:
                for column in self._writable(relation, caller.role, INSERT):
                    yield from self._chosen(caller, attempt.row, copy, column)
                continue
            if self._is_membership(relation):
                yield from self._added(caller, attempt.row, copy)
                continue
            for column in self._writable(relation, caller.role, INSERT):
                yield from self._with_another(caller, attempt.row, copy, column)
        yield from self._own_rows_of_newcomers()
        yield from self._promoted()
        yield from self._invited()

    def _decided(self) -> Iterator[Attempt]:
        """New rows of one's own that start in a state that others decide about: with another value
        of a column that its writer cannot change afterwards, and somebody else in the group can.
        """
        setters = self._setters()
        done: set[tuple[int, int]] = set()
        for attempt in [a for a in self.attempts if a.action == INSERT and a.reached]:
            caller, relation = attempt.caller, attempt.relation
            is_own = attempt.whose in (OWN, GROUP) and attempt.name in ("", JOIN)
            is_own &= caller.kind in (NEWCOMER, STRANGER, MEMBER) and attempt.error is None
            key = id(caller), relation.oid
            names_caller = attempt.whose == OWN or attempt.name == JOIN
            if not (is_own and names_caller) or attempt.is_state or relation.is_storage:
                continue
            if key in done:
                continue
            done.add(key)
            copy = {**self._copy(attempt.row), **self._kept(attempt)}
            for column in self._writable(relation, caller.role, INSERT):
                by = setters.get((relation.oid, column.name), set()) - {id(caller)}
                if by and self._plan.may_hold_state(relation, column):
                    others = self._values(attempt.row, column, caller)[: LIMITS.chosen]
                    for value in dict.fromkeys([*others, copy.get(column.name)]):
                        if value is not None and value != default_of(column):
                            yield from self._started(caller, attempt.row, copy, column, value)

    def _started(
        self,
        caller: Persona,
        row: Row,
        copy: Mapping[str, str | None],
        column: Column,
        value: str,
    ) -> Iterator[Attempt]:
        """A new row that starts with a value, which its writer then fails to change: as the row
        that names the writer.
        """
        relation = row.relation
        attempt = self._varied(caller, row, copy, column, value, START)
        own = self._condition_of_new(caller, relation, copy)
        may_change = relation.may(caller.role, "UPDATE", column.name)
        if may_change and not own:
            return  # no condition names the new row
        self._count_value(attempt, own)
        if may_change:
            new = {column.name: value}
            back = Statement(SET, ("role", caller.role))
            changing = statements.update_where(relation, {**own, **new}, new)
            attempt.after = [*attempt.after, back, changing]
            attempt.effect = partial(_stays, attempt.effect)
        yield attempt

    def _condition_of_new(
        self, caller: Persona, relation: Relation, copy: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """The values that name the caller in a new row, or else the rows above it."""
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        user = None if caller.user is None else caller.user.id
        own = {name: user for name in persons if copy.get(name) == user}
        return own or {name: copy[name] for name in self._above(relation) if copy.get(name)}

    def _count_value(self, attempt: Attempt, own: Mapping[str, str | None]) -> None:
        """Let a new row count only if it has the value of one column that it was given: a trigger
        may have set another one.
        """
        if not attempt.relation.triggers or not own or attempt.sent is None:
            return
        owner = own_role(self._impersonation)
        back = Statement(SET, ("role", attempt.caller.role))
        given = {**own, attempt.column: attempt.value}
        count = statements.count(attempt.relation, given)
        attempt.before, attempt.after = [owner, count, back], [owner, count]
        attempt.effect = _one_more

    def _decide_about_own(self) -> None:
        """Note new rows that name their writer in a column more, such as the approver of a request,
        if the writer then changes a state that is refused to them once the column names a
        colleague.
        """
        named: list[tuple[Attempt, Attempt, Attempt]] = []
        for attempt in [a for a in self.attempts if a.action == INSERT and a.reached]:
            caller, relation = attempt.caller, attempt.relation
            is_own = caller.kind == OWNER and attempt.whose == OWN and attempt.name == ""
            if not is_own or attempt.is_state or attempt.error is not None:
                continue
            persons = self._naming(relation, attempt.written, self._world.a.owner)
            if len(persons) < 2 or relation.oid in self._plan.memberships:
                continue
            copy = {**self._copy(attempt.row), **self._kept(attempt)}
            for column in persons:
                for colleague in self._colleagues(relation, column):
                    target = relation.by_name[column]
                    other = self._varied(caller, attempt.row, copy, target, colleague, DECIDE)
                    for change in self._changes_of_state(caller, relation):
                        refused = self._changed_too(attempt, copy, column, colleague, change)
                        decided = self._changed_too(attempt, copy, column, copy[column], change)
                        named.append((other, refused, decided))
        tried = {id(one): one for three in named for one in three}
        self._run_unrecorded(tried.values())
        proven: dict[ColumnKey, Attempt] = {}
        for other, refused, decided in named:
            if other.reached and not refused.reached and decided.reached:
                proven.setdefault((decided.relation.oid, decided.column), decided)
        self.attempts += proven.values()

    def _naming(self, relation: Relation, given: Mapping[str, str | None], user: User) -> list[str]:
        """The columns of persons in which a row names a user."""
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        return [n for n in persons if n in given and given[n] == self._named(relation, n, user)]

    def _named(self, relation: Relation, column: str, user: User) -> str | None:
        """The value by which a column names a user: the id, or the key of the row of the user."""
        for key in relation.foreign_keys:
            if key.columns == (column,) and key.target in self._plan.per_user:
                row = user.rows.get(key.target)
                return None if row is None else row.values.get(key.target_columns[0])
        return user.id

    def _colleagues(self, relation: Relation, column: str) -> list[str]:
        """The first other user of tenant A whom a column can name."""
        others = [u for u in self._world.a.users if u is not self._world.a.owner]
        names = [self._named(relation, column, user) for user in others]
        return [name for name in names if name is not None][:1]

    def _changes_of_state(self, caller: Persona, relation: Relation) -> list[Attempt]:
        """The updates of a state in a row of one's own, one for each value."""
        return [
            attempt
            for attempt in self.attempts
            if attempt.caller is caller and attempt.relation is relation
            if attempt.action == UPDATE and attempt.whose == OWN and attempt.reached
            if not attempt.is_state and attempt.error is None
            if self._plan.may_hold_state(relation, relation.by_name[attempt.column])
        ]

    def _changed_too(
        self,
        attempt: Attempt,
        copy: Mapping[str, str | None],
        column: str,
        person: str | None,
        change: Attempt,
    ) -> Attempt:
        """The new row with a person in a column, and a change of its state by its writer."""
        relation, row = attempt.relation, attempt.row
        decided = self._varied(attempt.caller, row, copy, relation.by_name[column], person, DECIDE)
        persons = self._naming(relation, copy, self._world.a.owner)
        where = {name: copy[name] for name in persons} | {column: person}
        new = {change.column: change.value}
        decided.after = [statements.update_where(relation, where, new)]
        decided.effect = _changes_too
        return decided

    def _above(self, relation: Relation) -> list[str]:
        """The columns that name the rows above a row, which belong to somebody."""
        catalog = self._plan.catalog
        keys = [key for key in relation.foreign_keys if key.target in catalog.by_oid]
        owned = [key for key in keys if self._plan.owned(catalog.by_oid[key.target or 0])]
        return list(dict.fromkeys(name for key in owned for name in key.columns))

    def _setters(self) -> dict[ColumnKey, set[int]]:
        """Column → who changes it in rows of the group, or in rows of their own."""
        found: dict[ColumnKey, set[int]] = {}
        for attempt in self.attempts:
            is_change = attempt.action == UPDATE and attempt.reached and attempt.error is None
            is_of_staff = attempt.caller.kind == CLAIM
            if is_change and (attempt.whose in (OWN, GROUP) or is_of_staff):
                key = attempt.relation.oid, attempt.column
                found.setdefault(key, set()).add(id(attempt.caller))
        return found

    def _kept(self, attempt: Attempt) -> dict[str, str | None]:
        """The values of a new row that its copies have too: all but those of its keys."""
        fresh, row = self._copy(attempt.row), attempt.row.values
        return {n: v for n, v in attempt.written.items() if fresh.get(n) == row.get(n)}

    def _own_rows_of_newcomers(self) -> Iterator[Attempt]:
        """The row that each user has, inserted with values of the user's choice."""
        for caller in self._callers:
            if caller.kind != NEWCOMER or caller.operation:
                continue
            for oid in sorted(self._plan.per_user):
                row = self._world.a.rows.get(oid)
                if row is None or row.relation not in self._tables:
                    continue
                own = self._as_own(row, caller, through_parents=False)
                copy = {**self._copy(row), **own}
                for column in self._writable(row.relation, caller.role, INSERT):
                    if own:
                        yield from self._chosen(caller, row, copy, column)

    def _promoted(self) -> Iterator[Attempt]:
        """A membership of another person with the most powerful role, by members without it."""
        for caller in self._callers:
            user = caller.user
            if caller.kind != MEMBER or user is None or user.membership is None or user.in_both:
                continue
            membership, row = user.membership, caller.own_row(user.membership.relation.oid)
            oid, role = membership.relation.oid, membership.role
            if row is None or role is None or membership.relation not in self._tables:
                continue
            strongest = membership.roles[0]
            inserted = self._plan.usage.inserted.get((oid, role), ())
            is_known = strongest in inserted or self._plan.words.powerful_roles.matches(strongest)
            if is_known and user.role != strongest:
                copy = {**self._copy(row), **self._person(membership)}
                column = membership.relation.by_name[role]
                invited = [] if membership.invited is None else [dict([membership.invited])]
                for state in ({}, *invited):
                    yield self._varied(caller, row, {**copy, **state}, column, strongest, ADD)

    def _invited(self) -> Iterator[Attempt]:
        """An invitation with the most powerful role of a group, by members without it who may add
        one: a row with the labels of the role of a membership.
        """
        done: set[tuple[int, int]] = set()
        for attempt in [a for a in self.attempts if a.action == INSERT and a.reached]:
            caller, relation, user = attempt.caller, attempt.relation, attempt.caller.user
            key = id(caller), relation.oid
            if caller.kind != MEMBER or user is None or user.membership is None or user.in_both:
                continue
            strongest = user.membership.roles[:1]
            is_plain = attempt.name in ("", JOIN) and attempt.error is None
            is_plain &= not attempt.is_state
            if not is_plain or self._is_membership(relation) or key in done or not strongest:
                continue
            done.add(key)
            for column in self._writable(relation, caller.role, INSERT):
                limits = self._plan.limits.get(relation.oid, {}).get(column.name, Limits())
                labels = limits.allowed or column.labels
                if {*labels} == {*user.membership.roles} and user.role != strongest[0]:
                    copy = {**self._copy(attempt.row), **self._kept(attempt)}
                    yield self._varied(caller, attempt.row, copy, column, strongest[0], ADD)

    def _person(self, membership: Membership) -> dict[str, str | None]:
        """The column of a membership that names its user, with the owner of the other tenant."""
        stranger = self._world.b.owner
        for key in membership.relation.foreign_keys:
            if key.columns == (membership.user,) and key.target in self._plan.per_user:
                row = stranger.rows.get(key.target)
                at = key.target_columns[0]
                return {} if row is None else {membership.user: row.values.get(at)}
        return {membership.user: stranger.id}

    def _with_another(
        self, caller: Persona, row: Row, copy: Mapping[str, str | None], column: Column
    ) -> Iterator[Attempt]:
        relation, owner = row.relation, self._world.a.owner
        keys = [key for key in relation.foreign_keys if key.columns == (column.name,)]
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        if column.name in persons and len(persons) > 1 and relation.oid not in self._plan.per_user:
            parent = next((owner.rows.get(k.target or 0) for k in keys if k.target), None)
            at = keys[0].target_columns[0] if keys else ""
            other = owner.id if parent is None else parent.values.get(at)
            other = other if parent is not None else values.with_user(column, None, owner.id)
            yield self._varied(caller, row, copy, column, other, NAME)
        elif keys and keys[0].target is not None:
            parent = self._world.a.rows.get(keys[0].target)
            if parent is not None and self._plan.owned(parent.relation):
                at = keys[0].target_columns[0]
                yield self._varied(caller, row, copy, column, parent.values.get(at), BELOW)
        elif not keys:
            yield from self._chosen(caller, row, copy, column)

    def _chosen(
        self, caller: Persona, row: Row, copy: Mapping[str, str | None], column: Column
    ) -> Iterator[Attempt]:
        """The row with other values of a column with a state, a flag, a number, or with a random
        value by which functions find it.
        """
        relation = row.relation
        key = relation.oid, column.name
        is_secret = key in self._plan.usage.looked_up and column.differs_in_each_run
        is_secret &= column.name not in relation.primary_key
        if is_secret:
            value = self._values(row, column, caller)[0]
            yield self._varied(caller, row, copy, column, value, CHOOSE)
            return
        if any(column.name in unique for unique in relation.unique_keys):
            return
        limits = self._plan.limits.get(relation.oid, {}).get(column.name, Limits())
        is_state = column.typtype == "e" or limits.allowed or key in self._plan.usage.literals
        is_state = is_state or key in self._plan.usage.frozen
        number = column.base in ("int2", "int4", "int8", "numeric", "float4", "float8")
        is_time = column.base in values.TIMES and not column.not_null
        if not (is_state or number or is_time or column.base == "bool"):
            return
        own = self._condition_of_new(caller, relation, copy)
        for value in self._values(row, column, caller)[: LIMITS.chosen]:
            if value is not None and value != copy.get(column.name):
                chosen = self._varied(caller, row, copy, column, value, CHOOSE)
                self._count_value(chosen, own)
                yield chosen

    def _added(
        self, caller: Persona, row: Row, copy: Mapping[str, str | None]
    ) -> Iterator[Attempt]:
        """A membership of another person in one's own group, as accepted as one's own."""
        membership = self._plan.memberships[row.relation.oid]
        column = row.relation.by_name[membership.user]
        other = self._world.a.rows.get(row.relation.oid)
        if other is not None:
            value = other.values.get(membership.user)
            yield self._varied(caller, row, copy, column, value, ADD)

    def _varied(
        self,
        caller: Persona,
        row: Row,
        copy: Mapping[str, str | None],
        column: Column,
        value: str | None,
        name: str,
    ) -> Attempt:
        attempt = self._insert(caller, OWN, row, {**copy, column.name: value}, name=name)
        attempt.column, attempt.value = column.name, value
        return attempt

    def _is_membership(self, relation: Relation) -> bool:
        return relation.oid in self._plan.memberships  # who manages a group adds others

    def _authors(self, row: Row) -> dict[str, str | None]:
        """The columns that name the author of a row, with the owner of the other tenant in them."""
        usage, relation = self._plan.usage, row.relation
        columns = [
            c for c in relation.columns if (relation.oid, c.name) in usage.users | usage.owners
        ]
        chosen = [c for c in columns if (relation.oid, c.name) in usage.owners]
        chosen = chosen or [
            c
            for c in columns
            if "uid()" in (c.default or "") or self._plan.words.author_columns.matches(c.name)
        ]
        return {
            c.name: self._world.a.owner.id for c in chosen if c.base in ("uuid", "text", "varchar")
        }

    def _has_parent(self, row: Row) -> bool:
        """Whether a row belongs to the row of another table, and not only to a user."""
        relation = row.relation
        users = user_columns(relation, self._plan.usage, self._plan.per_user)
        for key in relation.foreign_keys:
            parent = self._plan.catalog.by_oid.get(key.target or 0)
            if parent is None or parent is relation or not self._plan.owned(parent):
                continue
            refers = all(row.values.get(column) is not None for column in key.columns)
            if refers and not set(key.columns) <= set(users):
                return True
        return False

    def _insert(
        self,
        caller: Persona,
        whose: str,
        source: Row,
        row: Mapping[str, str | None],
        name: str = "",
    ) -> Attempt:
        relation, row = source.relation, source.sent(row)
        allowed = self._writable(relation, caller.role, INSERT)
        if not allowed and not relation.may(caller.role, "INSERT"):
            allowed = [c for c in relation.columns if not c.generated and c.identity != "a"]
        columns = [
            c for c in allowed if row.get(c.name) is not None and not self._omitted(relation, c)
        ]
        attempt = Attempt(
            caller=caller,
            relation=relation,
            whose=whose,
            action=INSERT,
            row=source,
            sent=statements.insert(relation, row, columns),
            name=name,
        )
        users = [
            c
            for c in user_columns(relation, self._plan.usage, self._plan.per_user)
            if row.get(c) is not None
        ]
        if relation.triggers and users and name in ("", FORGE) and whose in (OTHER, GROUP):
            # a trigger may replace the owner by the caller: count the rows of the owner before and
            # after
            own = own_role(self._impersonation)
            back = Statement(SET, ("role", caller.role))
            count = statements.count(relation, {c: row[c] for c in users})
            attempt.before, attempt.after = [own, count, back], [own, count]
            attempt.effect = _one_more
        return attempt

    def _omitted(self, relation: Relation, column: Column) -> bool:
        """Whether the server fills the column: a key by default."""
        foreign = any(column.name in k.columns for k in relation.foreign_keys)
        return (
            column.name in relation.primary_key
            and not foreign
            and not is_partition_column(relation, column)
            and (column.default is not None or bool(column.identity))
        )

    # -------------------------------------------------------------------------------------------
    # roles that decide

    def _find_deciding_roles(self) -> None:
        """Note the roles without which users do not reach what they reach: those that everybody
        has, and those in their own group.
        """
        of_everybody = list(self._without_roles_of_everybody())
        of_groups = list(self._with_weaker_roles())
        self._run_unrecorded([control for *_, control in (*of_everybody, *of_groups)])
        closed = (HIDDEN, DENIED, VIOLATES)
        for attempt, label, control in of_everybody:
            if control.outcome in closed:
                attempt.decided_by = label
        roles = {write: label for write, label, one in of_groups if one.outcome in closed}
        for attempt in self.attempts:
            attempt.by_role = roles.get(_write_of(attempt), "")

    def _without_roles_of_everybody(self) -> Iterator[tuple[Attempt, str, Attempt]]:
        """The reads and writes of rows of others by outsiders with a role, and again without it:
        whoever signs up has it.
        """
        for attempt in self.attempts:
            caller = attempt.caller
            is_of_other = attempt.whose == OTHER and attempt.reached and attempt.sent is not None
            if not is_of_other or not caller.is_outsider or caller.user is None:
                continue
            if caller.kind == IMPOSTOR:
                continue  # who chose the role
            for role in self._roles_of_everybody():
                if role.relation.oid in self._plan.usage.reads.get(attempt.relation.oid, ()):
                    for other in role.others:
                        yield attempt, role.label, self._without_role(attempt, role, other)
            for membership in self._posts_read_by(attempt.relation):
                if (own := caller.own_row(membership.relation.oid)) is not None:
                    label = f"a row in {membership.relation.name}"
                    yield attempt, label, self._without_row(attempt, own)

    def _with_weaker_roles(self) -> Iterator[tuple[_Write, str, Attempt]]:
        """A write of each kind that users do with a role in their own group, and again with the
        weakest one, where only somebody else gives the role.
        """
        known: set[_Write] = set()
        for attempt in self.attempts:
            write = _write_of(attempt)
            is_users = attempt.caller.kind == STRANGER and attempt.reached
            is_users &= attempt.sent is not None and attempt.error is None
            if not is_users or attempt.action not in (INSERT, UPDATE) or write in known:
                continue
            known.add(write)
            read = self._plan.usage.reads.get(attempt.relation.oid, ())
            for membership, own in self._strongest_of_groups:
                role = membership.role or ""
                if membership.relation.oid in read and attempt.relation is not own.relation:
                    user = {membership.user: own.values[membership.user]}
                    weaker = {role: membership.weakest}
                    change = statements.update_where(own.relation, user, weaker)
                    label = f"{own.values[role]} of {own.relation.name}"
                    yield write, label, self._after(attempt, change)

    @cached_property
    def _strongest_of_groups(self) -> list[tuple[Membership, Row]]:
        """The memberships of the owner of the other tenant with a role that has weaker ones, that
        no function gives, and with which nobody joins.
        """
        filled = set[int]().union(*self._plan.usage.adds.values())
        joined = {
            (attempt.relation.oid, value)
            for attempt in self.attempts
            if attempt.name == JOIN and attempt.reached and attempt.caller.is_outsider
            for value in attempt.written.values()
        }
        found = []
        for oid, membership in self._plan.memberships.items():
            own = self._world.b.rows.get(oid)
            if own is None or membership.role is None or oid in filled:
                continue
            value = own.values[membership.role]
            if membership.weakest not in (None, value) and (oid, value) not in joined:
                found.append((membership, own))
        return found

    def _roles_of_everybody(self) -> list[_Role]:
        """The roles in the row that each user has, if policies of other tables read them."""
        if self._everybody is not None:
            return self._everybody
        plan, self._everybody = self._plan, []
        # where the row names a tenant, the role counts there only
        for oid in sorted((plan.per_user & plan.opening) - plan.staff - plan.tenants.keys()):
            relation, row = plan.catalog.by_oid[oid], self._world.b.rows.get(oid)
            users = user_columns(relation, plan.usage, plan.per_user)
            if row is None:
                continue
            for column in relation.columns:
                current = row.values.get(column.name)
                compared = plan.usage.literals.get((oid, column.name), [])
                limits = plan.limits.get(oid, {}).get(column.name, Limits())
                known = dict.fromkeys([*(limits.allowed or column.labels), *compared])
                others = [value for value in known if value != current]
                if compared and others and current in known and column.base != "bool":
                    self._everybody.append(
                        _Role(
                            relation=relation,
                            user=users[0],
                            column=column.name,
                            value=current or "",
                            others=others[: LIMITS.values],
                        )
                    )
        return self._everybody

    def _posts_read_by(self, relation: Relation) -> list[Membership]:
        """The posts that the policies of a table read which belongs to none of their groups."""
        read = self._plan.usage.reads.get(relation.oid, ())
        found = []
        for post in self._plan.appointed:
            keys = [key for key in post.relation.foreign_keys if set(key.columns) & {*post.groups}]
            groups = {key.target for key in keys if key.target is not None}
            if post.relation.oid in read and groups and not self._plan.is_below(relation, groups):
                found.append(post)
        return found

    def _without_row(self, attempt: Attempt, row: Row) -> Attempt:
        """The action of a caller whose row the owner of the database deletes first."""
        return self._after(attempt, statements.delete(row).statement)

    def _without_role(self, attempt: Attempt, role: _Role, other: str) -> Attempt:
        """The action of a caller to whom the owner of the database gives another role first."""
        assert attempt.caller.user is not None  # noqa: S101  checked by the caller
        change = statements.update_where(
            role.relation, {role.user: attempt.caller.user.id}, {role.column: other}
        )
        return self._after(attempt, change)

    def _after(self, attempt: Attempt, change: Statement) -> Attempt:
        """The action of a caller after a change by the owner of the database."""
        back = Statement(SET, ("role", attempt.caller.role))
        before = [own_role(self._impersonation), change, back]
        return replace(
            attempt,
            before=[*before, *attempt.before],
            effect=partial(_behind, attempt.effect, len(before)),
            outcome="",
            error=None,
            answers=(),
        )

    def _find_rights_of_colleagues(self) -> None:
        """Note that rows are those of the group of a caller whose membership has ended or has not
        begun, if a colleague without one reaches them as well: by the row that each user has.
        """
        colleague = self._world.a.users[1]
        known = {
            _act(attempt)
            for attempt in self.attempts
            if attempt.caller.user is colleague and attempt.reached
        }
        for attempt in self.attempts:
            is_of_other = attempt.caller.is_inactive and attempt.whose == OTHER
            if is_of_other and _act(attempt) in known:
                attempt.whose = GROUP

    # -------------------------------------------------------------------------------------------
    # escalation

    def _escalate(self, asked: Collection[tuple[int, str]] | None) -> None:
        """Repeat what was hidden, after each permitted write that could change it; after those that
        are `asked` about, if not all are.
        """
        reads: list[tuple[Attempt, list[Attempt], Attempt]] = []
        writes: list[tuple[Attempt, Attempt, Attempt]] = []
        baseline: dict[int, list[Attempt]] = {}
        for attempt in self.attempts:
            if self._is_closed(attempt):
                baseline.setdefault(id(attempt.caller), []).append(attempt)
        for write in [a for a in self.attempts if self._may_open(a)]:
            if asked is not None and (write.relation.oid, write.action) not in asked:
                continue
            closed = [
                a
                for a in baseline.get(id(write.caller), ())
                if write.relation.oid in self._plan.usage.reads.get(a.relation.oid, ())
            ]
            hidden = [a for a in closed if a.action == SELECT]
            if hidden:
                rows = [(a.row, write.caller.role) for a in hidden]
                repeated = Attempt(
                    caller=write.caller,
                    relation=write.relation,
                    whose=write.whose,
                    action=SELECT,
                    row=write.row,
                    sent=write.sent,
                    after=[statements.exists(rows)],
                    effect=_any_true,
                    others=[
                        (write.relation, write.action),
                        *((a.relation, SELECT) for a in hidden),
                    ],
                )
                reads.append((write, hidden, repeated))
            for a in closed:
                if a.action in (UPDATE, DELETE):
                    assert write.sent is not None  # noqa: S101  it reached its target
                    again = Attempt(
                        caller=write.caller,
                        relation=a.relation,
                        whose=a.whose,
                        action=a.action,
                        row=a.row,
                        sent=a.sent,
                        before=[write.sent.statement],
                        after=a.after,
                        column=a.column,
                        effect=partial(_after_a_write, a.effect),
                        others=[(write.relation, write.action)],
                    )
                    writes.append((write, a, again))
        self._run_unrecorded([r for _, _, r in reads] + [w for _, _, w in writes])
        for write, hidden, repeated in reads:
            if repeated.reached:
                seen = repeated.answers[-1].rows[0]
                self.gains += [
                    Gain(write, a.row, SELECT) for a, now in zip(hidden, seen, strict=True) if now
                ]
        for write, closed_attempt, again in writes:
            if again.reached:
                self.gains.append(Gain(write, closed_attempt.row, closed_attempt.action))
        self.gains = [gain for gain in self.gains if not self._is_of_the_invitation(gain)]

    def _is_closed(self, attempt: Attempt) -> bool:
        """Whether an attempt on another's row failed by a policy, so that a write could open it."""
        return (
            attempt.outcome in (HIDDEN, VIOLATES)
            and attempt.whose != OWN
            and attempt.action != INSERT
            and attempt.sent is not None
            and not attempt.is_state
        )

    def _may_open(self, attempt: Attempt) -> bool:
        """Whether an attempt was a permitted write that policies may depend on."""
        user = attempt.caller.user
        # who has a role by the row of a profile has it from the project
        is_appointed = attempt.caller.kind == MEMBER and user is not None and user.state is not None
        trusted = attempt.caller.kind in (OWNER, CLAIM) or is_appointed
        if attempt.name == RESTORE:
            return attempt.reached and attempt.error is None
        if not attempt.reached or trusted or attempt.error is not None or attempt.is_state:
            return False
        if attempt.name == ACCEPT:
            return True
        if attempt.action == UPDATE:
            if attempt.caller.kind == INVITED and self._accepts(attempt):
                return False
            shared = attempt.whose == NONE and attempt.relation.oid in self._plan.opening
            return (attempt.whose == OWN or shared) and attempt.column in self._plan.usage.words
        if attempt.action == INSERT:
            of_member = attempt.whose == OWN and attempt.caller.kind in (MEMBER, FORMER)
            if of_member and attempt.name == ADD:
                return False  # another person, to whom the caller gives a role
            is_state = attempt.name == START  # a question, whatever it opens
            return attempt.name in (JOIN, OPEN, BELOW, ADD, CHOOSE) or (of_member and not is_state)
        return attempt.action == DELETE and attempt.whose == OWN

    def _accepts(self, attempt: Attempt) -> bool:
        """Whether an invited person accepts the membership or post, which they cannot have asked
        for.
        """
        mark = attempt.caller.ended
        if mark is None:
            return False
        is_own = attempt.relation is mark.relation and attempt.whose == OWN
        is_asked_for = any(
            a.action == INSERT and a.name == JOIN and a.reached and a.caller.is_outsider
            for a in self.attempts
            if a.relation is mark.relation
        )
        return is_own and attempt.column == mark.column and not is_asked_for

    def _is_of_the_invitation(self, gain: Gain) -> bool:
        """Whether a gain of who accepts an invitation is what members with its role may do."""
        user = gain.write.caller.user
        if gain.write.name != ACCEPT or user is None:
            return False
        return any(
            a.reached and a.action == gain.action and a.whose == GROUP
            for a in self.attempts
            if a.relation is gain.row.relation and a.caller.kind == MEMBER
            if a.caller.user is not None
            if (a.caller.user.membership, a.caller.user.role) == (user.membership, user.role)
            and not a.caller.user.in_both
        )

    def _run_unrecorded(self, attempts: Iterable[Attempt]) -> None:
        self._try(sorted(attempts, key=lambda a: id(a.caller)))


def _write_of(attempt: Attempt) -> _Write:
    relation, caller = attempt.relation, attempt.caller
    return id(caller), relation.oid, attempt.action, attempt.column, attempt.name


def _counts_and_lasts(answers: Sequence[object]) -> bool:
    """Whether an UPDATE reached its row, and no trigger has restored the value."""
    return bool(answers[0].count and answers[-1].rows[0][0])  # type: ignore[attr-defined]


def _behind(effect: _Effect | None, number: int, answers: Sequence[Any]) -> bool:
    """Whether an action reached its row behind a number of statements, as without them."""
    return bool(effect(answers[number:]) if effect else answers[number].count)


def _after_a_write(effect: _Effect | None, answers: Sequence[Any]) -> bool:
    """Whether an action reached its row after the write of the first statement, as without it."""
    return bool(effect(answers[1:]) if effect else answers[1].count)


def _any_true(answers: Sequence[object]) -> bool:
    return any(answers[-1].rows[0])  # type: ignore[attr-defined]


def _stays(effect: _Effect | None, answers: Sequence[Any]) -> bool:
    """Whether a row was inserted with its value, and its writer could not change it."""
    is_added = effect(answers[:-2]) if effect else answers[0].count
    return bool(is_added) and not answers[-1].count


def _changes_too(answers: Sequence[Any]) -> bool:
    """Whether a row was inserted, and its writer could change it."""
    return bool(answers[0].count) and bool(answers[1].count)


def _one_more(answers: Sequence[object]) -> bool:
    before, after = answers[1].rows[0][0], answers[-1].rows[0][0]  # type: ignore[attr-defined]
    return bool(after > before)


def _act(attempt: Attempt) -> tuple[int, str, str, str]:
    """The row and the action of an attempt, whoever its caller is."""
    return id(attempt.row), attempt.action, attempt.name, attempt.column
