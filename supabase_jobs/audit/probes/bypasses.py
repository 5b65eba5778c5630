"""Views and functions: do they return or change rows that their tables refuse to the same caller?

A row is recognized by its token in the result; what else a result says about it is found by
interference. Of views, what they show of rows that the tables do not refuse is tested too: it is no
bypass, but an access.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.policies.usage import ColumnKey
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
from supabase_jobs.audit.probes.comparison import Answer, Flow
from supabase_jobs.audit.probes.interference import Interference, answer_of
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row, User
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.findings import NotTested
from supabase_jobs.session.action import (
    Action,
    Call,
    Constant,
    Delete,
    Select,
    SelectAny,
    Update,
)
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.outcome import outcome_of_count, outcome_of_error
from supabase_jobs.session.runner import OwnerProbe, probes_of

_CALLERS = (ANON, NEWCOMER, STRANGER, ANONYMOUS, INVITED, FORMER, FORGER, DECLARED, MEMBER)
_TEXT_BASES = ("text", "varchar")
_PLAIN_BASES = ("json", "jsonb", "bool", "numeric", "float8", "timestamptz", "date", "int4", "int2")
# arguments that identify no row: how many, since when, in which order
_GENERAL_TYPES = (
    *("integer", "smallint", "boolean", "numeric", "date", "interval"),
    *("timestamp with time zone", "timestamp without time zone"),
)
UPDATABLE, DELETABLE = 4, 16
# the actions of a call, and of a call with SQL as an argument
CALL, SQL = "call", "sql"


@dataclass(eq=False, kw_only=True)
class Bypass:
    """One action of a caller on a view or a function, and the rows of tenant A that it reaches.

    `hidden` are the rows that the tables refuse, `visible` others. `outcome` is rows if it reached
    any of them. Without the privilege on a view it is denied, and nothing is sent. Of the rows
    `shown` the result has the contents, of those `identified` an id; of those `derived` it has a
    number, of those `existing` it tells whether or how many there are, and of those `counted` that
    about all rows. `changed` are rows that were changed or deleted, `opened` those that can be read
    afterwards.
    """

    caller: Persona
    object: Relation | Function
    action: str
    sent: Sequence[Action] = ()
    hidden: Sequence[Row] = ()
    visible: Sequence[Row] = ()
    outcome: str = ""
    error: psycopg.Error | None = None
    shown: list[Row] = field(default_factory=list)
    identified: list[Row] = field(default_factory=list)
    derived: list[Row] = field(default_factory=list)
    existing: list[Row] = field(default_factory=list)
    counted: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    opened: list[Row] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        return [action.statement for action in self.sent]

    @property
    def whose(self) -> str:
        """The owner of the rows, seen by the caller."""
        return {MEMBER: GROUP, OWNER: OWN}.get(self.caller.kind, OTHER)

    def read(self, result: GroupResult) -> None:
        """Read what the result shows, and which rows have changed."""
        raise NotImplementedError

    def has_failed(self, result: GroupResult) -> bool:
        """Whether no statement was answered; the error may show rows."""
        self.error = result.error
        if result.error is None or result.answers:
            return False
        self.outcome = outcome_of_error(result.error)
        text = f"{result.error.diag.message_primary} {result.error.diag.message_detail or ''}"
        self.shown = [row for row in self.hidden if _contains(text, row.marks)]
        return True


@dataclass(eq=False, kw_only=True)
class Question(Bypass):
    """A read of a view, or a call of a function, whose answer may depend on refused rows of the
    tables `reads`; the other fields are as in `interference.Compared`.
    """

    reads: Collection[int] = ()
    looks_up: Collection[ColumnKey] = ()
    given: str | None = None
    answer: Answer = field(default_factory=Answer)

    @property
    def question(self) -> Statement:
        """The statement whose answer is compared with that of other worlds."""
        return self.statements[-1]

    def judge(self, kind: Flow, rows: Sequence[Row]) -> None:
        """Take over what flows, and from which rows."""
        if self.shown:
            return
        found = {
            Flow.CONTENTS: self.shown,
            Flow.IDS: self.identified,
            Flow.DERIVED: self.derived,
            Flow.EXISTENCE: self.existing,
            Flow.TOTAL: self.counted,
        }
        found[kind] += rows
        if kind is not Flow.TOTAL:
            self.outcome = outcome_of_count(len(rows))


@dataclass(eq=False, kw_only=True)
class ViewRead(Question):
    """A read of a view: of the rows with a mark, of any row (`has_rows`), and of all."""

    everything: Select | None = None
    has_rows: bool = False

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        everything = [] if self.everything is None else [self.everything.statement]
        return [*super().statements, *everything]

    def read(self, result: GroupResult) -> None:
        """Read which rows the view shows."""
        if self.has_failed(result):
            return
        answers = result.answers
        text = str(answers[0].rows[0][0]) if answers[0].rows else ""
        self.shown = [row for row in self.hidden if _contains(text, row.marks)]
        reached = any(_contains(text, row.marks) for row in self.visible)
        self.has_rows = len(answers) > 1 and bool(answers[1].count)
        self.answer = answer_of(result, len(answers) - 1)
        self.outcome = outcome_of_count(reached or len(self.shown))


@dataclass(eq=False, kw_only=True)
class ViewWrite(Bypass):
    """A write to a view: to the hidden rows, and to the visible ones.

    With a `watch`, it is one to rows of auth.users, which the statement shows as they were
    `before`; `is_own`: the row is that of the caller.
    """

    watch: Sequence[Statement] = ()
    before: Sequence[str | None] = ()
    is_own: bool = False

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        return [*super().statements, *self.watch]

    def read(self, result: GroupResult) -> None:
        """Read whether rows were changed."""
        answers = result.answers
        if result.error is not None and self.action == DELETE and is_referenced(result.error):
            # only foreign keys keep the rows: the hidden ones, unless their statement is among the
            # answers
            self.error = result.error
            self.changed = list(self.hidden) if not answers or answers[0].count else []
            self.outcome = "rows"
            return
        if self.has_failed(result):
            return
        self.changed = list(self.hidden) if answers[0].count else []
        if self.watch and result.error is None:
            is_changed = list(self.before) != list(answers[-1].rows[0])
            self.changed = list(self.visible) if is_changed else []
        self.outcome = outcome_of_count(any(answer.count for answer in answers))


@dataclass(eq=False, kw_only=True)
class FunctionCall(Question):
    """A call, and its effects: `watched` rows as they were `before`, and the rows that the caller
    `rereads`. `watch` is the statement for each that shows them afterwards.
    """

    watched: Sequence[Row] = ()
    before: Sequence[str | None] = ()
    rereads: Sequence[Row] = ()
    watch: Sequence[Statement] = ()

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        return [*super().statements, *self.watch]

    @property
    def question(self) -> Statement:
        """The call."""
        return self.sent[0].statement

    def read(self, result: GroupResult) -> None:
        """Read what the result shows, and which rows have changed."""
        if self.has_failed(result):
            return
        answers = result.answers
        self.answer = answer_of(replace(result, error=None))
        given = self.given or ""
        self.shown = [
            row for row in self.hidden if _contains(self.answer.text, _without(row.marks, given))
        ]
        if self.rereads and len(answers) > 1:
            reread = zip(self.rereads, answers[1].rows[0], strict=True)
            self.opened = [row for row, now in reread if now]
        if self.watched and result.error is None:
            states = zip(self.watched, self.before, answers[-1].rows[0], strict=True)
            self.changed = [row for row, old, new in states if old != new]
        self.outcome = outcome_of_count(len([*self.shown, *self.changed, *self.opened]))


@dataclass(eq=False, kw_only=True)
class Injection(Bypass):
    """A call with SQL as an argument, which fails with an error of its own if it runs."""

    def read(self, result: GroupResult) -> None:
        """Read whether it ran."""
        self.error = result.error
        self.outcome = outcome_of_count(isinstance(result.error, errors.DivisionByZero))


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
        self._reached = {(id(a.caller), id(a.row), a.action) for a in probes.attempts if a.reached}
        users = [_user_row(self._catalog.users, u) for t in (world.a, world.b) for u in t.users]
        self._users = [row for row in users if row is not None]
        self._worlds = Worlds(world, self._users, self._prober)
        self._arguments = Arguments(world)
        self._found = found
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
        self._worlds.prepare(self._view_callers, views, set().union(*reads))
        tried: list[Bypass] = []
        for caller in self._view_callers:
            tried += [bypass for view in views for bypass in self._of_view(caller, view)]
        for caller in self._callers:
            tried += [bypass for f in functions for bypass in self._of_function(caller, f)]
        users = [b for c in self._callers for v in views for b in self._to_users(c, v)]
        self._snapshot([*tried, *users])
        try:
            self._send([*tried, *users])
            self._judge_unmarked(tried)
        finally:
            self._found += [bypass for bypass in tried if bypass.outcome]
            self.writes_to_users = [bypass for bypass in users if bypass.changed]

    @property
    def not_tested(self) -> list[NotTested]:
        """Why some answers were not compared."""
        return self._worlds.not_tested

    def _send(self, tried: Sequence[Bypass]) -> None:
        """Run everything, caller by caller."""
        order = {id(caller): number for number, caller in enumerate(self._view_callers)}
        sent = sorted((b for b in tried if b.sent), key=lambda b: order[id(b.caller)])
        asked: dict[Persona, list[Question]] = {}
        for one in sent:
            if isinstance(one, Question):
                asked.setdefault(one.caller, []).append(one)
        chunks = [
            Interference(caller, chunk, self._worlds)
            for caller, questions in asked.items()
            for chunk in _batched(questions, LIMITS.attempts_in_batch)
        ]
        others = [one for one in sent if not isinstance(one, Question)]
        self._prober.run([*chunks, *probes_of(others, LIMITS.calls_in_batch)])

    def _hidden(self, caller: Persona, oids: Collection[int]) -> list[Row]:
        """Rows of tenant A, of these tables, that are refused to the caller."""
        return list(self._worlds.refused(caller).of(oids).rows)

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

    def _of_view(self, caller: Persona, view: Relation) -> Iterator[Bypass]:
        tables = self._tables_of(view)
        hidden = [] if caller.kind == OWNER else self._hidden(caller, tables)
        rows = self._rows(tables)
        visible = [row for row in rows if row not in hidden]
        columns = [c for c in view.columns if view.may(caller.role, "SELECT", c.name)]
        texts = _texts(columns)
        is_reached = self._catalog.reaches(view, caller.role)
        read = ViewRead(
            caller=caller, object=view, action=SELECT, hidden=hidden, visible=visible, reads=tables
        )
        if not columns or not is_reached:
            read.outcome = "denied"
        else:
            marked = Select(view.identifier, _shows(texts, _marks((*hidden, *visible))), texts)
            read.sent = [marked, SelectAny(view.identifier, columns[0].identifier)]
            read.everything = Select(view.identifier, sql.SQL("true"), texts)
        yield read
        for action, mask in ((UPDATE, UPDATABLE), (DELETE, DELETABLE)):
            if not view.updatable & mask or not rows:
                continue
            refused, allowed = self._refused(caller, rows, action)
            write = ViewWrite(
                caller=caller, object=view, action=action, hidden=refused, visible=allowed
            )
            if not is_reached or not view.may(caller.role, action.upper()):
                write.hidden, write.visible, write.outcome = hidden, visible, "denied"
                yield write
            elif columns and (change := self._change(view, action, caller.role)) is not None:
                write.sent = [
                    replace(change, where=_shows(texts, _marks(some)))
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
                        watch=[own_role(self._impersonation), self._watch([row])],
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
            for read in (read for read in group if read.outcome == "hidden"):
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
        if self._builds_sql(function) and caller.is_outsider:
            for arguments in self._arguments.injections(function, caller):
                sent = [_call(function, arguments)]
                yield Injection(caller=caller, object=function, action=SQL, sent=sent)
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
        watched = [row for row in own if is_volatile and row.relation.oid in tables]
        unread = [row for row in own if is_volatile and row in hidden]
        may_reread = all(row.relation.may(caller.role, "SELECT") for row in unread)
        rereads = unread if may_reread else []
        watch: list[Statement] = []
        if rereads:
            watch.append(statements.exists((row, caller.role) for row in rereads))
        if watched:
            watch += [own_role(self._impersonation), self._watch(watched)]
        looks_up = [
            key
            for name in function.argument_names
            for key in self._plan.usage.arguments.get((function.oid, name), ())
        ]
        for arguments in self._arguments.lists(function, caller):
            yield FunctionCall(
                caller=caller,
                object=function,
                action=CALL,
                sent=[_call(function, arguments)],
                hidden=hidden,
                reads=reads if self._acts_as_owner(function) else (),
                looks_up=looks_up,
                given=_given(arguments),
                watched=watched,
                rereads=rereads,
                watch=watch,
            )

    def _builds_sql(self, function: Function) -> bool:
        executes = re.search(r"\bexecute\b", function.body, re.IGNORECASE) is not None
        return executes and function.definer

    def _reads_of(self, function: Function) -> set[int]:
        """The tables that a function reads, directly or by functions and views."""
        named = self._plan.usage.function_reads.get(function.oid, set())
        found = set(named)
        for oid in named:
            if oid in self._catalog.by_oid:
                found |= self._tables_of(self._catalog.by_oid[oid])
        if function.oid in self._plan.usage.user_functions and self._catalog.users:
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

    def _watch(self, rows: Sequence[Row]) -> Statement:
        """The versions and the texts of rows."""
        parts = [
            sql.SQL("(select watched.ctid || watched::text from {} as watched where {})").format(
                row.relation.identifier, row.condition
            )
            for row in rows
        ]
        return _statement(sql.SQL("select {}").format(sql.SQL(", ").join(parts)))

    def _snapshot(self, tried: Sequence[Bypass]) -> None:
        """The watched rows as they are before the calls and writes."""
        watching = [one for one in tried if isinstance(one, FunctionCall | ViewWrite) and one.watch]
        rows = list({id(row): row for one in watching for row in _watched(one)}.values())
        if not rows:
            return
        snapshot = OwnerProbe([self._watch(rows)])
        self._prober.run([snapshot])
        [seen] = snapshot.results
        before: Mapping[int, str | None] = dict(
            zip(map(id, rows), seen.answer().rows[0], strict=True)
        )
        for one in watching:
            one.before = [before[id(row)] for row in _watched(one)]


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


def _is_unmarked(group: Sequence[ViewRead]) -> bool:
    """Whether a view has rows, and nobody reads one with a mark."""
    if any(read.outcome == "rows" for read in group):
        return False
    return any(read.has_rows for read in group)


def _batched(questions: Sequence[Question], most: int) -> Iterator[Sequence[Question]]:
    """The questions in chunks of at most so many."""
    for start in range(0, len(questions), most):
        yield questions[start : start + most]


def _watched(one: FunctionCall | ViewWrite) -> Sequence[Row]:
    return one.watched if isinstance(one, FunctionCall) else one.visible


def _given(arguments: Sequence[Constant]) -> str | None:
    """The texts of arguments; None if none of them can identify a row."""
    if all(argument.type in _GENERAL_TYPES for argument in arguments):
        return None
    return " ".join(argument.text or "" for argument in arguments)


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


def _statement(composed: sql.Composable) -> Statement:
    return Statement(composed.as_string(None))
