"""Views and functions: do they return or change rows that their tables refuse to the same caller?

A row is recognized by its token in the result. Functions get the ids of tenant A's rows as
arguments. Of views, what they show of rows that the tables do not refuse is tested too: it is no
bypass, but an access.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import psycopg
from psycopg import errors, sql

from supabase_jobs.audit.callers import (
    ANON,
    ANONYMOUS,
    DECLARED,
    FORGER,
    FORMER,
    INVITED,
    MEMBER,
    NEWCOMER,
    OWNER,
    STRANGER,
    Persona,
)
from supabase_jobs.audit.catalog import Column, Constraint, Function, Relation
from supabase_jobs.audit.check_constraints import Limits
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.arguments import Arguments
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    GROUP,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
    is_referenced,
)
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row, User
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.action import (
    Action,
    Call,
    Constant,
    Delete,
    Select,
    SelectAny,
    Update,
)
from supabase_jobs.session.impersonation import (
    Impersonation,
    own_role,
)
from supabase_jobs.session.outcome import outcome_of_count, outcome_of_error
from supabase_jobs.session.runner import OwnerProbe, probes_of

_CALLERS = (ANON, NEWCOMER, STRANGER, ANONYMOUS, INVITED, FORMER, FORGER, DECLARED, MEMBER)
_IDS, _TEXTS = ("uuid", "bigint", "integer"), ("text", "character varying")
_TEXT_BASES = ("text", "varchar")
_PLAIN_BASES = ("json", "jsonb", "bool", "numeric", "float8", "timestamptz", "date", "int4", "int2")
UPDATABLE, DELETABLE = 4, 16
# the action of a call that is compared with calls for unknown arguments
EXISTS = "exists"
# the action of a call with SQL as an argument
SQL = "sql"


@dataclass(eq=False)
class Bypass:
    """One action of a caller on a view or a function, and the rows of tenant A that its result
    shows or changes.

    `hidden` are the rows that the tables refuse. `outcome` is rows if it reached any of them, or of
    a view's `visible` rows. Without the privilege on a view it is denied, and nothing is sent. The
    second action on a view reads any row (`has_rows`), or changes the visible rows. The statements
    `after` show its effects. `ids` are
    UUIDs that only these rows contain, by id() of the row; of the rows `identified` the result
    shows such an id. With `compares`, two calls with other arguments follow, and `reveals` is
    whether their results are equal, and others than the first. `is_own`: the row of auth.users that
    a view changes is that of the caller.
    """

    caller: Persona
    object: Relation | Function
    action: str
    sent: Sequence[Action]
    hidden: Sequence[Row]
    after: Sequence[Statement] = ()
    shown: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    opened: list[Row] = field(default_factory=list)
    outcome: str = ""
    error: psycopg.Error | None = None
    watched: Sequence[Row] = ()
    before: Sequence[str | None] = ()
    repeats_reads: bool = False
    ids: Mapping[int, Sequence[str]] = field(default_factory=dict)
    identified: list[Row] = field(default_factory=list)
    compares: bool = False
    reveals: bool = False
    visible: Sequence[Row] = ()
    has_rows: bool = False
    is_own: bool = False

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        return [*(action.statement for action in self.sent), *self.after]

    @property
    def whose(self) -> str:
        """The owner of the rows, seen by the caller."""
        return {MEMBER: GROUP, OWNER: OWN}.get(self.caller.kind, OTHER)

    def read(self, result: GroupResult) -> None:
        """Read what the result shows, and which rows have changed."""
        self.error = result.error
        if self.action == SQL:
            self.outcome = outcome_of_count(isinstance(result.error, errors.DivisionByZero))
            return
        if result.error is not None and self.action == DELETE and is_referenced(result.error):
            # only foreign keys keep the rows: the hidden ones, unless their statement is among the
            # answers
            done = result.answers[:1]
            self.changed = list(self.hidden) if not done or done[0].count else []
            self.outcome = "rows"
            return
        if result.error is not None and not result.answers:
            self.outcome = outcome_of_error(result.error)
            text = f"{result.error.diag.message_primary} {result.error.diag.message_detail or ''}"
            self.shown = [row for row in self.hidden if _contains(text, row.marks)]
            return
        answers = list(result.answers)
        if self.compares:
            if result.error is None:
                first, *others = (
                    str(answer.rows[0][0]) if answer.rows else "" for answer in answers
                )
                self.reveals = first != others[0] == others[1]
            self.outcome = outcome_of_count(self.reveals)
            return
        text = str(answers[0].rows[0][0]) if answers[0].rows else ""
        self.shown = [row for row in self.hidden if _contains(text, row.marks)]
        if self.action in (SELECT, "call"):
            ids = self.ids
            self.identified = [r for r in self.hidden if _contains(text, ids.get(id(r), ()))]
        reached = any(_contains(text, row.marks) for row in self.visible)
        if self.action in (UPDATE, DELETE):
            self.changed = list(self.hidden) if answers[0].count else []
            reached = any(answer.count for answer in answers)
        elif self.action == SELECT:
            self.has_rows = len(answers) > 1 and bool(answers[1].count)
        if self.repeats_reads and len(answers) > 1 and answers[1].rows:
            # the row of auth.users, the last one, is not read again
            self.opened = [
                row for row, now in zip(self.hidden, answers[1].rows[0], strict=False) if now
            ]
        if self.watched and result.error is None:
            after = answers[-1].rows[0]
            self.changed = [
                r
                for r, old, new in zip(self.watched, self.before, after, strict=True)
                if old != new
            ]
        found = (*self.shown, *self.identified, *self.changed, *self.opened)
        self.outcome = outcome_of_count(reached or len(found))


class Bypasses:
    """Probes the views and functions; the list `found` gets all results."""

    def __init__(
        self,
        impersonation: Impersonation,
        world: World,
        callers: Sequence[Persona],
        probes: Probes,
        found: list[Bypass],
    ) -> None:
        self._impersonation, self._world, self._prober = impersonation, world, probes.prober
        self._plan, self._catalog = world.plan, world.plan.catalog
        # what a function gives to a user with a ticket may be what the ticket is for
        callers = [c for c in callers if c.user is None or c.user.link is None]
        self._callers = [c for c in callers if c.kind in _CALLERS]
        self._view_callers = [c for c in callers if c.kind in (*_CALLERS, OWNER)]
        self._open = {
            (id(a.caller), id(a.row))
            for a in probes.attempts
            if a.action == SELECT and a.whose in (OTHER, GROUP) and a.reached
        }
        self._reached = {(id(a.caller), id(a.row), a.action) for a in probes.attempts if a.reached}
        self._user = _user_row(self._catalog.users, world.a.owner)
        self._arguments = Arguments(world)
        self._found = found
        self.writes_to_users: list[Bypass] = []

    def run(self, views: Sequence[Relation], functions: Sequence[Function]) -> None:
        """Read and write the views, and call the functions.

        `writes_to_users` gets the writes by views to rows of auth.users, which are no access to the
        view's own rows.
        """
        bypasses = [b for c in self._view_callers for v in views for b in self._of_view(c, v)]
        bypasses += [b for c in self._callers for f in functions for b in self._of_function(c, f)]
        bypasses += [b for c in self._callers for f in functions for b in self._injections(c, f)]
        users = [b for c in self._callers for v in views for b in self._to_users(c, v)]
        self._snapshot([*bypasses, *users])
        order = {id(caller): number for number, caller in enumerate(self._view_callers)}
        sent = sorted((b for b in (*bypasses, *users) if b.sent), key=lambda b: order[id(b.caller)])
        try:
            self._prober.run(probes_of(sent, LIMITS.calls_in_batch))
            self._judge_unmarked(bypasses)
        finally:
            self._found += [bypass for bypass in bypasses if bypass.outcome]
            self.writes_to_users = [bypass for bypass in users if bypass.changed]

    def _hidden_rows(self, caller: Persona, oids: Iterable[int]) -> list[Row]:
        """Rows of tenant A, of these tables, that the caller cannot read."""
        return [
            row
            for row in self._rows(set(oids))
            if row is self._user
            or (self._plan.owned(row.relation) and (id(caller), id(row)) not in self._open)
        ]

    def _rows(self, oids: set[int]) -> list[Row]:
        """The rows of tenant A of these tables, and its owner's row of auth.users."""
        owner = self._world.a.owner
        rows = [*(owner.rows[oid] for oid in sorted(oids & owner.rows.keys()))]
        rows += self._world.a.states
        rows += [self._user] if self._user is not None else []
        return [row for row in rows if row.relation.oid in oids]

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

    def _of_view(self, caller: Persona, view: Relation) -> Iterator[Bypass]:
        tables = self._tables_of(view)
        hidden = [] if caller.kind == OWNER else self._hidden_rows(caller, tables)
        rows = self._rows(tables)
        visible = [row for row in rows if row not in hidden]
        columns = [c for c in view.columns if view.may(caller.role, "SELECT", c.name)]
        is_reached = self._catalog.reaches(view, caller.role)
        if not columns or not is_reached:
            yield Bypass(caller, view, SELECT, [], hidden, visible=visible, outcome="denied")
        else:
            ids = self._secret_ids(caller, hidden)
            texts = _texts(columns)
            marks = [*_marks((*hidden, *visible)), *chain.from_iterable(ids.values())]
            read = Select(view.identifier, _shows(texts, marks), texts)
            sent = [read, SelectAny(view.identifier, columns[0].identifier)]
            yield Bypass(caller, view, SELECT, sent, hidden, ids=ids, visible=visible)
        for action, mask in ((UPDATE, UPDATABLE), (DELETE, DELETABLE)):
            if not view.updatable & mask or not rows:
                continue
            if not is_reached or not view.may(caller.role, action.upper()):
                yield Bypass(caller, view, action, [], hidden, visible=visible, outcome="denied")
            elif columns and (change := self._change(view, action, caller.role)) is not None:
                texts = _texts(columns)
                refused, allowed = self._refused(caller, rows, action)
                changes = [
                    replace(change, where=_shows(texts, _marks(some)))
                    for some in (refused, allowed)
                    if some
                ]
                yield Bypass(caller, view, action, changes, refused, visible=allowed)

    def _to_users(self, caller: Persona, view: Relation) -> Iterator[Bypass]:
        """Writes to the row of auth.users of tenant A's owner, and to that of the caller."""
        tables = self._tables_of(view)
        readable = [c for c in view.columns if view.may(caller.role, "SELECT", c.name)]
        if self._user is None or self._catalog.users not in tables or not readable:
            return
        if not self._catalog.reaches(view, caller.role):
            return
        owner = self._world.a.owner
        texts = _texts(readable)
        for user in dict.fromkeys((owner, caller.user)):
            if user is None:
                continue
            row = self._user if user is owner else _user_row(self._catalog.users, user)
            if row is None:
                continue
            where = _shows(texts, (user.id, user.email, user.name))
            after = [own_role(self._impersonation), self._watch([row])]
            # a DELETE that foreign keys refuse shows nothing of the table if the view reads others
            # too
            hidden = [row] if tables == {self._catalog.users} else []
            for action, mask in ((UPDATE, UPDATABLE), (DELETE, DELETABLE)):
                if view.updatable & mask and view.may(caller.role, action.upper()):
                    for change in self._changes(view, action, caller.role):
                        yield Bypass(
                            caller,
                            view,
                            action,
                            [replace(change, where=where)],
                            hidden,
                            after,
                            watched=[row],
                            is_own=user is caller.user,
                        )

    def _refused(
        self, caller: Persona, rows: Sequence[Row], action: str
    ) -> tuple[list[Row], list[Row]]:
        """The rows on which the tables refuse a write to the caller, whether it reads them or not,
        and the others.
        """
        refused = [
            row
            for row in rows
            if caller.kind != OWNER and (id(caller), id(row), action) not in self._reached
        ]
        return refused, [row for row in rows if row not in refused]

    def _judge_unmarked(self, bypasses: Iterable[Bypass]) -> None:
        """Of a view that cannot show a mark, such as a count, any row is an access.

        An outsider with rows may see its own: it reads those of others if a caller of its role
        without rows sees one.
        """
        reads: dict[int, list[Bypass]] = {}
        for bypass in bypasses:
            if isinstance(bypass.object, Relation) and bypass.action == SELECT:
                reads.setdefault(bypass.object.oid, []).append(bypass)
        groups, marks = [], []
        for group in reads.values():
            with_rows = [bypass for bypass in group if bypass.has_rows]
            if with_rows and all(bypass.outcome != "rows" for bypass in group):
                groups.append(group)
                marks.append(self._shows_marks(with_rows[0]))
        controls = OwnerProbe(marks)
        if groups:
            self._prober.run([controls])
        for group, control in zip(groups, controls.results, strict=True):
            # of one that fails, nothing is known
            if control.error is not None or control.answer().rows[0][0]:
                continue
            roles = {
                b.caller.role for b in group if b.has_rows and b.caller.kind in (ANON, NEWCOMER)
            }
            for bypass in (b for b in group if b.outcome == "hidden"):
                bypass.sent = bypass.sent[1:]
                is_open = not bypass.caller.is_outsider or bypass.caller.role in roles
                bypass.outcome = outcome_of_count(bypass.has_rows and is_open)

    def _shows_marks(self, bypass: Bypass) -> Statement:
        """Whether the view of a read shows a mark to its owner."""
        view = bypass.object
        assert isinstance(view, Relation)  # noqa: S101  see _judge_unmarked
        marks = _shows(_texts(view.columns), _marks((*bypass.hidden, *bypass.visible)))
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
        token = f"zqx{self._world.a.token[3:]}"
        for column in self._harmless(view, role)[: LIMITS.view_columns]:
            text = token
            if column.base not in _TEXT_BASES:
                generated = values.candidates(
                    column, Limits(), token, 77, self._world.now, self._plan.words
                )
                text = generated[0] or token
            yield Update(view.identifier, values={column.name: Constant(text, column.type)})

    def _harmless(self, view: Relation, role: str) -> list[Column]:
        """The columns with the fewest side effects: texts, then columns that are neither keys nor
        references.
        """
        columns = [c for c in view.columns if view.may(role, "UPDATE", c.name)]
        texts = [c for c in columns if c.base in _TEXT_BASES]
        return [*texts, *(c for c in columns if c.typtype == "e" or c.base in _PLAIN_BASES)]

    # -------------------------------------------------------------------------------------------
    # functions

    def _of_function(self, caller: Persona, function: Function) -> Iterator[Bypass]:
        if caller.role not in function.callers:
            return
        reads = self._plan.usage.function_reads.get(function.oid, set())
        tables = {oid for oid in reads if oid in self._world.a.rows}
        affected = {
            r.oid for r in self._catalog.tables if tables & self._plan.usage.reads.get(r.oid, set())
        } | tables
        users = self._users_of(function, reads)
        hidden = self._hidden_rows(
            caller, (affected if function.volatility == "v" else tables) | users
        )
        if not hidden and not tables:
            return
        watched = (
            [row for row in self._rows(tables) if row is not self._user]
            if function.volatility == "v"
            else []
        )
        planted = [r for r in hidden if r is not self._user]
        readable = [r for r in planted if r.relation.may(caller.role, "SELECT")]
        lists = self._arguments.lists(function, caller)
        compared = (
            hidden and caller.kind in (ANON, NEWCOMER, STRANGER) and not self._opens(caller, tables)
        )
        # a value that matches any row matches the caller's own too
        has_rows = any(caller.own_row(oid) is not None for oid in tables)
        count = 1 if has_rows or users else LIMITS.compared_calls
        for chosen in [arguments for arguments in lists if arguments][: count if compared else 0]:
            unknown = [self._unknown_arguments(function, chosen, number) for number in (1, 2)]
            calls = [_call(function, arguments) for arguments in (chosen, *unknown)]
            yield Bypass(caller, function, EXISTS, calls, hidden, compares=True)
        ids = self._secret_ids(caller, hidden)
        for arguments in lists:
            after: list[Statement] = []
            given = " ".join(argument.text or "" for argument in arguments)
            repeats = (
                function.volatility == "v" and bool(readable) and len(readable) == len(planted)
            )
            if repeats:
                after.append(statements.exists((row, caller.role) for row in planted))
            if watched:
                after += [own_role(self._impersonation), self._watch(watched)]
            new = {row: _without(values_, given) for row, values_ in ids.items()}
            yield Bypass(
                caller,
                function,
                "call",
                [_call(function, arguments)],
                hidden,
                after,
                watched=watched,
                repeats_reads=repeats,
                ids=new,
            )

    def _injections(self, caller: Persona, function: Function) -> Iterator[Bypass]:
        """Calls of a function that builds SQL, with SQL that fails with an error of its own."""
        executes = re.search(r"\bexecute\b", function.body, re.IGNORECASE) is not None
        if not (
            executes and function.definer and caller.role in function.callers and caller.is_outsider
        ):
            return
        for arguments in self._arguments.injections(function, caller):
            yield Bypass(caller, function, SQL, [_call(function, arguments)], ())

    def _users_of(self, function: Function, reads: Iterable[int]) -> set[int]:
        """The oid of auth.users, if a function reads it, directly or by functions and views."""
        views = [self._catalog.by_oid[oid] for oid in reads if oid in self._catalog.by_oid]
        known = {self._catalog.users} if self._catalog.users else set[int]()
        named = function.oid in self._plan.usage.user_functions
        return known if named or any(known & self._tables_of(view) for view in views) else set()

    def _opens(self, caller: Persona, oids: Iterable[int]) -> bool:
        """Whether the caller can read tenant A's row of one of these tables."""
        rows = self._world.a.rows
        return any(oid in rows and (id(caller), id(rows[oid])) in self._open for oid in oids)

    def _unknown_arguments(
        self, function: Function, known: Sequence[Constant], number: int
    ) -> list[Constant]:
        """The arguments of a call that no row contains; those that identify no row are the same."""
        return [
            argument
            if label or relation
            else Constant(self._unknown(argument, number), argument.type)
            for argument, label, relation in zip(
                known, function.argument_labels, function.argument_relations, strict=False
            )
        ]

    def _unknown(self, argument: Constant, number: int) -> str | None:
        element = argument.type.removesuffix("[]")
        if element not in (*_IDS, *_TEXTS):
            return argument.text
        value = _unknown(element, number)
        return value if element == argument.type else f"{{{value}}}"

    def _secret_ids(self, caller: Persona, hidden: Sequence[Row]) -> dict[int, list[str]]:
        """The UUIDs of rows that no row contains that the caller can read, and that are no user's
        id.
        """
        known = {user.id for tenant in (self._world.a, self._world.b) for user in tenant.users}
        owner = self._world.a.owner
        known |= {
            value
            for row in (*owner.rows.values(), *owner.extra)
            if (id(caller), id(row)) in self._open
            for value in row.values.values()
            if value is not None
        }
        found = {}
        for row in hidden:
            uuids = (row.values[c.name] for c in row.relation.columns if c.base == "uuid")
            found[id(row)] = [value for value in uuids if value and value not in known]
        return found

    # -------------------------------------------------------------------------------------------
    # effects

    def _watch(self, rows: Sequence[Row]) -> Statement:
        parts = [
            sql.SQL("(select watched.ctid || watched::text from {} as watched where {})").format(
                row.relation.identifier, row.condition
            )
            for row in rows
        ]
        return _statement(sql.SQL("select {}").format(sql.SQL(", ").join(parts)))

    def _snapshot(self, bypasses: Sequence[Bypass]) -> None:
        """The rows that functions may change, as they are before the calls."""
        rows = list({id(row): row for bypass in bypasses for row in bypass.watched}.values())
        if not rows:
            return
        snapshot = OwnerProbe([self._watch(rows)])
        self._prober.run([snapshot])
        [seen] = snapshot.results
        texts = seen.answer().rows[0]
        before: Mapping[int, str | None] = dict(zip(map(id, rows), texts, strict=True))
        for bypass in bypasses:
            bypass.before = [before[id(row)] for row in bypass.watched]


