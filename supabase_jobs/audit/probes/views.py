"""Reads of views and writes by them, and what each of them reaches."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from psycopg import sql

from supabase_jobs.audit.callers import ANON, MEMBER, NEWCOMER, OWNER, Persona
from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.probes.attempt import DELETE, SELECT, UPDATE
from supabase_jobs.audit.probes.bypass import Bypass, ViewRead, ViewWrite
from supabase_jobs.audit.probes.effects import Watch
from supabase_jobs.audit.probes.refused_rows import RefusedRows
from supabase_jobs.audit.probes.selected_rows import PreparedUse, StateUse, wanted
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement
from supabase_jobs.outcomes import DENIED, HIDDEN, ROWS
from supabase_jobs.session.action import Constant, Delete, Select, SelectAny, Update
from supabase_jobs.session.impersonation import own_role
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.runner import OwnerProbe, probes_of

_TEXT_BASES = ("text", "varchar")
_PLAIN_BASES = ("json", "jsonb", "bool", "numeric", "float8", "timestamptz", "date", "int4", "int2")
UPDATABLE, DELETABLE = 4, 16


class Views:
    """The reads and writes of views. `written` are caller, table and action, by their id(), of the
    changes that the tables permit.
    """

    def __init__(self, rows: RefusedRows, callers: Sequence[Persona], probes: Probes) -> None:
        self._rows, self._callers, self._prober = rows, callers, probes.prober
        self._impersonation, self._world, self._worlds = rows.impersonation, rows.world, rows.worlds
        self._plan, self._catalog = rows.world.plan, rows.world.plan.catalog
        self._written = {
            (id(a.caller), a.relation.oid, a.action)
            for a in probes.attempts
            if a.reached and a.action != SELECT
        }

    def with_selected_rows(
        self, views: Sequence[Relation], tried: Sequence[Bypass]
    ) -> list[Bypass]:
        """Use the views that show nobody a row, once rows have the values that these ask for."""
        reads = [one for one in tried if isinstance(one, ViewRead)]
        shown = {one.object.oid for one in reads if one.has_rows or one.outcome == ROWS}
        found: list[Bypass] = []
        for view in views if self._worlds.is_possible else ():
            owned = self._world.a.owner.rows
            rows = [owned[oid] for oid in sorted(self._rows.tables_of(view) & owned.keys())]
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
                    everything=one.everything
                    if isinstance(one, ViewRead) and len(hidden) == len(rows)
                    else (),
                )

    def in_refused_states(self, views: Sequence[Relation], tried: Sequence[Bypass]) -> list[Bypass]:
        """Read the views of rows in a state in which their table refuses them to somebody who reads
        them in another one: to a member, or to their owner.
        """
        leaking = {one.object.oid for one in tried if one.said.shown}
        callers = [c for c in self._callers if c.kind in (MEMBER, OWNER)]
        found: list[Bypass] = []
        for view in views if self._worlds.is_possible else ():
            if view.kind != "v" or view.oid in leaking or self._rows.shows_only_tables(view):
                continue
            for row, state in self._rows_in_states(self._rows.tables_of(view)):
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
        read = [one for one in rows if (id(caller), id(one), SELECT) in self._rows.reached]
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

    def of_view(self, caller: Persona, view: Relation) -> Iterator[Bypass]:
        """The reads and writes of a view by a caller."""
        tables = self._rows.tables_of(view)
        hidden = [] if caller.kind == OWNER else self._rows.hidden(caller, tables)
        rows = self._rows.of_tables(tables)
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
            reads=() if self._rows.shows_only_tables(view) else tables,
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

    def to_users(self, caller: Persona, view: Relation) -> Iterator[ViewWrite]:
        """Writes to the row of auth.users of tenant A's owner, and to that of the caller."""
        tables = self._rows.tables_of(view)
        readable = [c for c in view.columns if view.may(caller.role, "SELECT", c.name)]
        if not self._rows.users or self._catalog.users not in tables or not readable:
            return
        if not self._catalog.reaches(view, caller.role):
            return
        owner = self._world.a.owner
        for user in dict.fromkeys((owner, caller.user)):
            row = None if user is None else self._rows.user_row(user)
            if user is None or row is None:
                continue
            where = _shows(_texts(readable), (user.id, user.email, user.name))
            watch = Watch(rows=[row])
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
                        afterwards=self._rows.showing(watch),
                        is_own=user is caller.user,
                    )

    def _refused(
        self, caller: Persona, view: Relation, rows: Sequence[Row], action: str
    ) -> tuple[list[Row], list[Row]]:
        """The rows on which the tables refuse a write to the caller, whether it reads them or not,
        and the others.
        """
        own = self._rows.users[:1] if caller.kind == OWNER else []  # see _to_users
        refused = [
            row
            for row in rows
            if row not in own
            and (id(caller), id(row), action) not in self._rows.reached
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
        tables = [self._catalog.by_oid.get(oid) for oid in self._rows.tables_of(view)]
        found = [t for t in tables if t is not None and t.is_table]
        found = [t for t in found if t.by_name.keys() >= view.by_name.keys()]
        return found[0] if len(found) == 1 else None

    def judge_unmarked(self, tried: Iterable[Bypass]) -> None:
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


def _is_unmarked(group: Sequence[ViewRead]) -> bool:
    """Whether a view has rows, and nobody reads one with a mark. Of whom its answers tell something
    about rows that the tables refuse, it is known already that they read it.
    """
    if any(read.is_marked for read in group):
        return False
    return any(read.has_rows for read in group)


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
