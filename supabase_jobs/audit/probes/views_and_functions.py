"""Views and functions: do they return or change rows that their tables refuse to the same caller?

A row is recognized by its token in the result; what else a result says about it is found by
interference. Of views, what they show of rows that the tables do not refuse is tested too: it is no
bypass, but an access.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from psycopg import errors, sql

from supabase_jobs.audit.callers import (
    ANON,
    CLAIM,
    GENERAL,
    LAPSED,
    MEMBER,
    NEWCOMER,
    OWNER,
    STRANGER,
    Persona,
)
from supabase_jobs.audit.catalog import (
    VAULT,
    VAULT_SCHEMA,
    VAULT_VIEW,
    Column,
    Constraint,
    Function,
    Relation,
    plain_column,
)
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.probes import (
    control_calls,
    ended_calls,
    funded_calls,
    number_calls,
    statements,
)
from supabase_jobs.audit.probes.arguments import STATEMENT, Arguments
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    INSERT,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import (
    CALL,
    NOTHING,
    SQL,
    Bypass,
    Copies,
    FunctionCall,
    IdentifyingCall,
    Injection,
    Inquiry,
    NamedCall,
    NullCall,
    PreparedCall,
    ViewRead,
    ViewWrite,
    call_of,
)
from supabase_jobs.audit.probes.control_calls import Stopped
from supabase_jobs.audit.probes.effects import Watch, all_of
from supabase_jobs.audit.probes.interference import Interference
from supabase_jobs.audit.probes.selected_rows import PreparedUse, StateUse, wanted
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.plan import user_columns
from supabase_jobs.audit.rows.tenants import Row, User
from supabase_jobs.database.batch import Statement
from supabase_jobs.findings import NotTested
from supabase_jobs.outcomes import DENIED, HIDDEN, ROWS
from supabase_jobs.session.action import (
    Constant,
    Delete,
    Select,
    SelectAny,
    Update,
)
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.runner import OwnerProbe, probes_of

_TEXT_BASES = ("text", "varchar")
_PLAIN_BASES = ("json", "jsonb", "bool", "numeric", "float8", "timestamptz", "date", "int4", "int2")
UPDATABLE, DELETABLE = 4, 16
# those who call functions on rows in the state that these ask for
_GENERAL_OUTSIDERS = (ANON, NEWCOMER, STRANGER)


class Bypasses:
    """Probes the views and functions; the list `found` gets all results."""

    def __init__(
        self,
        impersonation: Impersonation,
        world: World,
        callers: Sequence[Persona],
        probes: Probes,
        found: list[Bypass],
        *,
        compares: bool = True,
    ) -> None:
        """`compares`: answers are compared with those of other worlds."""
        self._impersonation, self._world, self._prober = impersonation, world, probes.prober
        self._restored = probes.restored
        self._plan, self._catalog = world.plan, world.plan.catalog
        # what a function gives to a user with a ticket may be what the ticket is for
        callers = [c for c in callers if c.user is None or c.user.link is None]
        # and a row that is made for a policy takes values of those that it belongs to
        callers = [c for c in callers if not (c.operation or c.is_made)]
        self._everyone = callers
        self._callers = [c for c in callers if c.kind in GENERAL]
        # those whose rights follow from a row or a claim of their own
        self._staff = [
            c
            for c in callers
            if c.kind in (CLAIM, LAPSED) and (c.claim or _table_of(c) is not None)
        ]
        self._view_callers = [c for c in callers if c.kind in (*GENERAL, OWNER)]
        self._reached = {(id(a.caller), id(a.row), a.action) for a in probes.attempts if a.reached}
        self._written = {
            (id(a.caller), a.relation.oid, a.action)
            for a in probes.attempts
            if a.reached and a.action != SELECT
        }
        self._updated = _updated(probes.attempts)
        self._inserting = {
            (id(a.caller), a.relation.oid)
            for a in probes.attempts
            if a.action == INSERT and a.reached
        }
        users = [_user_row(self._catalog.users, u) for t in (world.a, world.b) for u in t.users]
        self._users = [row for row in users if row is not None]
        self._secrets = [_secret_row(value) for value in world.secrets]
        self._worlds = Worlds(world, self._users, self._prober, compares=compares)
        self._arguments = Arguments(world)
        self._copied: dict[tuple[int, tuple[str, ...]], Copies] = {}
        self._found = found
        self._answered = set[int]()  # functions that a call with a valid secret has got through
        self.writes_to_users: list[ViewWrite] = []

    def run(self, views: Sequence[Relation], functions: Sequence[Function]) -> None:
        """Read and write the views, and call the functions.

        `writes_to_users` gets the writes by views to rows of auth.users, which are no access to the
        view's own rows.
        """
        reads = [self._tables_of(view) for view in views]
        reads += [self._reads_of(function) for function in functions]
        if not reads:
            return
        self._worlds.prepare([*self._view_callers, *self._staff], views, set().union(*reads))
        tried: list[Bypass] = []
        for caller in self._view_callers:
            tried += [bypass for view in views for bypass in self._of_view(caller, view)]
        for caller in self._callers:
            tried += [bypass for f in functions for bypass in self._of_function(caller, f)]
        for caller in self._staff:
            tried += [
                bypass
                for f in functions
                if f.definer and self._may_know(f, caller)
                for bypass in self._of_function(caller, f)
            ]
        users = [b for c in self._callers for v in views for b in self._to_users(c, v)]
        self._snapshot([*tried, *users])
        copies = [one for one in self._copied.values() if one.query is not NOTHING]
        self._prober.run([*probes_of(copies, LIMITS.calls_in_batch)])
        try:
            self._send([*tried, *users])
            self._judge_unmarked(tried)
            tried += self._with_selected_rows(views, tried)
            tried += self._in_refused_states(views, tried)
            tried += self._with_ended_rows(functions)
            tried += self._with_numbers(functions)
            tried += self._with_enough(tried)
        finally:
            self._found += [bypass for bypass in tried if bypass.outcome]
            self.writes_to_users = [bypass for bypass in users if bypass.effects.changed]

    def _may_know(self, function: Function, caller: Persona) -> bool:
        """Whether a function may tell a caller with a row or a claim from others."""
        table = _table_of(caller)
        if table is not None:
            return table in self._reads_of(function)
        return bool(caller.claim) and function.oid in self._plan.usage.conditions.asking

    def _with_selected_rows(
        self, views: Sequence[Relation], tried: Sequence[Bypass]
    ) -> list[Bypass]:
        """Use the views that show nobody a row, once rows have the values that these ask for."""
        reads = [one for one in tried if isinstance(one, ViewRead)]
        shown = {one.object.oid for one in reads if one.has_rows or one.outcome == ROWS}
        found: list[Bypass] = []
        for view in views if self._worlds.is_possible else ():
            owned = self._world.a.owner.rows
            rows = [owned[oid] for oid in sorted(self._tables_of(view) & owned.keys())]
            conditions = self._plan.usage.policies.selecting[view.oid]
            prepared = self._worlds.in_state(rows, wanted(self._world, rows, conditions))
            if view.kind == "v" and view.oid not in shown and prepared:
                used = [one for one in tried if one.object is view and one.sent]
                found += self._prepared_uses(used, rows, prepared)
        self._prober.run([*probes_of(found, LIMITS.calls_in_batch)])
        return found

    def _prepared_uses(
        self, used: Sequence[Bypass], rows: Sequence[Row], prepared: Sequence[Statement]
    ) -> Iterator[PreparedUse]:
        """The same uses of a view of prepared rows; writes only to those of tables in which the
        caller has changed no row.
        """
        for one in used:
            hidden = [row for row in rows if one.action == SELECT or row in one.hidden]
            hidden = [row for row in hidden if self._place(one, row) not in self._written]
            # what a table that no request addresses would refuse is not known
            hidden = [r for r in hidden if self._catalog.reaches(r.relation, one.caller.role)]
            if hidden and one.caller.kind != OWNER:
                yield PreparedUse(
                    caller=one.caller,
                    object=one.object,
                    action=one.action,
                    sent=one.sent[:1],
                    hidden=hidden,
                    prepared=prepared,
                    own=own_role(self._impersonation),
                )

    def _in_refused_states(
        self, views: Sequence[Relation], tried: Sequence[Bypass]
    ) -> list[Bypass]:
        """Read the views of rows in a state in which their table refuses them to somebody who reads
        them in another one: to a member, or to their owner.
        """
        leaking = {one.object.oid for one in tried if one.said.shown}
        callers = [c for c in self._view_callers if c.kind in (MEMBER, OWNER)]
        found: list[Bypass] = []
        for view in views if self._worlds.is_possible else ():
            if view.kind != "v" or view.oid in leaking or self._shows_only_tables(view):
                continue
            for row, state in self._rows_in_states(self._tables_of(view)):
                use = next(filter(None, (self._use(c, view, row, state) for c in callers)), None)
                found += [] if use is None else [use]
        self._prober.run([*probes_of(found, LIMITS.calls_in_batch)])
        return [one for one in found if one.said.shown]

    def _rows_in_states(self, tables: Collection[int]) -> Iterator[tuple[Row, Row]]:
        """The first row of each of these tables, with the one in each state of the table's own."""
        a = self._world.a
        for oid in sorted(tables & a.rows.keys()):
            own = [row for row in a.owner.extra if row.state_of is row.relation]
            yield a.rows[oid], a.rows[oid]
            yield from ((a.rows[oid], row) for row in own if row.relation.oid == oid)

    def _use(self, caller: Persona, view: Relation, row: Row, state: Row) -> StateUse | None:
        """A read of a view of a row that is in a state, if the table refuses it to the caller in
        this state only.
        """
        rows = [row, *(r for r in self._world.a.owner.extra if r.relation is row.relation)]
        read = [one for one in rows if (id(caller), id(one), SELECT) in self._reached]
        is_own = caller.kind == OWNER
        if not read or state in read or not (is_own or row in read):
            return None
        persons = user_columns(row.relation, self._plan.usage, self._plan.per_user)
        columns = () if state.part is None else state.part.columns
        named = [one.name for one in columns if one.name in row.relation.by_name.keys() - persons]
        values_ = {(row.relation.oid, name): state.values[name] for name in named}
        shown = [c for c in view.columns if view.may(caller.role, "SELECT", c.name)]
        if (state is not row and not values_) or not shown:
            return None
        texts = _texts(shown)
        return StateUse(
            caller=caller,
            object=view,
            action=SELECT,
            sent=[Select(view.identifier, self._selecting(view, shown, [row]), texts)],
            hidden=[row],
            prepared=self._worlds.in_state([row], values_),
            own=own_role(self._impersonation),
            state=str(state.part or f"without {read[0].part}"),
        )

    def _place(self, one: Bypass, row: Row) -> tuple[int, int, str]:
        """The caller, the table and the action of a use of a view."""
        return id(one.caller), row.relation.oid, one.action

    def _with_ended_rows(self, functions: Sequence[Function]) -> list[Bypass]:
        """The calls with the secret of a row that has ended which do the same as before."""
        return ended_calls.find(
            self._world,
            self._worlds,
            self._impersonation,
            functions,
            self._everyone,
            self._answered,
            self._prober,
        )

    def _with_numbers(self, functions: Sequence[Function]) -> list[Bypass]:
        """The calls that raise numbers of the caller: with a negative number, and a second time."""

        def permitted(caller: Persona, row: Row) -> Collection[str]:
            return self._updated.get((id(caller), id(row)), ())

        world, acting, everyone = self._world, self._impersonation, self._everyone
        negative = number_calls.find(
            world, self._worlds, acting, functions, everyone, permitted, self._prober
        )
        repeated = number_calls.find_repeated(
            world,
            self._worlds,
            acting,
            functions,
            everyone,
            permitted,
            self._inserting,
            self._prober,
        )
        return [*negative, *repeated]

    def _with_enough(self, tried: Sequence[Bypass]) -> list[Bypass]:
        """The calls that take something from others which these did not have."""
        return funded_calls.find(
            self._world, self._worlds, self._impersonation, tried, self._prober
        )

    @property
    def not_compared(self) -> list[NotTested]:
        """Why some answers were not compared."""
        return self._worlds.not_tested

    def stopped(self, functions: Sequence[Function]) -> list[Stopped]:
        """The functions that nobody got through."""
        arguments = Arguments(self._world, knows_secrets=True)
        functions = [one for one in functions if one.oid not in self._answered]
        usage = self._plan.usage
        writing = {f.oid for f in functions if usage.bodies.adds[f.oid] or usage.bodies.sets[f.oid]}

        def ready(function: Function, caller: Persona) -> list[Statement]:
            if not self._worlds.is_possible:
                return []
            named = [caller.own_row(oid) for oid, _ in sorted(usage.conditions.own[function.oid])]
            own = [*arguments.own_rows(function, caller), *(row for row in named if row)]
            rows = [*own, *arguments.rows_above(own)]
            prepared = self._worlds.ready(function, caller, list(dict.fromkeys(rows)))
            numbers = funded_calls.numbers(self._world, function)
            return [own_role(self._impersonation), *prepared, *self._worlds.with_enough(numbers)]

        found = control_calls.stopped(
            functions, self._found, self._everyone, writing, arguments, ready, self._prober
        )
        return list(found)

    def _send(self, tried: Sequence[Bypass]) -> None:
        """Run everything, caller by caller."""
        everyone = (*self._view_callers, *self._staff)
        order = {id(caller): number for number, caller in enumerate(everyone)}
        sent = sorted((b for b in tried if b.sent), key=lambda b: order[id(b.caller)])
        asked: dict[Persona, list[Inquiry]] = {}
        for one in sent:
            if isinstance(one, Inquiry):
                asked.setdefault(one.caller, []).append(one)
        chunks = [
            Interference(caller, chunk, self._worlds)
            for caller, inquiries in asked.items()
            for chunk in _batched(inquiries, LIMITS.calls_in_batch)
        ]
        others = [one for one in sent if not isinstance(one, Inquiry)]
        self._prober.run([*chunks, *probes_of(others, LIMITS.calls_in_batch)])
        prepared = [one for one in others if isinstance(one, PreparedCall)]
        again = [one for one in prepared if self._removes_conflict(one)]
        self._prober.run([*probes_of(again, LIMITS.calls_in_batch)])

    def _removes_conflict(self, call: PreparedCall) -> bool:
        """Whether a call has passed the guard of a function, and only a generated row refuses the
        row that it adds; the next time, the generated one is absent.
        """
        if not isinstance(call.error, errors.UniqueViolation):
            return False
        label = f"{call.error.diag.schema_name}.{call.error.diag.table_name}"
        given = {word for text in call.passed for word in text.split()}
        rows = (*self._world.a.all_rows, *self._world.b.all_rows)
        same = [row for row in rows if row.relation.label == label]
        found = [row for row in same if given.isdisjoint(map(row.values.get, row.key))]
        call.prepared = [*call.prepared, *self._worlds.absent(found)]
        return bool(found) and self._worlds.is_possible

    def _hidden(self, caller: Persona, oids: Collection[int]) -> list[Row]:
        """Rows of tenant A, of these tables, that are refused to the caller; and secrets."""
        return [*self._worlds.refused(caller).of(oids).rows, *self._secrets]

    def _rows(self, oids: Collection[int]) -> list[Row]:
        """The rows of tenant A's owner of these tables, and its row of auth.users."""
        owner = self._world.a.owner
        rows = [*(owner.rows[oid] for oid in sorted(oids) if oid in owner.rows)]
        rows += self._world.a.states
        return [row for row in (*rows, *self._users[:1]) if row.relation.oid in oids]

    # -------------------------------------------------------------------------------------------
    # views

    def _tables_of(self, view: Relation) -> set[int]:
        """The tables that a view reads, directly or by other views."""
        found = {self._catalog.users} & set(view.reads) if self._catalog.users else set[int]()
        waiting = list(view.reads)
        while waiting:
            relation = self._catalog.by_oid.get(waiting.pop())
            if relation is not None and relation.oid not in found:
                found |= {oid for oid in relation.reads if oid == self._catalog.users}
                found.add(relation.oid)
                waiting += relation.reads
        return found

    def _shows_only_tables(self, view: Relation) -> bool:
        """Whether a view has only the rights of its caller, so that it says nothing that the
        policies of its tables do not say.
        """
        if view.is_table:
            return True
        read = [self._catalog.by_oid.get(oid) for oid in view.reads]
        is_plain = view.invoker and not view.calls
        return is_plain and all(r is not None and self._shows_only_tables(r) for r in read)

    def _of_view(self, caller: Persona, view: Relation) -> Iterator[Bypass]:
        tables = self._tables_of(view)
        hidden = [] if caller.kind == OWNER else self._hidden(caller, tables)
        rows = self._rows(tables)
        visible = [row for row in rows if row not in hidden]
        columns = [c for c in view.columns if view.may(caller.role, "SELECT", c.name)]
        texts = _texts(columns)
        is_reached = self._catalog.reaches(view, caller.role)
        read = ViewRead(
            caller=caller,
            object=view,
            action=SELECT,
            hidden=hidden,
            visible=visible,
            reads=() if self._shows_only_tables(view) else tables,
        )
        if not columns or not is_reached:
            read.outcome = DENIED
        else:
            marked = Select(view.identifier, _shows(texts, _marks((*hidden, *visible))), texts)
            read.sent = [marked, SelectAny(view.identifier, columns[0].identifier)]
            read.everything = [Select(view.identifier, sql.SQL("true"), texts)]
        yield read
        for action, mask in ((UPDATE, UPDATABLE), (DELETE, DELETABLE)):
            if not view.updatable & mask or not rows:
                continue
            refused, allowed = self._refused(caller, view, rows, action)
            write = ViewWrite(
                caller=caller, object=view, action=action, hidden=refused, visible=allowed
            )
            if not is_reached or not view.may(caller.role, action.upper()):
                write.hidden, write.visible, write.outcome = hidden, visible, DENIED
                yield write
            elif columns and (change := self._change(view, action, caller.role)) is not None:
                write.sent = [
                    replace(change, where=self._selecting(view, columns, some))
                    for some in (refused, allowed)
                    if some
                ]
                yield write

    def _to_users(self, caller: Persona, view: Relation) -> Iterator[ViewWrite]:
        """Writes to the row of auth.users of tenant A's owner, and to that of the caller."""
        tables = self._tables_of(view)
        readable = [c for c in view.columns if view.may(caller.role, "SELECT", c.name)]
        if not self._users or self._catalog.users not in tables or not readable:
            return
        if not self._catalog.reaches(view, caller.role):
            return
        owner = self._world.a.owner
        for user in dict.fromkeys((owner, caller.user)):
            row = None if user is None else _user_row(self._catalog.users, user)
            if user is None or row is None:
                continue
            where = _shows(_texts(readable), (user.id, user.email, user.name))
            watch = Watch([row])
            for action, mask in ((UPDATE, UPDATABLE), (DELETE, DELETABLE)):
                if not view.updatable & mask or not view.may(caller.role, action.upper()):
                    continue
                for change in self._changes(view, action, caller.role):
                    yield ViewWrite(
                        caller=caller,
                        object=view,
                        action=action,
                        sent=[replace(change, where=where)],
                        # a DELETE that foreign keys refuse shows nothing of the table if the view
                        # reads others too
                        hidden=[row] if tables == {self._catalog.users} else [],
                        visible=[row],
                        watch=watch,
                        afterwards=self._showing(watch),
                        is_own=user is caller.user,
                    )

    def _refused(
        self, caller: Persona, view: Relation, rows: Sequence[Row], action: str
    ) -> tuple[list[Row], list[Row]]:
        """The rows on which the tables refuse a write to the caller, whether it reads them or not,
        and the others.
        """
        own = self._users[:1] if caller.kind == OWNER else []  # see _to_users
        refused = [
            row
            for row in rows
            if row not in own
            and (id(caller), id(row), action) not in self._reached
            and not self._asks_policies(view, row.relation, caller.role)
        ]
        return refused, [row for row in rows if row not in refused]

    def _asks_policies(self, view: Relation, table: Relation, role: str) -> bool:
        """Whether a write by a view is one of the caller on a table that no request addresses, so
        that the table's own policies answer it.
        """
        read = [self._catalog.by_oid.get(oid) for oid in view.reads]
        is_plain = all(one is not None and one.is_table for one in read)
        is_behind = table.rls and not self._catalog.reaches(table, role)
        return view.invoker and not view.triggers and is_plain and is_behind

    def _selecting(
        self, view: Relation, columns: Sequence[Column], rows: Sequence[Row]
    ) -> sql.Composable:
        """The condition that a view shows one of these rows: by a mark, or by the key of its table,
        if that is the only one with all columns of the view.
        """
        names = {column.name for column in columns}
        found = [_shows(_texts(columns), _marks(rows))]
        table = self._table_of(view)
        for row in rows if table is not None else ():
            if row.relation is table and row.key and names.issuperset(row.key):
                found.append(row.condition)
        return sql.SQL("({})").format(sql.SQL(" or ").join(found))

    def _table_of(self, view: Relation) -> Relation | None:
        """The only table that a view reads and that has all of its columns."""
        tables = [self._catalog.by_oid.get(oid) for oid in self._tables_of(view)]
        found = [t for t in tables if t is not None and t.is_table]
        found = [t for t in found if t.by_name.keys() >= view.by_name.keys()]
        return found[0] if len(found) == 1 else None

    def _judge_unmarked(self, tried: Iterable[Bypass]) -> None:
        """Of a view that shows no mark to anybody, such as a count, any row is an access.

        An outsider with rows may see its own: it reads those of others if a caller of its role
        without rows sees one.
        """
        by_view: dict[int, list[ViewRead]] = {}
        for read in tried:
            if isinstance(read, ViewRead):
                by_view.setdefault(read.object.oid, []).append(read)
        unmarked = [group for group in by_view.values() if _is_unmarked(group)]
        controls = OwnerProbe([self._shows_marks(group) for group in unmarked])
        if unmarked:
            self._prober.run([controls])
        for group, control in zip(unmarked, controls.results, strict=True):
            # of one that fails, nothing is known
            if control.error is not None or control.answer().rows[0][0]:
                continue
            roles = {
                read.caller.role
                for read in group
                if read.has_rows and read.caller.kind in (ANON, NEWCOMER)
            }
            for read in (read for read in group if read.outcome == HIDDEN):
                read.sent = read.sent[1:]
                is_open = not read.caller.is_outsider or read.caller.role in roles
                read.outcome = outcome_of_count(read.has_rows and is_open)

    def _shows_marks(self, group: Sequence[ViewRead]) -> Statement:
        """Whether a view shows a mark to its owner."""
        view = group[0].object
        assert isinstance(view, Relation)  # noqa: S101  a view is read
        rows = [row for read in group for row in (*read.hidden, *read.visible)]
        marks = _shows(_texts(view.columns), dict.fromkeys(_marks(rows)))
        return _statement(
            sql.SQL("select exists (select from {} where {})").format(view.identifier, marks)
        )

    def _change(self, view: Relation, action: str, role: str) -> Update | Delete | None:
        """An UPDATE or DELETE without a condition."""
        return next(self._changes(view, action, role), None)

    def _changes(self, view: Relation, action: str, role: str) -> Iterator[Update | Delete]:
        """A DELETE without a condition, or an UPDATE of each of some columns: an expression cannot
        be updated.
        """
        if action == DELETE:
            yield Delete(view.identifier)
            return
        token, table = self._world.new_token, self._table_of(view)
        limits = self._plan.limits.get(table.oid, {}) if table is not None else {}
        for column in self._harmless(view, role)[: LIMITS.view_columns]:
            text, limit = token, limits.get(column.name, Limits())
            if column.base not in _TEXT_BASES or limit != Limits():
                generated = values.candidates(
                    column, limit, token, 77, self._world.now, self._plan.words
                )
                text = generated[0] or token
            yield Update(view.identifier, values={column.name: Constant(text, column.type)})

    def _harmless(self, view: Relation, role: str) -> list[Column]:
        """The columns with the fewest side effects: texts, then columns that are neither keys nor
        references; behind them those with a value that no other row has.
        """
        columns = [c for c in view.columns if view.may(role, "UPDATE", c.name)]
        texts = [c for c in columns if c.base in _TEXT_BASES]
        found = [*texts, *(c for c in columns if c.typtype == "e" or c.base in _PLAIN_BASES)]
        table = self._table_of(view)
        unique = {name for key in table.unique_keys for name in key} if table is not None else ()
        return sorted(found, key=lambda column: column.name in unique)

    # -------------------------------------------------------------------------------------------
    # functions

    def _of_function(self, caller: Persona, function: Function) -> Iterator[Bypass]:
        if caller.role not in function.callers:
            return
        if self._builds_sql(function):
            for arguments in self._arguments.injections(function, caller):
                yield Injection(
                    caller=caller,
                    object=function,
                    action=SQL,
                    sent=[call_of(function, arguments)],
                    is_statement=any(argument.text == STATEMENT for argument in arguments),
                )
        reads = self._reads_of(function)
        tables = {oid for oid in reads if oid in self._world.a.rows}
        is_volatile = function.volatility == "v"
        affected = {
            r.oid for r in self._catalog.tables if tables & self._plan.usage.reads.get(r.oid, set())
        }
        hidden = self._hidden(caller, reads | affected if is_volatile else reads)
        if not hidden and not tables:
            return
        own = [row for row in self._rows(tables | affected) if row not in self._users]
        watch = self._watch(caller, own, tables) if is_volatile else Watch()
        unread = [row for row in own if is_volatile and row in hidden]
        may_reread = all(row.relation.may(caller.role, "SELECT") for row in unread)
        rereads = unread if may_reread else []
        afterwards: list[Statement] = []
        if rereads:
            afterwards.append(statements.exists((row, caller.role) for row in rereads))
        afterwards += self._showing(watch)
        looks_up = [
            key
            for name in function.argument_names
            for key in self._plan.usage.bodies.arguments.get((function.oid, name), ())
        ]
        lists = self._arguments.lists(function, caller)
        copies = self._copies(caller, function)
        if function.definer and is_volatile and caller.is_outsider:
            yield from self._aged_call(caller, function, watch, lists[0], copies)
        if function.definer:
            yield from self._calls_in_state(caller, function, watch, hidden, copies)
            if caller.kind in _GENERAL_OUTSIDERS:
                yield from self._calls_with_null(caller, function, watch, hidden, copies)
            if caller.kind == STRANGER:
                yield from self._calls_as_named(caller, function, hidden, copies)
        for arguments in lists:
            yield FunctionCall(
                caller=caller,
                object=function,
                action=CALL,
                sent=[call_of(function, arguments)],
                hidden=hidden,
                reads=reads if self._acts_as_owner(function) else (),
                looks_up=looks_up,
                watch=watch,
                rereads=rereads,
                afterwards=afterwards,
                copies=copies,
            )

    def _aged_call(
        self,
        caller: Persona,
        function: Function,
        watch: Watch,
        arguments: Sequence[Constant],
        copies: Copies,
    ) -> Iterator[PreparedCall]:
        """A call of a function that compares times, on old rows."""
        compares = re.search(r"\b(interval|now|current_\w+|age)\b", function.body, re.IGNORECASE)
        older = self._worlds.older(watch.rows)
        if compares and older and watch.statement is not None and self._worlds.is_possible:
            yield PreparedCall(
                caller=caller,
                object=function,
                action=CALL,
                sent=[call_of(function, arguments)],
                watch=watch,
                prepared=older,
                own=own_role(self._impersonation),
                copies=copies,
            )

    def _calls_in_state(
        self,
        caller: Persona,
        function: Function,
        watch: Watch,
        hidden: Sequence[Row],
        copies: Copies,
    ) -> Iterator[IdentifyingCall]:
        """Calls with ids of rows that are in the state that the function asks for: with one of
        tenant A beside others of the caller; and with all of tenant A, if its rows are in no such
        state by themselves.
        """
        demanded = self._worlds.demanded(function)
        for chosen in self._arguments.identifying(function, caller):
            prepared = self._worlds.in_state(chosen.rows, demanded)
            if prepared and not self._worlds.is_possible:
                continue
            if not chosen.is_mixed and not (prepared and caller.kind in _GENERAL_OUTSIDERS):
                continue
            below = [*self._moved(caller, function, chosen.rows)] if chosen.is_mixed else []
            unique = {id(row): row for row in (*watch.rows, *chosen.rows)}
            rows = [row for row in unique.values() if row.relation.may(caller.role, "SELECT")]
            yield IdentifyingCall(
                caller=caller,
                object=function,
                action=CALL,
                sent=[call_of(function, chosen.arguments)],
                hidden=hidden if chosen.is_mixed else (),
                watch=Watch(watch.rows, below, watch.restored, watch.permitted),
                prepared=prepared,
                own=own_role(self._impersonation),
                copies=copies,
                known=rows,
                is_mixed=chosen.is_mixed,
                is_apart=chosen.is_apart,
                is_across=chosen.is_across,
            )

    def _moved(
        self, caller: Persona, function: Function, given: Sequence[Row]
    ) -> Iterator[tuple[Row, str]]:
        """The rows of tenant A, and their columns, below one of the rows `given` to a function that
        sets the column in other rows, or adds rows with it, which the tables do not let the caller
        add there.
        """
        usage, by_oid = self._plan.usage, self._catalog.by_oid
        added = {
            (oid, name) for oid in usage.bodies.adds[function.oid] for name in by_oid[oid].by_name
        }
        for oid, column in sorted(usage.bodies.sets[function.oid] | added):
            row = self._world.a.rows.get(oid)
            if row is None or (id(caller), id(row), INSERT) in self._reached:
                continue
            for key in row.relation.foreign_keys:
                at = dict(zip(key.columns, key.target_columns, strict=True)).get(column)
                parents = [one for one in given if one.relation.oid == key.target]
                values_ = [one.values.get(at) for one in parents if at is not None]
                if row.values.get(column) in values_:
                    yield row, column

    def _calls_as_named(
        self, caller: Persona, function: Function, hidden: Sequence[Row], copies: Copies
    ) -> Iterator[NamedCall]:
        """Calls with ids of rows of tenant A that name the caller, in one column at a time: do they
        show what the tables refuse to whoever is named there?
        """
        if not self._worlds.is_possible or caller.user is not self._world.b.owner:
            return
        persons = self._plan.per_user | self._plan.memberships.keys()
        others = next(self._arguments.identifying(function, caller), None)
        if others is None:
            return
        for oid, column in sorted(self._plan.usage.conditions.own[function.oid]):
            row = next((r for r in others.rows if r.relation.oid == oid), None)
            if row is None or oid in persons or column in row.key:
                continue
            below = [r for t, r in self._world.a.rows.items() if t in self._reads_of(function)]
            rows = [*others.rows, *(r for r in below if r not in others.rows)]
            readable = [r for r in hidden if r.relation.may(caller.role, "SELECT")]
            yield NamedCall(
                caller=caller,
                object=function,
                action=CALL,
                sent=[call_of(function, others.arguments)],
                hidden=hidden,
                watch=Watch(),
                prepared=self._worlds.ready(function, caller, rows, named=(oid, column)),
                own=own_role(self._impersonation),
                copies=copies,
                known=[r for r in readable if r.relation.label != VAULT],
                named=(oid, column),
            )

    def _calls_with_null(
        self,
        caller: Persona,
        function: Function,
        watch: Watch,
        hidden: Sequence[Row],
        copies: Copies,
    ) -> Iterator[NullCall]:
        """Calls with NULL as the argument by which a function finds rows, also those without a
        value, of a row of tenant A without one.
        """
        for name in function.argument_names[: len(function.argument_types)]:
            oid, column = self._plan.usage.bodies.null_arguments.get((function.oid, name), (0, ""))
            row = self._world.a.rows.get(oid)
            if row is None or column in row.key or row.relation.by_name[column].not_null:
                continue
            given = self._arguments.of_row(function, caller, row)
            number = function.argument_names.index(name)
            given[number] = Constant(None, function.argument_types[number])
            prepared = self._worlds.ready(function, caller, [row])
            yield NullCall(
                caller=caller,
                object=function,
                action=CALL,
                sent=[call_of(function, given)],
                hidden=hidden,
                watch=watch,
                prepared=[*prepared, *self._worlds.in_state([row], {(oid, column): None})],
                own=own_role(self._impersonation),
                copies=copies,
                known=[r for r in watch.rows if r.relation.may(caller.role, "SELECT")],
                by_null=name,
            )

    def _copies(self, caller: Persona, function: Function) -> Copies:
        """The rows that a caller reads in the tables into which a function inserts."""
        tables = [self._catalog.by_oid[oid] for oid in self._plan.usage.bodies.adds[function.oid]]
        read = [t for t in tables if t.is_table and t.may(caller.role, "SELECT")]
        labels = tuple(sorted(t.label for t in read if function.definer))
        known = self._copied.get((id(caller), labels))
        if known is None:
            texts = [statements.all_texts(t) for t in read if t.label in labels]
            query = _statement(
                sql.SQL("select concat_ws(' ', {})").format(sql.SQL(", ").join(texts))
            )
            known = self._copied[id(caller), labels] = Copies(caller, query if texts else NOTHING)
        return known

    def _builds_sql(self, function: Function) -> bool:
        executes = re.search(r"\bexecute\b", function.body, re.IGNORECASE) is not None
        return executes and function.definer

    def _reads_of(self, function: Function) -> set[int]:
        """The tables that a function reads, directly or by functions and views."""
        named = self._plan.usage.bodies.function_reads.get(function.oid, set())
        found = set(named)
        for oid in named:
            if oid in self._catalog.by_oid:
                found |= self._tables_of(self._catalog.by_oid[oid])
        if function.oid in self._plan.usage.bodies.user_functions and self._catalog.users:
            found.add(self._catalog.users)
        return found

    def _acts_as_owner(self, function: Function) -> bool:
        """Whether a function reads anything as somebody else than its caller: itself, or by
        functions and views that it names.
        """
        waiting, seen = [function], {function.oid}
        while waiting:
            one = waiting.pop()
            words = set(re.findall(r"\w+", one.body))
            views = (r for r in self._catalog.relations if not r.is_table and r.name in words)
            if one.definer or any(not view.invoker for view in views):
                return True
            more = [f for f in self._catalog.functions if f.name in words and f.oid not in seen]
            seen |= {f.oid for f in more}
            waiting += more
        return False

    # -------------------------------------------------------------------------------------------
    # effects

    def _watch(self, caller: Persona, own: Sequence[Row], tables: Collection[int]) -> Watch:
        """The rows that a function may change, and those in whose person's name it may add others:
        tables whose policies for INSERT compare the person with the caller.
        """
        rows = [row for row in own if row.relation.oid in tables]
        firsts = [row for row in rows if row is self._world.a.rows.get(row.relation.oid)]
        names = [
            (row, column)
            for row in firsts
            for column in row.relation.by_name
            if self._is_forged(caller, row, column)
        ]
        permitted = {id(row): self._updated.get((id(caller), id(row)), ()) for row in rows}
        return Watch(rows, names, self._restored, permitted)

    def _is_forged(self, caller: Persona, row: Row, column: str) -> bool:
        """Whether a column names tenant A's owner, and no INSERT of the caller may."""
        is_checked = (row.relation.oid, column) in self._plan.usage.persons.checked
        is_owner = row.values.get(column) == self._world.a.owner.id
        may_insert = (id(caller), id(row), INSERT) in self._reached
        return is_checked and is_owner and not may_insert

    def _showing(self, watch: Watch) -> list[Statement]:
        """The statements that show what is watched; none if nothing is."""
        statement = watch.statement
        return [] if statement is None else [own_role(self._impersonation), statement]

    def _snapshot(self, tried: Sequence[Bypass]) -> None:
        """Take a snapshot of all that is watched, before the calls and writes."""
        watching = [one for one in tried if isinstance(one, FunctionCall | ViewWrite)]
        watched = all_of(one.watch for one in watching)
        if watched.statement is None:
            return
        snapshot = OwnerProbe([watched.statement])
        self._prober.run([snapshot])
        [seen] = snapshot.results
        before = watched.snapshot(seen.answer().rows[0])
        for one in watching:
            one.before = before if one.watch.statement is not None else {}