def _user_row(users: int | None, user: User) -> Row | None:
    """The row of a user in auth.users, which nobody else may read. Its e-mail address marks it."""
    if users is None or not user.email:
        return None
    id_ = Column(
        "id", "uuid", "uuid", "b", "U", -1, None, "", True, None, "", "", (), (), frozenset()
    )
    key = Constraint("users_pkey", "p", ("id",), None, None, (), None, False)
    relation = Relation(
        users,
        "auth",
        "users",
        "r",
        True,
        "",
        False,
        0,
        None,
        None,
        frozenset(),
        (),
        (),
        (id_,),
        (key,),
        (),
    )
    return Row(relation, {"id": user.id, "email": user.email}, "", token=user.email)


def _call(function: Function, arguments: Sequence[Constant]) -> Call:
    return Call(function.identifier, tuple(arguments))


def _contains(text: str, parts: Iterable[str]) -> bool:
    return any(part in text for part in parts)


def _without(parts: Iterable[str], text: str) -> list[str]:
    """The parts that a text does not contain."""
    return [part for part in parts if part not in text]


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


def _unknown(type_: str, number: int) -> str:
    """A value of a type that no row contains."""
    if type_ == "uuid":
        return values.made_uuid("unknown", str(number))
    return f"unknown{number}@example.invalid" if type_ in _TEXTS else str(2_000_000_000 + number)


def _statement(composed: sql.Composable) -> Statement:
    return Statement(composed.as_string(None))
