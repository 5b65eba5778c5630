"""Actions on views and functions, and how their results are read. A row is recognized by its token
in a result.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import errors

from supabase_jobs.audit.callers import MEMBER, OWNER, Persona
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    GROUP,
    OTHER,
    OWN,
    SELECT,
    is_referenced,
    profile_of,
)
from supabase_jobs.audit.probes.comparison import Answer, Flow
from supabase_jobs.audit.probes.effects import Effects, Snapshot, Watch
from supabase_jobs.audit.probes.interference import answer_of
from supabase_jobs.audit.probes.statements import exists
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database import batch
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.findings import AccessObject
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.action import Action, Call, Constant, Select
from supabase_jobs.session.impersonation import SET
from supabase_jobs.session.outcome import outcome_of_count, outcome_of_error
from supabase_jobs.session.request import Request, to_function, to_table

# a query without an answer
NOTHING = Statement("select")
# types of arguments that identify no row: how many, since when, in which order
_GENERAL_TYPES = (
    *("integer", "smallint", "boolean", "numeric", "date", "interval"),
    *("timestamp with time zone", "timestamp without time zone"),
)
# the actions of a call, and of a call with SQL as an argument
CALL, SQL = "call", "sql"


@dataclass(eq=False)
class Said:
    """The rows about which a result says something, by what it says.

    Of the rows `shown` it has the contents, of those `identified` an id; of those `derived` it has
    a number, of those `existing` it tells whether or how many there are, and of those `counted`
    that about all rows.
    """

    shown: list[Row] = field(default_factory=list)
    identified: list[Row] = field(default_factory=list)
    derived: list[Row] = field(default_factory=list)
    existing: list[Row] = field(default_factory=list)
    counted: list[Row] = field(default_factory=list)

    @property
    def seen(self) -> list[Row]:
        """The rows of which it has the contents or an id."""
        return [*self.shown, *self.identified]


@dataclass(eq=False, kw_only=True)
class Bypass:
    """One action of a caller on a view or a function, and the rows of tenant A that it reaches.

    `hidden` are the rows that the tables refuse. `outcome` is rows if it reached any of them, or
    others. Without the privilege on a view it is denied, and nothing is sent. The result has `said`
    something about rows, and the action has `effects`.
    """

    caller: Persona
    object: Relation | Function
    action: str
    sent: Sequence[Action] = ()
    hidden: Sequence[Row] = ()
    outcome: str = ""
    error: psycopg.Error | None = None
    said: Said = field(default_factory=Said)
    effects: Effects = field(default_factory=Effects)

    @property
    def label(self) -> str:
        """The view or function, as reports name it."""
        target = self.object
        return target.label if isinstance(target, Relation) else target.signature

    @property
    def target(self) -> AccessObject:
        """The view or function."""
        return AccessObject(self.label)

    @property
    def detail(self) -> str:
        """Nothing: the action says all."""
        return ""

    @property
    def does(self) -> str:
        """The action."""
        return self.action

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        return [action.statement for action in self.sent]

    @property
    def become(self) -> Statement:
        """The statement that sets the role of the caller."""
        return Statement(SET, ("role", self.caller.role))

    @property
    def marks(self) -> tuple[str, ...]:
        """The texts by which a result shows hidden rows."""
        return tuple(mark for row in self.hidden for mark in row.marks)

    @property
    def whose(self) -> str:
        """The owner of the rows, seen by the caller."""
        return {MEMBER: GROUP, OWNER: OWN}.get(self.caller.kind, OTHER)

    def read(self, result: GroupResult) -> None:
        """Read what the result shows, and which rows have changed."""
        raise NotImplementedError

    def script(self) -> str:
        """The first statement for psql."""
        return self.sent[0].script if self.sent else ""

    def request(self, default_schema: str) -> Request | None:
        """The request that calls the function, or reads the view; None for writes to a view, whose
        rows have no known key.
        """
        target = self.object
        profile = profile_of(target, default_schema)
        if isinstance(target, Function):
            values = [one.text for one in _arguments(self.sent[0])]
            arguments = dict(zip(target.argument_names, values, strict=False))
            return to_function(target.name, self.caller, arguments, profile=profile)
        if self.action != SELECT:
            return None
        return to_table(SELECT, target.name, self.caller, profile=profile)

    def has_failed(self, result: GroupResult, known: Collection[str] = ()) -> bool:
        """Whether no statement was answered; the error may show rows that the texts `known` to the
        caller do not name.
        """
        self.error = result.error
        if result.error is None or result.answers:
            return False
        self.outcome = outcome_of_error(result.error)
        text = f"{result.error.diag.message_primary} {result.error.diag.message_detail or ''}"
        self.said.shown = self._shown_in(text, known)
        return True

    def _shown_in(self, text: str, known: Collection[str] = ()) -> list[Row]:
        """The hidden rows with a mark in a text that the caller does not know."""
        found = []
        for row in self.hidden:
            if any(mark in text and not _is_in(mark, known) for mark in row.marks):
                found.append(row)
        return found

    def _copied(self, copies: "Copies", answer: batch.Answer, passed: Collection[str]) -> list[Row]:
        """The hidden rows whose contents the caller reads in other rows after a call."""
        found = self._shown_in(_text(answer), (*passed, copies.before))
        return [row for row in found if row not in self.said.shown]


@dataclass(eq=False, kw_only=True)
class Inquiry(Bypass):
    """A read of a view, or a call of a function, whose answer may depend on refused rows of the
    tables `reads`; the other fields are as in `interference.Compared`.
    """

    reads: Collection[int] = ()
    looks_up: Collection[ColumnKey] = ()
    answer: Answer = field(default_factory=Answer)

    @property
    def is_general(self) -> bool:
        """Whether nothing that the caller passes can identify a row."""
        return True

    @property
    def passed(self) -> tuple[str, ...]:
        """The texts that the caller passes, one of which may identify a row."""
        return ()

    @property
    def inquiry(self) -> Statement:
        """The statement whose answer is compared with that of other worlds."""
        return self.statements[-1]

    def judge(self, kind: Flow, rows: Sequence[Row]) -> None:
        """Take over what flows, and from which rows."""
        said = self.said
        if said.shown:
            return
        found = {
            Flow.CONTENTS: said.shown,
            Flow.IDS: said.identified,
            Flow.DERIVED: said.derived,
            Flow.EXISTENCE: said.existing,
            Flow.TOTAL: said.counted,
        }
        found[kind] += rows
        if kind is not Flow.TOTAL:
            self.outcome = outcome_of_count(len(rows))


@dataclass(eq=False, kw_only=True)
class ViewRead(Inquiry):
    """A read of a view: of the rows with a mark (`is_marked`: it shows one), of any row
    (`has_rows`), and of `everything`. `visible` are the rows that the tables do not refuse.
    """

    visible: Sequence[Row] = ()
    everything: Sequence[Select] = ()
    is_marked: bool = False
    has_rows: bool = False

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        return [*super().statements, *(read.statement for read in self.everything)]

    def read(self, result: GroupResult) -> None:
        """Read which rows the view shows."""
        if self.has_failed(result):
            return
        answers = result.answers
        text = str(answers[0].rows[0][0]) if answers[0].rows else ""
        self.said.shown = self._shown_in(text)
        reached = any(_contains(text, row.marks) for row in self.visible)
        self.has_rows = len(answers) > 1 and bool(answers[1].count)
        self.answer = answer_of(result, len(answers) - 1)
        self.is_marked = reached or bool(self.said.shown)
        self.outcome = outcome_of_count(self.is_marked)


@dataclass(eq=False, kw_only=True)
class ViewWrite(Bypass):
    """A write to a view: to the hidden rows, and to the visible ones.

    One to rows of auth.users has a `watch` for them, and a snapshot from `before`; `is_own`: the
    row is that of the caller.
    """

    visible: Sequence[Row] = ()
    watch: Watch = field(default_factory=Watch)
    before: Snapshot = field(default_factory=dict)
    afterwards: Sequence[Statement] = ()
    is_own: bool = False

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        return [*super().statements, *self.afterwards]

    def read(self, result: GroupResult) -> None:
        """Read whether rows were changed."""
        answers = result.answers
        if result.error is not None and self.action == DELETE and is_referenced(result.error):
            # only foreign keys keep the rows: the hidden ones, unless their statement is among the
            # answers
            self.error = result.error
            is_kept = not answers or bool(answers[0].count)
            self.effects = Effects(changed=self.hidden if is_kept else ())
            self.outcome = ROWS
            return
        if self.has_failed(result):
            return
        self.effects = Effects(changed=self.hidden if answers[0].count else ())
        if self.afterwards and result.error is None:
            after = self.watch.snapshot(answers[-1].rows[0])
            self.effects = Effects(changed=self.watch.effects(self.before, after).changed)
        self.outcome = outcome_of_count(any(answer.count for answer in answers))


@dataclass(eq=False)
class Copies:
    """The rows of some tables, as text, that a caller reads `before` a call: a function may copy
    rows of others into them. `query` shows them.
    """

    caller: Persona
    query: Statement
    before: str = ""
    is_known: bool = False

    @property
    def statements(self) -> list[Statement]:
        """The query."""
        return [self.query]

    @property
    def statement(self) -> Statement:
        """The query after a call; without rows if it has failed before."""
        return self.query if self.is_known else NOTHING

    def read(self, result: GroupResult) -> None:
        """Read what the caller sees before any call."""
        self.is_known = result.error is None
        if self.is_known:
            self.before = _text(result.answers[0])


@dataclass(eq=False, kw_only=True)
class FunctionCall(Inquiry):
    """A call, and its effects: on what is watched, with a snapshot from `before`, and on the rows
    that the caller `rereads`. The statements `afterwards` show both. The result also has the
    contents of rows that it copies to where the caller reads them.
    """

    watch: Watch = field(default_factory=Watch)
    before: Snapshot = field(default_factory=dict)
    rereads: Sequence[Row] = ()
    afterwards: Sequence[Statement] = ()
    copies: Copies

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        return [*super().statements, self.copies.statement, *self.afterwards]

    @property
    def marks(self) -> tuple[str, ...]:
        """The texts by which a result shows hidden rows: those that the caller does not pass."""
        passed = self.passed
        return tuple(mark for mark in super().marks if not _is_in(mark, passed))

    @property
    def inquiry(self) -> Statement:
        """The call."""
        return self.sent[0].statement

    @property
    def is_general(self) -> bool:
        """Whether no argument can identify a row."""
        return all(one.type in _GENERAL_TYPES for one in _arguments(self.sent[0]))

    @property
    def passed(self) -> tuple[str, ...]:
        """The texts of the arguments, one of which may identify a row."""
        return () if self.is_general else texts_of(self.sent[0])

    @property
    def names_others(self) -> bool:
        """Whether an argument is the id of a hidden row, or of one that the call changes."""
        ids = {value for row in (*self.hidden, *self.effects.changed) for value in _ids(row)}
        return any(value in ids for text in self.passed for value in text.split())

    def read(self, result: GroupResult) -> None:
        """Read what the result shows, and which rows have changed."""
        passed, said = self.passed, self.said
        if self.has_failed(result, passed):
            self.effects = Effects(changed=self._kept(result.error))
            self.outcome = ROWS if self.effects.changed else self.outcome
            return
        answers = result.answers
        self.answer = answer_of(replace(result, error=None))
        said.shown = self._shown_in(self.answer.text, passed)
        if len(answers) > 1:
            said.shown += self._copied(self.copies, answers[1], passed)
        if self.before and result.error is None:
            self.effects = self._effects(self.watch.snapshot(answers[-1].rows[0]))
        if self.rereads and len(answers) > 2:
            reread = zip(self.rereads, answers[2].rows[0], strict=True)
            self.effects = replace(self.effects, opened=[row for row, now in reread if now])
        self.outcome = outcome_of_count(len([*said.shown, *self.effects.rows]))

    def _effects(self, after: Snapshot) -> Effects:
        """The effects on what is watched; rows in which only numbers are others apart."""
        found = self.watch.effects(self.before, after)
        # a row in a state that is hidden, such as a price that is not listed, is one of a table
        # that the caller knows
        known = {row.relation.oid for row in self.watch.rows if row not in self.hidden}
        recounted = [row for row in found.recounted if row.relation.oid in known]
        changed = [row for row in found.changed if row not in recounted]
        return replace(found, changed=changed, recounted=recounted)

    def _kept(self, error: psycopg.Error | None) -> list[Row]:
        """The watched rows that only rows that refer to them keep: the call would have deleted
        them.
        """
        if not isinstance(error, errors.ForeignKeyViolation):
            return []
        table, key = error.diag.message_primary or "", error.diag.message_detail or ""
        found = [row for row in self.watch.rows if f'"{row.relation.name}"' in table]
        return [row for row in found if _contains(key, _named_key(row))]


@dataclass(eq=False, kw_only=True)
class PreparedCall(Bypass):
    """A call after the owner has `prepared` rows, such as made them old.

    `own` sets the role of the owner. Rows that the caller can read once they are prepared are none
    that the tables refuse: those are the `known`. `copies` are as in `FunctionCall`. `below`: to
    the row above one of these, the call has given another one.
    """

    watch: Watch
    prepared: Sequence[Statement]
    own: Statement
    copies: Copies
    known: Sequence[Row] = ()
    below: Sequence[Row] = ()

    @property
    def passed(self) -> tuple[str, ...]:
        """The texts of the arguments."""
        return texts_of(self.sent[0])

    @property
    def _show(self) -> Statement:
        return self.watch.statement or NOTHING

    @property
    def statements(self) -> list[Statement]:
        """The statements of the owner and of the caller, in order."""
        reads = exists((row, self.caller.role) for row in self.known)
        before = [self.own, *self.prepared, self._show, self.become, reads]
        return [*before, *super().statements, self.copies.statement, self.own, self._show]

    def watched(self, before: Snapshot, after: Snapshot) -> Effects:
        """The effects on what is watched."""
        return self.watch.effects(before, after)

    def refused(self, effects: Effects, known: Sequence[Row]) -> list[Row]:
        """The rows that the caller has changed and may not: those that it does not know."""
        return [row for row in effects.changed if row not in known]

    def read(self, result: GroupResult) -> None:
        """Read which of the rows have changed, and which the result shows."""
        self.error = result.error
        if result.error is not None:
            return
        shown, _, reads, call, copied, _, after = result.answers[1 + len(self.prepared) :]
        known = [row for row, is_read in zip(self.known, reads.rows[0], strict=True) if is_read]
        snapshots = (self.watch.snapshot(seen.rows[0]) for seen in (shown, after))
        effects = self.watched(*snapshots)
        changed = self.refused(effects, known)
        self.effects, self.below = Effects(changed=changed), effects.addressed
        shows = self._shown_in(_text(call), self.passed)
        shows += self._copied(self.copies, copied, self.passed)
        self.said.shown = [row for row in shows if row not in known]
        self.outcome = outcome_of_count(len([*changed, *self.said.shown, *self.below]))


@dataclass(eq=False, kw_only=True)
class IdentifyingCall(PreparedCall):
    """A call with ids of rows that are in the state for which the function asks.

    `is_mixed`: some arguments identify rows of the caller. `is_apart`: one of the rows that they
    identify belongs to another row than that which another one identifies. `is_across`: two of them
    belong to different groups; who may read a row of another group may not change it for that.
    """

    is_mixed: bool
    is_apart: bool
    is_across: bool

    def refused(self, effects: Effects, known: Sequence[Row]) -> list[Row]:
        """The rows that the caller has changed and may not."""
        return super().refused(effects, effects.raised if self.is_across else known)


@dataclass(eq=False, kw_only=True)
class NamedCall(PreparedCall):
    """A call with ids of rows in which the owner has `named` the caller, in this column."""

    named: ColumnKey


@dataclass(eq=False, kw_only=True)
class NullCall(PreparedCall):
    """A call with NULL as the argument `by_null`, as the column of the row is."""

    by_null: str


@dataclass(eq=False, kw_only=True)
class Injection(Bypass):
    """A call with SQL as an argument, which fails with an error of its own if it runs. The SQL
    `is_statement`, or a part of one.
    """

    is_statement: bool

    def read(self, result: GroupResult) -> None:
        """Read whether it ran."""
        self.error = result.error
        self.outcome = outcome_of_count(isinstance(result.error, errors.DivisionByZero))


def call_of(function: Function, arguments: Sequence[Constant]) -> Call:
    """A call with these arguments; those with a default may be left out."""
    is_variadic = function.takes_any_number and len(arguments) == len(function.argument_types)
    return Call(function.identifier, tuple(arguments), variadic=is_variadic)


def _arguments(call: Action) -> tuple[Constant, ...]:
    """The arguments of a call."""
    return call.arguments if isinstance(call, Call) else ()


def texts_of(call: Action) -> tuple[str, ...]:
    """The texts of the arguments of a call; '' for NULL."""
    return tuple(one.text or "" for one in _arguments(call))


def _is_in(mark: str, texts: Iterable[str]) -> bool:
    return any(mark in text for text in texts)


def _text(answer: batch.Answer) -> str:
    """The only value of an answer as text."""
    return str(answer.rows[0][0] or "") if answer.rows and answer.rows[0] else ""


def _contains(text: str, parts: Iterable[str]) -> bool:
    return any(part in text for part in parts)


def _named_key(row: Row) -> Iterator[str]:
    """The columns of a row's key with their values, as the error of a foreign key names them: a new
    row without one above it is named by the columns that refer.
    """
    return (f"({name})=({row.values.get(name)})" for name in row.key)


def _key(row: Row) -> Iterator[str | None]:
    """The values of a row's key."""
    return map(row.values.get, row.key)


def _ids(row: Row) -> Iterator[str]:
    """The values of a row's key, and of the keys that it refers to."""
    referring = [name for key in row.relation.foreign_keys for name in key.columns]
    for name in (*row.key, *referring):
        value = row.values.get(name)
        if value is not None:
            yield value