def _table_of(caller: Persona) -> int | None:
    """The table of the row from which the rights of a caller follow."""
    user = caller.user
    if user is None or caller.claim:
        return None
    if user.post is not None:
        return user.post.relation.oid
    if user.standing is not None and user.membership is not None:
        return user.membership.relation.oid
    return None if user.state is None else user.state.relation.oid


def _updated(attempts: Iterable[Attempt]) -> dict[tuple[int, int], set[str]]:
    """Caller and row → the columns that the tables let the caller update. Of a row in another
    state, one column is tried: what is updated of other rows of the group stands for the rest.
    """
    updates = [attempt for attempt in attempts if attempt.action == UPDATE and attempt.reached]
    alike: dict[tuple[int, int, str], set[str]] = {}
    for attempt in updates:
        key = id(attempt.caller), attempt.relation.oid, attempt.whose
        alike.setdefault(key, set()).add(attempt.column)
    found: dict[tuple[int, int], set[str]] = {}
    for attempt in updates:
        key = id(attempt.caller), attempt.relation.oid, attempt.whose
        columns = alike[key] if attempt.is_state else {attempt.column}
        found.setdefault((id(attempt.caller), id(attempt.row)), set()).update(columns)
    return found


def _user_row(users: int | None, user: User) -> Row | None:
    """The row of a user in auth.users, which nobody else may read. Its e-mail address marks it."""
    if users is None or not user.email:
        return None
    relation = _platform_table(users, "auth", "users")
    return Row(
        relation=relation, values={"id": user.id, "email": user.email}, ctid="", token=user.email
    )


def _secret_row(value: str) -> Row:
    """The row of a secret of Vault, which requests may not read. Its value marks it."""
    relation = _platform_table(0, VAULT_SCHEMA, VAULT_VIEW)
    return Row(relation=relation, values={"id": None, "secret": value}, ctid="", token=value)


def _platform_table(oid: int, schema: str, name: str) -> Relation:
    """A table of the platform, which the catalog leaves out, with the column of its key."""
    id_ = plain_column(name="id", type="uuid", base="uuid", category="U")
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        kind="r",
        rls=True,
        owner="",
        invoker=False,
        updatable=0,
        partition_of=None,
        partition_key=None,
        granted=frozenset(),
        triggers=(),
        reads=(),
        columns=(id_,),
        constraints=(
            Constraint(
                name="key",
                kind="p",
                columns=("id",),
                target=None,
                target_name=None,
                target_columns=(),
                definition=None,
                deferrable=False,
            ),
        ),
        policies=(),
    )


def _is_unmarked(group: Sequence[ViewRead]) -> bool:
    """Whether a view has rows, and nobody reads one with a mark. Of whom its answers tell something
    about rows that the tables refuse, it is known already that they read it.
    """
    if any(read.is_marked for read in group):
        return False
    return any(read.has_rows for read in group)


def _batched(inquiries: Sequence[Inquiry], most: int) -> Iterator[Sequence[Inquiry]]:
    """The inquiries in chunks of at most so many."""
    for start in range(0, len(inquiries), most):
        yield inquiries[start : start + most]


def _texts(columns: Iterable[Column]) -> tuple[sql.Composable, ...]:
    """The columns as text."""
    return tuple(sql.SQL("{}::text").format(column.identifier) for column in columns)


def _marks(rows: Iterable[Row]) -> list[str]:
    return [mark for row in rows for mark in row.marks]


def _shows(texts: Sequence[sql.Composable], values_: Iterable[str]) -> sql.Composable:
    """The condition that a row contains one of these values."""
    patterns = sql.Literal([f"%{value}%" for value in values_])
    text = sql.SQL("concat_ws(' ', {}) like any ({}::text[])")
    return text.format(sql.SQL(", ").join(texts), patterns)


def _statement(composed: sql.Composable) -> Statement:
    return Statement(composed.as_string(None))
