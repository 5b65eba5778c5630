"""The facts that kinds of leak are found in: what callers tried, on which rows, and what happened.

`read` is the only place that takes them out of the probes and the catalogs.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

from psycopg import errors, sql

from supabase_jobs.audit.callers import (
    ANON,
    CLAIM,
    FORMER,
    GENERAL,
    INVITED,
    LAPSED,
    MEMBER,
    OWNER,
    SERVICE,
    STRANGER,
    Persona,
)
from supabase_jobs.audit.catalog import VAULT, Column, Constraint, Function, Named, Policy, Relation
from supabase_jobs.audit.policies import (
    bodies,
    captured_names,
    decisions,
    expressions,
    left_out,
    link_states,
    refusals,
    tested,
)
from supabase_jobs.audit.policies.captured_names import CapturedName
from supabase_jobs.audit.policies.decisions import Free, Meaning
from supabase_jobs.audit.policies.left_out import LeftOut
from supabase_jobs.audit.policies.link_states import LinkState
from supabase_jobs.audit.policies.refusals import Refusal
from supabase_jobs.audit.policies.usage import REFUSAL, ColumnKey, columns_of_state
from supabase_jobs.audit.probes.attempt import (
    CHOOSE,
    DELETE,
    GROUP,
    INSERT,
    JOIN,
    OTHER,
    OWN,
    SELECT,
    START,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import (
    SQL,
    Bypass,
    FunctionCall,
    Injection,
    PreparedCall,
    ViewWrite,
)
from supabase_jobs.audit.probes.ended_calls import EndedCall
from supabase_jobs.audit.probes.escalation import Gain
from supabase_jobs.audit.probes.number_calls import NumberCall, RepeatedCall
from supabase_jobs.audit.probes.topics import Topic, TopicAttempt
from supabase_jobs.audit.rows import tenants
from supabase_jobs.audit.rows.plan import Plan, accepts_rows, is_told_apart, user_columns
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.audit.rows.values import TIMES
from supabase_jobs.audit.words import Words
from supabase_jobs.outcomes import CLOSED, DENIED, ROWS
from supabase_jobs.session.action import Call, Constant

ACTIONS = (SELECT, INSERT, UPDATE, DELETE)
# the roles of requests that anyone can make
API_USERS = ("anon", "authenticated")


@dataclass(frozen=True)
class Membership:
    """A member's role in a group, by a table of memberships; `strongest` is its first role.

    One who is `in_both` has the strongest role in the group of the other tenant, too.
    """

    table: str
    role: str | None
    strongest: str
    in_both: bool


@dataclass(frozen=True, eq=False)
class Actor:
    """A caller. `kind` and `label` are those of callers.Persona, `role` is the database role.

    `claim` is that of the JWT in which the caller has a value that policies know, ''.
    `link` is the table by which a user without a membership belongs to the owner's rows, or ''.
    `listing` is the table that lists the user's own group for a row of the owner, and `listed` that
    of the group; '' for others.
    `post` is the table of staff that has the user, '' for others.
    `remedy` says which rows a policy must ignore to end the access of a former member, and `mark`
    is the column of the membership that says so; '' for others.
    """

    label: str
    kind: str
    role: str
    is_outsider: bool
    link: str
    membership: Membership | None
    remedy: str
    mark: str
    claim: str
    listing: str
    listed: str
    post: str

    @property
    def is_linked(self) -> bool:
        """Whether the user belongs to the owner's rows by a column of a link."""
        return bool(self.link)

    @property
    def is_inactive(self) -> bool:
        """Whether the caller was a member of the group, or has not accepted the membership yet."""
        return self.kind in (FORMER, INVITED)

    @property
    def rank(self) -> int:
        """The lower, the more general the caller is."""
        return GENERAL.index(self.kind) if self.kind in GENERAL else len(GENERAL)


@dataclass(frozen=True, kw_only=True)
class Table(Named):
    """A table. `columns` maps each column to the privileges on it alone, such as "anon SELECT";
    `numbers` are those that hold a number, `addresses` those that are compared with the e-mail
    address of the caller.

    `served_to` are the API roles that reach it. `is_selected`: this audit is about it. `owned`: its
    rows belong to somebody. `per_user`: each user has one row. `has_random_key`: nobody guesses the
    id of a row. `is_group`: it is the group of a
    membership. `has_invitations`: its memberships have to be accepted. `partition_of` is the table
    of a partition, '' if requests do not reach it. `users` are columns that hold users; `claims`
    and `headers` those that are compared with a claim or header. `checked` are columns of users
    that a policy for INSERT compares with the caller; `names_owner`: some policy compares one.
    `accepts_rows`: some policy lets signed-in users insert rows; `updating` are columns of users
    that one for UPDATE compares with the caller. `parents` are the tables to which
    foreign keys refer, `key_columns` their columns. `parts_of` are those of whose rows its rows are
    parts: deleted with them; `locked_by` those that restrictive policies read for INSERT, and none
    for UPDATE. `read_by_policies` are the tables that its
    policies read. `limited`: each policy for SELECT compares rows with their caller, and looks at
    nothing else of a row. `started` are columns with a number that start with a constant,
    `looked_up` those with a random value by which functions find a row.
    `overruled` are the API roles that one policy lets read every row, although another one selects
    rows by their columns. `managed` are columns with a state or a constant at first which functions
    set with the rights of their owner, `acted_on` those by whose value triggers change other
    tables. `frozen` are those that a trigger guards in changed rows only, `reserved` those of them
    that it lets somebody change, `computed` those that one sets in new rows if they do not have a
    value of their own, `loose` those that one guards unless they are null. `guarded` are the
    functions for users that add rows after checks of their own.
    `confidential` are columns whose name or comment says that not everybody may read them who reads
    the row, or functions of the project, which show them on a condition, or demand their value.
    `personal` are columns of persons to whom a policy shows the row, beside one that shows it to
    others. `absent` are the tables in which policies or triggers look, with the rights of the
    caller, for a row that refuses. `is_unconditional`: a policy lets anon insert every row, in the
    state that it demands at most. `selecting` maps the API roles to their permissive policies for
    SELECT; one of those of `shown_to` has no condition. `read_for_new` are the tables that a policy
    for INSERT reads, and none for UPDATE. A request that lacks
    what `without_value` are compared with matches null in them. `uncompared` maps each table above
    that policies for writes read to its columns of persons, if they compare none of these;
    `crossing` each one that they do not read to its column that refers to the same table as one of
    theirs. `following` are the tables above of which a policy for UPDATE or DELETE only asks
    whether the caller reads the row. `untested` maps the API roles to
    the columns that a policy tests in their new rows only, `kept` to those that one tests in
    changed rows, and `left` to the values of those that only others set and their owner ends, as in
    policies/tested.py; `chosen` maps the columns that the `persons` in a row choose to the commands
    by which they do, although others change the row by the policies `deciders`; `ends` are the
    times of an event that the project tests elsewhere, after which they change the row; `required`
    are the columns of which functions, or policies of other tables, demand a value that a row has
    at first;
    `read_by_triggers` are those that the table's own triggers name, `binding` those that policies
    for writes of other tables name which read this one. `listed` maps the privileges of each GRANT
    that names columns to these.
    """

    schema: str
    name: str
    columns: Mapping[str, Collection[str]]
    numbers: Collection[str]
    addresses: Collection[str]
    granted: Collection[str]
    served_to: Collection[str]
    is_selected: bool
    rls: bool
    is_foreign: bool
    partition_of: str | None
    owned: bool
    per_user: bool
    has_random_key: bool
    is_group: bool
    is_membership: bool
    has_invitations: bool
    accepts_rows: bool
    updating: Collection[str]
    names_owner: bool
    users: Sequence[str]
    claims: Collection[str]
    headers: Collection[str]
    checked: Collection[str]
    parents: Sequence[str]
    parts_of: Sequence[str]
    locked_by: Collection[str]
    key_columns: Collection[str]
    read_by_policies: Collection[str]
    limited: bool
    started: Collection[str]
    looked_up: Collection[str]
    overruled: Collection[str]
    managed: Collection[str]
    acted_on: Collection[str]
    frozen: Collection[str]
    reserved: Collection[str]
    computed: Collection[str]
    loose: Collection[str]
    guarded: Collection[str]
    confidential: Collection[str]
    personal: Collection[str]
    absent: Sequence[str]
    is_unconditional: bool
    selecting: Mapping[str, Sequence[str]]
    shown_to: Collection[str]
    read_for_new: Sequence[str]
    without_value: Collection[str]
    untested: Mapping[str, Mapping[str, Collection[str]]]
    kept: Mapping[str, Collection[str]]
    left: Mapping[str, Mapping[str, Sequence[str]]]
    chosen: Mapping[str, Collection[str]]
    persons: Sequence[str]
    deciders: Sequence[str]
    ends: Sequence[str]
    required: Collection[str]
    read_by_triggers: Collection[str]
    binding: Collection[str]
    listed: Mapping[str, Sequence[str]]
    uncompared: Mapping[str, Collection[str]]
    crossing: Mapping[str, str]
    following: Collection[str]

    @property
    def noun(self) -> str:
        """The rows, as users call them."""
        return "files" if self.is_storage else "rows"

    def may(self, role: str, privilege: str, column: str | None = None) -> bool:
        """Whether a role has a privilege on the table, or on a column."""
        return _may(self.columns, self.granted, f"{role} {privilege}", column)


@dataclass(frozen=True, eq=False, kw_only=True)
class Tried:
    """An action of a caller on a row of a table. `number` is its place among all that were tried.

    `object` is the table, and of storage.objects the bucket, or the state of the row. `row` is
    equal for actions on the same row, `people` for rows of a table that name the same users;
    `is_state`: a further row, in another state; `state_of` is the table that the state is about, ''
    for another row. `part_of` are the rows of which it is a part. `whose` is the
    owner of the row, seen by the caller. `name` is that of a special attempt, such as join. An
    update sets `column` to `value`. `failed`: it ended with an error, also if a policy let it pass.
    `error_shows_row`: the error contains the generated text of the row. `names_nobody`: an inserted
    row that has no user, claim or header. `refers_to` are the rows to which an inserted row refers,
    or an updated one by its column, `below` those above an existing row. `names` are the columns
    with the caller as their default to which an inserted row gives another user. `decided_by` is
    the role that each user has, or the post, without which the action is refused, `by_role` that
    in the caller's own group, such as `manager of members`. `takes_role` is
    the most powerful role of a group, if an inserted membership of the caller has it and there are
    weaker ones.
    """

    number: int
    actor: Actor
    table: Table
    object: str
    row: int
    people: int
    part_of: Sequence[int]
    is_state: bool
    state_of: str
    bucket: str
    whose: str
    action: str
    name: str
    column: str
    value: str
    outcome: str
    failed: bool
    error_shows_row: bool
    names_nobody: bool
    refers_to: Sequence[int]
    below: Sequence[int]
    names: Sequence[str]
    decided_by: str
    by_role: str
    takes_role: str

    @property
    def reached(self) -> bool:
        """Whether the action reached its target."""
        return self.outcome == ROWS


@dataclass(frozen=True, eq=False)
class Opened:
    """An action on a row of a table that a permitted write opened to its caller."""

    write: Tried
    table: str
    row: int
    action: str


@dataclass(frozen=True, kw_only=True)
class View(Named):
    """A view. `columns` and `granted` are like those of a table."""

    schema: str
    name: str
    is_materialized: bool
    is_invoker: bool
    columns: Mapping[str, Collection[str]]
    granted: Collection[str]

    def may(self, role: str, privilege: str, column: str) -> bool:
        """Whether a role has a privilege on a column."""
        return _may(self.columns, self.granted, f"{role} {privilege}", column)


@dataclass(frozen=True, eq=False, kw_only=True)
class Answered:
    """An answer of a view or function about rows that the tables refuse to its caller: the tables
    of these rows, by what it says about them.

    `shown` are those of rows whose contents it has, `identified` of those whose ids it has,
    `derived` of those from which it computes a number; of the rows of `existing` it tells whether
    or how many there are, and of those `counted` that or a sum about all rows. `has_secret`: it has
    a secret of Vault.
    """

    actor: Actor
    has_secret: bool = False
    shown: Sequence[str] = ()
    identified: Sequence[str] = ()
    derived: Sequence[str] = ()
    existing: Sequence[str] = ()
    counted: Sequence[str] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewTried(Answered):
    """An action on a view. `changed` are the tables of the rows that it changes although they
    refuse that. `is_own`: the caller's own row of auth.users.
    """

    view: View
    action: str
    changed: Sequence[str] = ()
    is_own: bool = False

    @property
    def object(self) -> str:
        """The view, as findings print it."""
        return self.view.label


@dataclass(frozen=True, eq=False, kw_only=True)
class Called(Answered):
    """A call of a function, and the tables of the rows that it changes or opens although they
    refuse that.

    `recounted` are tables of rows that the caller may read, in which it changes only numbers;
    `forged` those to which it adds rows in another's name, `addressed` those to which it adds rows
    for another, who may be a receiver. `returns` are the columns of its result, None for whole rows
    of a table; `is_general`: no argument identifies a row. `sqlstate` is that of its error, ''
    without one. `arguments` are equal for calls with the same ones; `names_others`: an id of a row
    that is refused to the caller is among them. `runs_sql`: an argument was run as SQL,
    `runs_statement`: it was a whole statement.
    `is_helper`: a policy calls it, so those whom the policy limits may call it, too. `asks`: its
    body names the caller. `touched` are the tables that it names and whose rows are refused to the
    caller, `unread` the columns of these with a state that other code of the project tests, and
    this function does not; `hands_out` are columns with a secret that it returns, `sets` those that
    it updates; `alters`: it does, or adds rows to a table of which it finds one. `untied` are the
    tables of rows that it finds by an id, and that nothing ties to the one that it finds by a
    secret. `secrets` are the arguments that hold a secret, `loose` those of them that it
    compares by <> only. `is_pair`: the arguments identify rows of
    the caller, too, and none of the rows belongs to another one than that which they identify.
    `texts` are the arguments that got a text, `nulls` those that got NULL. `ended` says how the row
    has ended that the call finds by a secret, and `remedy` which rows the function must ignore; ''
    if it has not. `is_of_above`: not that row has ended, but one to which it refers. `ended_column`
    is the column that says so, if it is a row of the caller.
    `writes`: such a call writes rows. `raised` are the columns of the caller's own rows whose
    number is larger after the call with a negative number; `repeated` are those that a second call
    raises, too, although the first has marked its row, and `added_again` the tables to which both
    add rows.
    """

    function: str
    is_definer: bool
    changed: Sequence[str] = ()
    recounted: Sequence[str] = ()
    forged: Sequence[str] = ()
    addressed: Sequence[str] = ()
    returns: Sequence[str] | None = None
    is_general: bool = False
    opened: Sequence[str] = ()
    sqlstate: str = ""
    arguments: str = ""
    names_others: bool = False
    runs_sql: bool = False
    runs_statement: bool = False
    is_helper: bool = False
    asks: bool = True
    touched: Sequence[str] = ()
    unread: Sequence[str] = ()
    hands_out: Sequence[str] = ()
    sets: Sequence[str] = ()
    alters: bool = False
    untied: Sequence[str] = ()
    secrets: Sequence[str] = ()
    loose: Sequence[str] = ()
    is_pair: bool = False
    texts: Sequence[str] = ()
    nulls: Sequence[str] = ()
    ended: str = ""
    is_of_above: bool = False
    remedy: str = ""
    ended_column: str = ""
    writes: bool = False
    raised: Sequence[str] = ()
    repeated: Sequence[str] = ()
    added_again: Sequence[str] = ()
    named: str = ""
    below: Sequence[str] = ()

    @property
    def object(self) -> str:
        """The function, as findings print it."""
        return self.function


@dataclass(frozen=True)
class Standing:
    """A caller in a state that closes tables: the `label` of the caller and its role, the table and
    column of the state, and how the state is named. `open` are the tables with rows of others that
    it still reads, `closed` those that another state opens.
    """

    label: str
    role: str | None
    table: str
    column: str
    state: str
    open: Sequence[str]
    closed: Sequence[str]


@dataclass(frozen=True)
class UnreadTime:
    """A time that a row of a membership or link must have, and that nothing reads."""

    table: str
    column: str


@dataclass(frozen=True)
class ChannelPolicy:
    """A permissive policy of realtime.messages."""

    name: str
    visible: str | None
    checked: str | None


@dataclass(frozen=True)
class Channel:
    """A topic of Realtime: `label` in reports, the text before the id, and the table of the row
    whose id follows; '' for the id of a user.

    `own` is the SQL condition that a topic is one of a row that the caller can read, or of the
    caller.
    """

    label: str
    prefix: str
    table: str
    own: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelTried:
    """A caller receives (select) or sends (insert) on a topic. `policies` may have let it pass.

    `reads_row`: the caller can read the row of the topic.
    """

    actor: Actor
    channel: Channel
    action: str
    outcome: str
    reads_row: bool
    policies: Sequence[ChannelPolicy]


@dataclass(frozen=True)
class OpenPolicies:
    """The policies that let every row of a role pass, for an action that could not be tried."""

    table: str
    action: str
    role: str
    policies: tuple[str, ...]


@dataclass(frozen=True)
class Sequenced:
    """A sequence, and the API roles that may set it."""

    schema: str
    name: str
    roles: Collection[str]


@dataclass(frozen=True)
class Facts:
    """All facts of an audit. Anyone can read the files of `public_buckets` by a URL.
    `topmost` are the roles with the rights of all others, by the order of their type, as
    `decided_by` names them. `calls_of_staff` are those of users whose rights follow from a claim
    or a row of their own, such as one of `staff`, or who are named in the row that a call is about;
    members call among the others.
    """

    words: Words
    tables: Mapping[str, Table]
    tried: Sequence[Tried] = ()
    opened: Sequence[Opened] = ()
    views: Sequence[ViewTried] = ()
    calls: Sequence[Called] = ()
    calls_of_staff: Sequence[Called] = ()
    standings: Sequence[Standing] = ()
    unread_times: Sequence[UnreadTime] = ()
    channels: Sequence[ChannelTried] = ()
    public_buckets: Sequence[str] = ()
    open_policies: Sequence[OpenPolicies] = ()
    sequences: Sequence[Sequenced] = field(default=())
    refusals: Sequence[Refusal] = ()
    captured_names: Sequence[CapturedName] = ()
    link_states: Sequence[LinkState] = ()
    left_out: Sequence[LeftOut] = ()
    topmost: Collection[str] = ()

    @cached_property
    def objects(self) -> Mapping[str, Sequence[Tried]]:
        """The attempts on each object, by the most general caller first. Tables without row level
        security have none: everything about them is one leak. There is one question about what a
        role decides that everybody has; those who have lost it should have lost that, too.
        """
        found: dict[str, list[Tried]] = {}
        for tried in self.tried:
            is_decided = tried.decided_by and not tried.actor.is_inactive
            if tried.table.rls and not is_decided:
                found.setdefault(tried.object, []).append(tried)
        return {name: sorted(group, key=lambda t: t.actor.rank) for name, group in found.items()}

    @cached_property
    def _by_table(self) -> Mapping[str, Sequence[Tried]]:
        found: dict[str, list[Tried]] = {}
        for tried in self.tried:
            found.setdefault(tried.table.label, []).append(tried)
        return found

    def of_table(self, label: str) -> Sequence[Tried]:
        """The attempts on a table, in order."""
        return self._by_table.get(label, ())

    def parents(self, table: Table) -> Iterator[Table]:
        """The other tables to which the rows of a table refer."""
        for label in table.parents:
            if label != table.label and label in self.tables:
                yield self.tables[label]

    @cached_property
    def for_guests(self) -> frozenset[str]:
        """The functions that do not ask who calls them, as for guests with a token."""
        return frozenset(called.function for called in self.calls if not called.asks)

    def is_referred(self, table: Table) -> bool:
        """Whether rows of other tables refer to rows of a table."""
        return any(table.label in t.parents for t in self.tables.values() if t is not table)

    def is_deciding(self, table: Table) -> bool:
        """Whether policies of other tables read a table, so that its rows decide about others."""
        return any(
            table.label in t.read_by_policies for t in self.tables.values() if t is not table
        )

    def keeps_own(self, tried: Tried) -> bool:
        """Whether the caller reads and changes rows of its own in the table."""
        own = [t for t in self.of_actor(tried.table.label, tried.actor) if t.whose == OWN]
        return {SELECT, UPDATE} <= {t.action for t in own if t.reached}

    def manages(self, actor: Actor, table: Table) -> bool:
        """Whether a caller changes or deletes rows of others in its group."""
        return any(
            t.action in (UPDATE, DELETE) and t.whose == GROUP and t.reached
            for t in self.of_actor(table.label, actor)
        )

    def reads_other(self, tried: Tried) -> bool:
        """Whether the caller reads the other tenant's row of the same object."""
        return any(
            t.actor is tried.actor and t.action == SELECT and t.whose == OTHER and t.reached
            for t in self.objects.get(tried.object, ())
        )

    def is_open(self, tried: Tried) -> bool:
        """Whether somebody who belongs to no group does the same with the same row."""
        return any(
            t.row == tried.row and t.action == tried.action and t.whose == OTHER and t.reached
            for t in self.objects.get(tried.object, ())
            if t.actor.is_outsider and not t.actor.is_inactive
        )

    def has_without(self, opened: "Opened") -> bool:
        """Whether a user with rows of their own does what a write opened, without that write."""
        return any(
            t.row == opened.row and t.action == opened.action and t.whose == OTHER and t.reached
            for t in self.of_table(opened.table)
            if t.actor.kind == STRANGER and not t.name
        )

    def gives_roles(self, write: Tried) -> bool:
        """Whether the caller sets the same column for others in its group, as its head does."""
        if write.action != UPDATE or write.column in write.table.key_columns:
            return False
        if not write.table.is_membership and not self._has_head(write.table, write.column):
            return False
        # the stranger is in one group what the owner is in the other
        kind = OWNER if write.actor.kind == STRANGER else write.actor.kind
        return any(
            t.actor.kind == kind and (kind == OWNER or t.actor is write.actor)
            for t in self.of_table(write.table.label)
            if t.action == UPDATE and t.whose == GROUP and t.reached and t.column == write.column
        )

    def _has_head(self, table: Table, column: str) -> bool:
        """Whether some members change the rows of others in a table with one row for each user, and
        those who do not are refused to change the column in their own row.
        """
        updates = [
            t
            for t in self.of_table(table.label)
            if t.actor.kind == MEMBER
            and t.action == UPDATE
            and (t.whose != GROUP or not t.is_state)
        ]
        heads = {id(t.actor) for t in updates if t.whose == GROUP and t.reached}
        others = [t for t in updates if t.whose == OWN and id(t.actor) not in heads]
        own = {t.reached for t in others if t.column == column}
        return table.per_user and bool(heads) and own == {False}

    def is_form(self, table: Table) -> bool:
        """Whether anybody adds rows of a public form: they name a person by an address only; or
        nobody who has to do with them changes them, and a policy accepts every row, or nobody reads
        them without a header.
        """
        is_personal = bool(table.users) or bool({*table.claims} - {*table.addresses})
        tried = [t for t in self.of_table(table.label) if t.reached and t.actor.kind != SERVICE]
        is_open = any(t.action == INSERT and t.actor.kind == ANON and t.name == "" for t in tried)
        if is_personal or not is_open or table.addresses:
            return is_open and not is_personal
        by_user = any(t.action == SELECT and t.actor.role != "anon" for t in tried)
        is_meant = not by_user if table.headers else table.is_unconditional
        # the stranger is in one tenant what the owner is in the other, without a post
        users = [t for t in tried if t.actor.kind not in (CLAIM, OWNER)]
        return is_meant and not any(t.action == UPDATE for t in users)

    def is_received(self, table: Table) -> bool:
        """Whether members or the staff read rows of others, and nobody reads them without signing
        in: as what a form sends.
        """
        reads = [t for t in self.of_table(table.label) if t.action == SELECT and t.reached]
        kinds = {t.actor.kind for t in reads if t.whose != OWN}
        return bool(kinds & {MEMBER, CLAIM}) and ANON not in kinds

    def told_apart(self, actor: Actor, label: str, action: str) -> Iterator[tuple[Tried, Tried]]:
        """The pairs of rows of others that name the same users, of which policies refuse an action
        on the first to a caller, and not on the second: their states decide.
        """
        tried = [t for t in self.of_actor(label, actor) if t.action == action]
        tried = [t for t in tried if t.whose in (GROUP, OTHER) and not t.name]
        for refused in tried:
            for reached in tried:
                is_apart = refused.outcome in CLOSED and reached.reached
                if is_apart and refused.people == reached.people:
                    yield refused, reached

    def hiding(self, label: str) -> set[str]:
        """The columns by which rows of a table are hidden from some of those who read others, and
        none shown.
        """
        hidden, visible = set[str](), set[str]()
        for actor in {tried.actor for tried in self.of_table(label)}:
            for refused, reached in self.told_apart(actor, label, SELECT):
                hidden |= _columns_of_state(refused.object)
                visible |= _columns_of_state(reached.object)
        return hidden - visible

    def is_outdone(self, actor: Actor) -> bool:
        """Whether another value of the same claim, such as a role, permits all that this one does,
        and more.
        """
        own = self._acts_by_claim.get(actor.claim, {})
        return any(own[actor] < acts for acts in own.values()) if actor in own else False

    @cached_property
    def _acts_by_claim(self) -> Mapping[str, Mapping[Actor, set[tuple[str, ...]]]]:
        """Claim → what callers with each of its values do."""
        found: dict[str, dict[Actor, set[tuple[str, ...]]]] = {}
        for tried in self.tried:
            if tried.actor.claim:
                acts = found.setdefault(tried.actor.claim, {}).setdefault(tried.actor, set())
                act = (tried.object, tried.whose, tried.action, tried.name, tried.column)
                acts |= {act} if tried.reached else set()
        return found

    def of_actor(self, label: str, actor: Actor) -> Sequence[Tried]:
        """The attempts of a caller on a table, in order."""
        return self._of_actor.get((label, actor), ())

    @cached_property
    def _of_actor(self) -> Mapping[tuple[str, Actor], Sequence[Tried]]:
        found: dict[tuple[str, Actor], list[Tried]] = {}
        for tried in self.tried:
            found.setdefault((tried.table.label, tried.actor), []).append(tried)
        return found

    def unreadable_parents(self, write: Tried) -> list[str]:
        """The tables to whose row a written row refers, if it is another's and the caller cannot
        read it.
        """
        return self._parents(write, readable=False)

    def readable_parents(self, write: Tried) -> list[str]:
        """The same of rows that the caller can read."""
        return self._parents(write, readable=True)

    def _parents(self, write: Tried, *, readable: bool) -> list[str]:
        found = []
        for row in write.refers_to:
            for tried in self.reads_of(row):
                is_other = tried.actor is write.actor and tried.whose == OTHER
                if is_other and tried.reached == readable:
                    found.append(tried.table.label)
        return found

    def reads_of(self, row: int) -> Sequence["Tried"]:
        """The attempts to read a row."""
        return self._reads_of_row.get(row, ())

    @cached_property
    def _reads_of_row(self) -> Mapping[int, Sequence[Tried]]:
        found: dict[int, list[Tried]] = {}
        for tried in self.tried:
            if tried.action == SELECT:
                found.setdefault(tried.row, []).append(tried)
        return found

    def are_found_by_id_only(self, called: "Called") -> bool:
        """Whether a call names a row by an id that nobody guesses and only the staff can read, and
        that changes rows of nobody: the id, as in a link of an e-mail, is the right to do so.
        """
        return called.names_others and all(
            self.tables[label].has_random_key
            and not self.tables[label].owned
            and not self._is_shown(label)
            for label in called.changed
        )

    def _is_shown(self, label: str) -> bool:
        """Whether an outsider or a member reads rows of a table, or an answer tells their ids."""
        answers = [*self.views, *self.calls]
        found = [a.actor for a in answers if label in (*a.shown, *a.identified)]
        found += [t.actor for t in self.of_table(label) if t.action == SELECT and t.reached]
        return any(actor.is_outsider or actor.kind == MEMBER for actor in found)

    def sensitive_columns(self, table: Table, role: str) -> list[str]:
        """The columns with addresses or secrets that a role may read. A number, such as that of
        tokens, is no secret.
        """
        numbers = {name for name in table.numbers if self.words.unknown_values.matches(name)}
        return [
            name
            for name in table.columns
            if self.words.is_sensitive(name) and name not in numbers
            if table.may(role, "SELECT", name)
        ]


def _columns_of_state(label: str) -> set[str]:
    """The columns of its own table that the state of a row is about."""
    _, _, state = label.removesuffix(")").partition(" (")
    return {column.name for column in columns_of_state(state) if not column.table}


def _may(
    columns: Mapping[str, Collection[str]], granted: Collection[str], key: str, column: str | None
) -> bool:
    if key in granted:
        return True
    if column is not None:
        return key in columns[column]
    return any(key in alone for alone in columns.values())


# -------------------------------------------------------------------------------------------------
# reading


def read(
    plan: Plan,
    relations: Sequence[Relation],
    attempts: Sequence[Attempt],
    gains: Sequence[Gain],
    bypasses: Sequence[Bypass],
    topics: Sequence[TopicAttempt],
    standings: Sequence[tenants.Standing] = (),
) -> Facts:
    """The facts of an audit of these relations."""
    facts = _Reader(plan, relations).read(attempts, gains, bypasses, topics)
    return replace(facts, standings=[_standing(one) for one in standings])


def _standing(one: tenants.Standing) -> Standing:
    return Standing(
        label=one.label,
        role=one.user.role,
        table=one.relation.label,
        column=one.column,
        state=one.state,
        open=[relation.label for relation in one.open],
        closed=[relation.label for relation in one.closed],
    )


class _Reader:
    def __init__(self, plan: Plan, relations: Sequence[Relation]) -> None:
        self._plan, self._catalog = plan, plan.catalog
        self._selected = {relation.oid for relation in relations}
        self._actors: dict[int, Actor] = {}
        self._rows: dict[int, int] = {}
        self._rows_above: dict[int, Sequence[int]] = {}
        self._named: dict[tuple[object, ...], int] = {}
        self._parts: dict[int, list[int]] = {}
        self._tables: dict[str, Table] = {}
        self._views: dict[str, View] = {}

    def read(
        self,
        attempts: Sequence[Attempt],
        gains: Sequence[Gain],
        bypasses: Sequence[Bypass],
        topics: Sequence[TopicAttempt],
    ) -> Facts:
        for relation in self._catalog.relations:
            if relation.kind not in ("v", "m"):
                self._table(relation)
        rows = _rows_by_table(attempts)
        tried = [self._tried(number, attempt, rows) for number, attempt in enumerate(attempts)]
        by_attempt = {id(a): t for a, t in zip(attempts, tried, strict=True)}
        readable = {(id(a.caller), id(a.row)) for a in attempts if a.action == SELECT and a.reached}
        calls = [self._called(b) for b in bypasses if not isinstance(b.object, Relation)]
        return Facts(
            words=self._plan.words,
            tables=self._tables,
            tried=tried,
            opened=[
                Opened(
                    by_attempt[id(gain.write)],
                    gain.row.relation.label,
                    self._row(gain.row),
                    gain.action,
                )
                for gain in gains
            ],
            views=[
                self._view_tried(bypass, bypass.object)
                for bypass in bypasses
                if isinstance(bypass.object, Relation)
            ],
            calls=[called for called in calls if not _is_of_staff(called)],
            calls_of_staff=[called for called in calls if _is_of_staff(called)],
            channels=[self._channel_tried(topic, readable) for topic in topics],
            public_buckets=[name for name, public in self._catalog.buckets.items() if public],
            open_policies=list(self._open_policies({a.relation.oid for a in attempts})),
            sequences=[
                Sequenced(s.schema, s.name, s.roles)
                for s in self._catalog.sequences
                if s.schema in self._catalog.served
            ],
            unread_times=list(self._unread_times()),
            topmost={self._topmost(*key) for key in self._plan.usage.ascending},
            refusals=list(
                refusals.find(
                    self._catalog,
                    [r for r in self._catalog.relations if r.oid in self._selected],
                    _failures(attempts),
                )
            ),
            captured_names=list(self._captured_names()),
            link_states=list(self._link_states()),
            left_out=list(self._left_out()),
        )

    def _link_states(self) -> Iterator[LinkState]:
        """Those of rows that give nobody a role: a role may reach more than another one."""
        plan = self._plan
        tables = [r for r in self._catalog.tables if r.oid in self._selected]
        for one in link_states.find(self._catalog, tables):
            link = next(r for r in self._catalog.tables if r.label == one.link)
            membership = plan.memberships.get(link.oid)
            is_role = membership is not None and membership.role == one.column
            if not is_role and link.oid not in plan.per_user:
                yield one

    def _captured_names(self) -> Iterator[CapturedName]:
        """Those of policies, and of functions that decide about rows which their caller cannot
        reach, or about an access.
        """
        for relation in self._catalog.relations:
            if relation.oid in self._selected or relation.is_storage:
                for policy in relation.policies:
                    yield from captured_names.of_policy(self._catalog, relation, policy)
        for function in self._catalog.functions:
            if function.definer or function.signature in self._helpers:
                yield from captured_names.of_function(self._catalog, function)

    def _left_out(self) -> Iterator[LeftOut]:
        """The conditions that functions leave out, of which a request can call each."""
        usage, secrets = self._plan.usage, dict[int, list[int]]()
        for function in self._catalog.functions:
            names = function.argument_names[: len(function.argument_types)]
            taken = [name for name in names if self._takes_secret(function, name)]
            found = [key for name in taken for key in usage.arguments.get((function.oid, name), ())]
            secrets[function.oid] = [oid for oid, _ in found]
        for one in left_out.find(self._catalog, usage, secrets):
            label, _, _ = one.column.rpartition(".")
            if any(r.label == label and r.oid in self._selected for r in self._catalog.tables):
                yield one

    def _topmost(self, oid: int, column: str) -> str:
        relation = self._catalog.by_oid[oid]
        return f"{relation.name}.{column} = {relation.by_name[column].labels[-1]}"

    def _unread_times(self) -> Iterator[UnreadTime]:
        plan = self._plan
        links = {relation.oid for relation, _ in plan.links}
        for oid in sorted(plan.memberships.keys() | links):
            relation = self._catalog.by_oid[oid]
            for column in relation.columns:
                is_given = column.base in TIMES and column.not_null and column.default is None
                if is_given and column.name not in plan.usage.words:
                    yield UnreadTime(relation.label, column.name)

    def _actor(self, caller: Persona) -> Actor:
        if id(caller) not in self._actors:
            user, membership = caller.user, None
            listing = None if user is None else user.listing
            if user is not None and user.membership is not None:
                membership = Membership(
                    table=user.membership.relation.label,
                    role=user.role,
                    strongest=next(iter(user.membership.roles), ""),
                    in_both=user.in_both,
                )
            self._actors[id(caller)] = Actor(
                label=caller.label,
                kind=caller.kind,
                role=caller.role,
                is_outsider=caller.is_outsider,
                link="" if user is None or user.link is None else user.link[0].label,
                membership=membership,
                remedy="" if caller.ended is None else caller.ended.advice,
                mark="" if caller.ended is None else caller.ended.column,
                claim=".".join(caller.claim),
                listing="" if listing is None else listing.relation.label,
                listed="" if listing is None else listing.of.label,
                post="" if user is None or user.post is None else user.post.relation.label,
            )
        return self._actors[id(caller)]

    def _table(self, relation: Relation) -> Table:
        if relation.label not in self._tables:
            self._tables[relation.label] = self._read_table(relation)
        return self._tables[relation.label]

    def _read_table(self, relation: Relation) -> Table:
        plan, usage, catalog = self._plan, self._plan.usage, self._catalog
        keys = [(relation.oid, column.name) for column in relation.columns]
        membership = plan.memberships.get(relation.oid)
        partition_of = None
        if relation.partition_of is not None:  # of a table that requests may not reach
            parent = catalog.by_oid.get(relation.partition_of)
            partition_of = "" if parent is None else parent.label
        targets = [catalog.by_oid.get(key.target or 0) for key in relation.foreign_keys]
        users = user_columns(relation, usage, plan.per_user)
        claims = [name for _, name in keys if (relation.oid, name) in usage.claim_columns]
        headers = [name for _, name in keys if (relation.oid, name) in usage.header_columns]
        identifying = {*users, *claims, *headers, *relation.primary_key}
        identifying |= {name for key in relation.foreign_keys for name in key.columns}
        stateful = [c.name for c in relation.columns if plan.may_hold_state(relation, c)]
        owners = [name for _, name in keys if (relation.oid, name) in usage.owners]
        free = self._free(relation, owners)
        return Table(
            schema=relation.schema,
            name=relation.name,
            columns={column.name: column.granted for column in relation.columns},
            numbers=[column.name for column in relation.columns if column.category == "N"],
            addresses=[
                name for name in claims if usage.claim_columns[relation.oid, name][-1] == "email"
            ],
            granted=relation.granted,
            served_to=[r for r in API_USERS if catalog.reaches(relation, r)],
            is_selected=relation.oid in self._selected,
            rls=relation.rls or not relation.is_table,
            is_foreign=relation.kind == "f",
            partition_of=partition_of,
            owned=plan.owned(relation),
            per_user=relation.oid in plan.per_user,
            has_random_key=any(
                relation.by_name[name].differs_in_each_run and relation.by_name[name].base == "uuid"
                for name in relation.primary_key
            ),
            is_group=relation.oid in plan.groups,
            is_membership=membership is not None,
            has_invitations=membership is not None and membership.invited is not None,
            accepts_rows=accepts_rows(relation),
            updating=[name for _, name in keys if (relation.oid, name) in usage.updating],
            names_owner=any(oid == relation.oid for oid, _ in usage.owners),
            users=users,
            claims=claims,
            headers=headers,
            checked=[name for _, name in keys if (relation.oid, name) in usage.checked],
            parents=[target.label for target in targets if target is not None],
            parts_of=[catalog.by_oid[key.target or 0].label for key in self._part_keys(relation)],
            locked_by=self._locking(relation, INSERT) - self._locking(relation, UPDATE),
            key_columns={name for key in relation.foreign_keys for name in key.columns},
            read_by_policies=[
                catalog.by_oid[oid].label
                for oid in sorted(usage.reads.get(relation.oid, ()))
                if oid in catalog.by_oid
            ],
            limited=_are_limited(relation, identifying),
            overruled=[role for role in API_USERS if _is_overruled(relation, role)],
            selecting={role: _selecting(relation, role) for role in API_USERS},
            read_for_new=self._read_for_new(relation),
            shown_to=[role for role in API_USERS if _open_to(relation, role, SELECT)],
            without_value=[name for _, name in keys if (relation.oid, name) in usage.without_value],
            started=[
                column.name
                for column in relation.columns
                if column.starts_constant and column.category == "N"
            ],
            looked_up=[
                column.name
                for column in relation.columns
                if (relation.oid, column.name) in usage.looked_up
                and column.differs_in_each_run
                and column.name not in relation.primary_key
            ],
            managed=[name for name in stateful if (relation.oid, name) in self._managed],
            acted_on=[name for name in stateful if (relation.oid, name) in usage.acted_on],
            frozen=[name for _, name in keys if (relation.oid, name) in usage.frozen],
            reserved=[name for _, name in keys if (relation.oid, name) in usage.reserved],
            computed=[name for _, name in keys if (relation.oid, name) in usage.computed],
            loose=[name for _, name in keys if (relation.oid, name) in usage.loose],
            guarded=[f.signature for f in self._guarding(relation)],
            untested={role: tested.untested(relation, role, owners) for role in API_USERS},
            left={role: self._left(relation, role, owners) for role in API_USERS},
            chosen={} if free is None else free.columns,
            persons=[] if free is None else free.persons,
            deciders=[] if free is None else free.deciders,
            ends=self._ends(relation, owners),
            required=set(self._required(relation)),
            kept={role: tested.kept(relation, role) for role in API_USERS},
            read_by_triggers=self._read_by_triggers(relation),
            binding=self._binding(relation),
            listed=_listed(relation),
            uncompared=dict(self._uncompared(relation)),
            crossing=dict(self._crossing(relation)),
            following=list(self._following(relation)),
            is_unconditional=_takes_any(relation),
            personal=_personal(relation),
            absent=[
                catalog.by_oid[oid].label for oid in sorted(usage.absent.get(relation.oid, ()))
            ],
            confidential=[
                c.name
                for c in relation.columns
                if self._is_guarded(relation, c)
                or (c.name not in identifying and self._is_confidential(c))
            ],
        )

    def _free(self, relation: Relation, owners: Collection[str]) -> Free | None:
        """The columns that the persons in a row choose, although others change it."""
        meanings, usage = dict(self._meanings(relation)), self._plan.usage
        sides = [n for n in relation.by_name if (relation.oid, n) in usage.claim_columns]
        for role in reversed(API_USERS):
            found = decisions.free(relation, role, owners, meanings)
            found = found or decisions.loosened(relation, role, sides)
            if found is not None:
                return found
        return None

    def _ends(self, relation: Relation, owners: Collection[str]) -> list[str]:
        """The times of an event that views, functions or policies of other tables ask for, and
        after which the person in a row changes it.
        """
        shown = self._showing(relation)
        times = [
            name
            for name, meaning in self._meanings(relation)
            if meaning is Meaning.TIME and name not in shown
            if (relation.oid, name) in self._plan.usage.presences
        ]
        return decisions.unended(relation, "authenticated", owners, times)

    def _showing(self, relation: Relation) -> set[str]:
        """The columns that the table's own policies for SELECT name."""
        texts = [p.visible or "" for p in relation.policies if p.command == "r"]
        return {name for text in texts for name in _columns_in(relation, text)}

    def _meanings(self, relation: Relation) -> Iterator[tuple[str, Meaning]]:
        """The columns that may hold a decision. Of the row that each user has, flags and states are
        preferences unless policies or functions mention them, and not only to show the row.
        """
        plan, keys = self._plan, {n for key in relation.foreign_keys for n in key.columns}
        keys |= {name for key in relation.unique_keys for name in key}
        is_of_user = relation.oid in plan.per_user
        shown = self._showing(relation)
        closed = plan.closed(relation)
        for column in relation.columns:
            is_money = column.base == "numeric" or plan.words.amount_columns.matches(column.name)
            is_named = (relation.oid, column.name) in plan.usage.mentioned
            is_named &= column.name not in shown
            if column.name in keys:
                continue
            if column.name in closed and (is_named or not is_of_user):
                yield column.name, Meaning.STATE
            elif column.base in TIMES and not column.not_null and column.default is None:
                yield column.name, Meaning.TIME
            elif column.category == "N" and is_money and not is_of_user:
                yield column.name, Meaning.AMOUNT

    def _required(self, relation: Relation) -> Iterator[str]:
        """The columns of which functions, or policies of other tables, demand a value that a row
        has at first.
        """
        usage = self._plan.usage
        demands = [
            (name, value)
            for found in usage.demands.values()
            for (oid, name), value in found.items()
            if oid == relation.oid
        ]
        for other in self._catalog.relations:
            if other is not relation and relation.oid in usage.reads.get(other.oid, ()):
                for policy in other.policies:
                    demands += tested.demanded(policy)
        for name, closed in self._plan.closed(relation).items():
            if any((name, value) in demands for value in closed.first):
                yield name

    def _left(
        self, relation: Relation, role: str, owners: Collection[str]
    ) -> dict[str, Sequence[str]]:
        states = tested.left(relation, role, owners, self._plan.closed(relation))
        return {name: state.values for name, state in states.items()}

    def _locking(self, relation: Relation, action: str) -> set[str]:
        """The other tables that restrictive policies for an action read."""
        usage, catalog = self._plan.usage, self._catalog
        restrictive = [p for p in relation.policies if not p.permissive and p.governs(action)]
        signatures = {
            signature
            for policy in restrictive
            for signature in usage.policy_functions.get((relation.oid, policy.name), ())
        }
        called = [f.oid for f in catalog.functions if f.signature in signatures]
        read = {oid for one in called for oid in usage.function_reads.get(one, ())}
        found = {catalog.by_oid[oid].label for oid in read if oid in catalog.by_oid}
        for policy in restrictive:
            for text in (policy.visible, policy.checked):
                named = expressions.tables(expressions.expression_tree(text or "true"))
                found |= {r.label for r in catalog.relations if {r.name, r.label} & named}
        return found - {relation.label}

    def _above_by_policies(self, relation: Relation) -> Iterator[tuple[Constraint, Relation, bool]]:
        """The foreign keys with the tables above, and whether policies for writes name these."""
        words = self._plan.usage.write_words.get(relation.oid, set())
        for key in relation.foreign_keys:
            parent = self._catalog.by_oid.get(key.target or 0)
            if parent is not None and parent is not relation:
                yield key, parent, parent.name in words

    def _uncompared(self, relation: Relation) -> Iterator[tuple[str, list[str]]]:
        plan = self._plan
        words = plan.usage.write_words.get(relation.oid, set())
        for _, parent, is_named in self._above_by_policies(relation):
            persons = user_columns(parent, plan.usage, plan.per_user)
            sides = [name for name in persons if (parent.oid, name) in plan.usage.mentioned]
            if is_named and len(sides) > 1 and words.isdisjoint(sides):
                yield parent.label, sides

    def _crossing(self, relation: Relation) -> Iterator[tuple[str, str]]:
        words = self._plan.usage.write_words.get(relation.oid, set())
        above = list(self._above_by_policies(relation))
        decisive = {p.oid for key, p, _ in above if words.issuperset(key.columns)}
        whole = {name for f in self._triggering(relation) for name in re.findall(r"\w+", f.body)}
        for key, parent, is_named in above:
            if is_named or parent.name in whole or len(key.columns) > 1:
                continue
            for other in parent.foreign_keys:
                if other.target in decisive - {parent.oid}:
                    yield parent.label, other.columns[0]

    def _following(self, relation: Relation) -> Iterator[str]:
        for policy in relation.policies:
            if policy.permissive and (policy.governs(UPDATE) or policy.governs(DELETE)):
                tree = expressions.expression_tree(policy.visible or "true")
                named = {name.rpartition(".")[2] for name in expressions.tables(tree)}
                asks = expressions.request_values(tree) or expressions.calls(tree)
                for _, parent, _ in self._above_by_policies(relation):
                    if isinstance(tree, dict) and "SubLink" in tree and named == {parent.name}:
                        yield from () if asks or expressions.literals(tree) else [parent.label]

    def _triggering(self, relation: Relation) -> list[Function]:
        """The functions of the table's triggers."""
        return [f for f in self._catalog.functions if f.oid in relation.triggers]

    def _read_for_new(self, relation: Relation) -> list[str]:
        """The tables that policies for new rows read, and none for changed ones."""
        found: dict[str, set[int]] = {INSERT: set(), UPDATE: set()}
        for policy in relation.policies:
            for action in (INSERT, UPDATE):
                if policy.governs(action) and policy.permissive:
                    found[action] |= self._read_by(relation, policy)
        return [self._catalog.by_oid[oid].label for oid in sorted(found[INSERT] - found[UPDATE])]

    def _read_by(self, relation: Relation, policy: Policy) -> set[int]:
        """The tables that a policy reads, directly or by functions."""
        usage = self._plan.usage
        called = usage.policy_functions.get((relation.oid, policy.name), ())
        functions = [f for f in self._catalog.functions if f.signature in called]
        trees = [expressions.expression_tree(t) for t in (policy.visible, policy.checked) if t]
        named = {name for tree in trees for name in expressions.tables(tree)}
        direct = {r.oid for r in self._catalog.tables if {r.name, r.label} & named}
        return direct.union(*(usage.function_reads.get(f.oid, ()) for f in functions))

    def _read_by_triggers(self, relation: Relation) -> set[str]:
        """The columns that functions of the table's triggers name."""
        functions = self._triggering(relation)
        return {name for f in functions for name in _columns_in(relation, f.body)}

    def _binding(self, relation: Relation) -> set[str]:
        """The columns of a table that policies for writes of other tables name."""
        usage = self._plan.usage
        reading = [
            oid
            for oid in usage.write_words.keys() - {relation.oid}
            if relation.oid in usage.reads.get(oid, ())
        ]
        return relation.by_name.keys() & {w for oid in reading for w in usage.write_words[oid]}

    @cached_property
    def _managed(self) -> set[ColumnKey]:
        """The columns that functions set with the rights of their owner."""
        definers = [f.oid for f in self._catalog.functions if f.definer]
        return {key for oid in definers for key in self._plan.usage.sets.get(oid, ())}

    def _guarding(self, relation: Relation) -> Iterator[Function]:
        """The functions for users that may refuse what they are asked to add to a table."""
        for function in self._catalog.functions:
            if relation.oid in self._plan.usage.adds.get(function.oid, ()):
                is_for_users = function.definer and not {*API_USERS}.isdisjoint(function.callers)
                refuses = REFUSAL.search(function.body) is not None
                if is_for_users and refuses and function.result != "trigger":
                    yield function

    def _is_guarded(self, relation: Relation, column: Column) -> bool:
        """Whether functions show a column on a condition only, or ask for its value as a proof: not
        one of a few values, such as those of a state.
        """
        usage, key = self._plan.usage, (relation.oid, column.name)
        limits = self._plan.limits.get(relation.oid, {}).get(column.name)
        has_few = key in usage.literals or (limits is not None and bool(limits.allowed))
        return key in usage.masked or (key in usage.proofs and not has_few)

    def _is_confidential(self, column: Column) -> bool:
        words = self._plan.words
        named = column.base != "bool" and words.confidential_columns.matches(column.name)
        return named or words.confidential_comments.matches(column.comment)

    def _tried(self, number: int, attempt: Attempt, rows: Mapping[int, Sequence[Row]]) -> Tried:
        return Tried(
            number=number,
            actor=self._actor(attempt.caller),
            table=self._table(attempt.relation),
            object=attempt.label,
            row=self._row(attempt.row),
            people=self._people(attempt.row),
            part_of=self._part_of(attempt.row, rows),
            is_state=attempt.is_state,
            state_of="" if attempt.row.state_of is None else attempt.row.state_of.label,
            bucket=attempt.row.values.get("bucket_id") or "" if attempt.relation.is_storage else "",
            whose=attempt.whose,
            action=attempt.action,
            name=attempt.name,
            column=attempt.column,
            value=attempt.value or "",
            outcome=attempt.outcome,
            failed=self._has_failed(attempt),
            error_shows_row=_shows_row(attempt),
            names_nobody=self._names_nobody(attempt),
            refers_to=[self._row(row) for row in _parent_rows(attempt, rows)],
            below=[] if attempt.action == INSERT else self._above(attempt.row, rows),
            names=_named(attempt),
            decided_by=attempt.decided_by,
            by_role=attempt.by_role,
            takes_role=self._taken_role(attempt),
        )

    def _above(self, row: Row, rows: Mapping[int, Sequence[Row]]) -> Sequence[int]:
        """The rows to which a row refers."""
        known = self._rows_above.get(id(row))
        if known is None:
            keys = row.relation.foreign_keys
            known = [self._row(one) for key in keys for one in _referred(key, row.values, rows)]
            self._rows_above[id(row)] = known
        return known

    def _taken_role(self, attempt: Attempt) -> str:
        """The most powerful role of a group, if a new membership of the caller has it, and policies
        or functions tell it from weaker ones.
        """
        membership = self._plan.memberships.get(attempt.relation.oid)
        if attempt.name != JOIN or membership is None or membership.role is None:
            return ""
        roles, key = membership.roles, (attempt.relation.oid, membership.role)
        compared = self._plan.usage.literals.get(key, ())
        is_taken = len(roles) > 1 and attempt.written.get(membership.role) == roles[0]
        return roles[0] if is_taken and roles[0] in compared else ""

    def _has_failed(self, attempt: Attempt) -> bool:
        """Whether an attempt ended with an error: not if a copy of a row, or one that is moved,
        only lacks another row above it, such as the second answer to one question.
        """
        is_copy = attempt.name in (CHOOSE, START)
        is_copy |= attempt.name == "" and attempt.action == UPDATE
        if not isinstance(attempt.error, errors.UniqueViolation) or not is_copy:
            return attempt.error is not None
        relation, name = attempt.relation, attempt.error.diag.constraint_name
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        above = {n for key in relation.foreign_keys for n in key.columns} - {*persons}
        if attempt.action == UPDATE:
            above &= {attempt.column}
        keys = [c.columns for c in relation.constraints if c.name == name]
        return not any(above.intersection(columns) for columns in keys)

    def _names_nobody(self, attempt: Attempt) -> bool:
        """Whether the table has columns for the owner of a row, and an inserted row fills none."""
        table = self._table(attempt.relation)
        columns = {*table.users, *table.claims, *table.headers}
        is_insert = attempt.action == INSERT and attempt.sent is not None
        return is_insert and bool(columns) and columns.isdisjoint(attempt.written)

    def _row(self, row: Row) -> int:
        return self._rows.setdefault(id(row), len(self._rows))

    def _people(self, row: Row) -> int:
        """The number of the rows of a table that name the same users."""
        users = user_columns(row.relation, self._plan.usage, self._plan.per_user)
        named = (row.relation.oid, *(row.values.get(name) for name in users))
        return self._named.setdefault(named, len(self._named))

    def _part_keys(self, relation: Relation) -> Iterator[Constraint]:
        """The foreign keys to rows of which the rows of a table are parts, or which they are
        below.
        """
        own = self._plan.own_key(relation)
        if own is not None:
            yield own
        for key in relation.foreign_keys:
            target = self._catalog.by_oid.get(key.target or 0)
            if target is None or target is relation or target.oid in self._plan.per_user:
                continue
            if key.cascades and all(relation.by_name[name].not_null for name in key.columns):
                yield key

    def _part_of(self, row: Row, rows: Mapping[int, Sequence[Row]]) -> Sequence[int]:
        """The rows of which a row is a part."""
        if id(row) not in self._parts:
            found = self._parts[id(row)] = list[int]()
            for key in self._part_keys(row.relation):
                pairs = list(zip(key.columns, key.target_columns, strict=True))
                for above in rows.get(key.target or 0, ()):
                    if all(row.values.get(own) == above.values.get(at) for own, at in pairs):
                        found.append(self._row(above))
        return self._parts[id(row)]

    def _view_tried(self, bypass: Bypass, view: Relation) -> ViewTried:
        if view.label not in self._views:
            self._views[view.label] = View(
                schema=view.schema,
                name=view.name,
                is_materialized=view.kind == "m",
                is_invoker=view.invoker,
                columns={column.name: column.granted for column in view.columns},
                granted=view.granted,
            )
        return ViewTried(
            actor=self._actor(bypass.caller),
            has_secret=_has_secret(bypass),
            view=self._views[view.label],
            action=bypass.action,
            shown=self._labels(bypass.shown),
            changed=self._labels(bypass.changed),
            identified=self._labels(bypass.identified),
            derived=self._labels(bypass.derived),
            existing=self._labels(bypass.existing),
            counted=self._labels(bypass.counted),
            is_own=isinstance(bypass, ViewWrite) and bypass.is_own,
        )

    def _called(self, bypass: Bypass) -> Called:
        function = bypass.object
        assert not isinstance(function, Relation)  # noqa: S101  filtered above
        ended = bypass.ended if isinstance(bypass, EndedCall) else None
        return Called(
            actor=self._actor(bypass.caller),
            has_secret=_has_secret(bypass),
            function=function.signature,
            is_definer=function.definer,
            shown=self._labels(bypass.shown),
            changed=self._labels(bypass.changed),
            recounted=self._labels(bypass.recounted),
            forged=self._labels(bypass.forged),
            addressed=self._labels(bypass.addressed),
            returns=self._returns(function),
            is_general=isinstance(bypass, FunctionCall) and bypass.given is None,
            opened=self._labels(bypass.opened),
            sqlstate="" if bypass.error is None else bypass.error.sqlstate or "",
            arguments=_arguments(bypass),
            names_others=isinstance(bypass, FunctionCall) and bypass.names_others,
            identified=self._labels(bypass.identified),
            derived=self._labels(bypass.derived),
            existing=self._labels(bypass.existing),
            counted=self._labels(bypass.counted),
            runs_sql=bypass.action == SQL and bypass.outcome == ROWS,
            runs_statement=isinstance(bypass, Injection) and bypass.is_statement,
            is_helper=function.signature in self._helpers,
            asks=function.oid in self._plan.usage.asking,
            touched=self._touched(bypass),
            unread=self._unread(bypass, function),
            hands_out=self._handed_out(function),
            sets=self._set(function),
            alters=self._alters(function),
            untied=self._untied(function),
            loose=bodies.passed_by_null(function),
            texts=[name for name, given in _given(bypass) if _is_text(given)],
            nulls=[name for name, given in _given(bypass) if given.text is None],
            ended=bypass.state if isinstance(bypass, EndedCall) else "",
            is_of_above=isinstance(bypass, EndedCall) and bypass.is_of_above,
            remedy="" if ended is None else ended.advice,
            writes=isinstance(bypass, EndedCall) and bypass.written > 0,
            ended_column=self._ended_column(bypass),
            raised=[] if isinstance(bypass, RepeatedCall) else self._raised(bypass),
            repeated=self._raised(bypass) if isinstance(bypass, RepeatedCall) else [],
            added_again=[
                self._catalog.by_oid[oid].label
                for oid in (sorted(bypass.added) if isinstance(bypass, RepeatedCall) else ())
            ],
            is_pair=isinstance(bypass, PreparedCall) and bypass.is_mixed and not bypass.is_apart,
            named=self._named_in(bypass),
            below=self._labels(bypass.below) if isinstance(bypass, PreparedCall) else (),
            secrets=self._secret_arguments(function),
        )

    def _secret_arguments(self, function: Function) -> list[str]:
        names = function.argument_names[: len(function.argument_types)]
        return [name for name in names if self._takes_secret(function, name)]

    def _takes_secret(self, function: Function, name: str) -> bool:
        """Whether an argument is a secret by its name, or one that a column holds which the body
        compares with it.
        """
        secrets = self._plan.words.unknown_values
        if secrets.matches(name) and not name.endswith("id"):
            return True
        for oid, column in self._plan.usage.arguments.get((function.oid, name), ()):
            relation = self._catalog.by_oid[oid]
            keys = {*relation.primary_key, *(n for k in relation.foreign_keys for n in k.columns)}
            is_random = relation.by_name[column].differs_in_each_run
            if column not in keys and (is_random or secrets.matches(column)):
                return True
        return False

    def _raised(self, bypass: Bypass) -> list[str]:
        """The columns, with their tables, of numbers that a call has raised."""
        raised = bypass.raised if isinstance(bypass, NumberCall) else ()
        return [f"{self._catalog.by_oid[oid].label}.{name}" for oid, name in sorted(raised)]

    def _ended_column(self, bypass: Bypass) -> str:
        """The column by which a row of the caller's own has ended; '' for a row found by a
        secret.
        """
        if not isinstance(bypass, EndedCall) or bypass.ended is None or not bypass.is_own:
            return ""
        return f"{bypass.ended.relation.label}.{bypass.ended.column}"

    def _named_in(self, bypass: Bypass) -> str:
        """The column of the row that a call identifies in which the owner has named the caller."""
        if not isinstance(bypass, PreparedCall) or bypass.named is None:
            return ""
        oid, column = bypass.named
        return f"{self._catalog.by_oid[oid].label}.{column}"

    def _touched(self, bypass: Bypass) -> list[str]:
        """The tables that a function names and whose rows are refused to its caller."""
        named = self._plan.usage.function_reads.get(bypass.object.oid, ())
        return self._labels(row for row in bypass.hidden if row.relation.oid in named)

    def _unread(self, bypass: Bypass, function: Function) -> list[str]:
        """The columns that tell apart rows of the tables that a function names, and that none of
        its conditions has.
        """
        plan, touched = self._plan, {*self._touched(bypass)}
        if not touched or bodies.counts_only(function):
            return []
        passed_over = {*plan.memberships, *plan.per_user}
        passed_over |= {*plan.usage.adds.get(function.oid, ())}
        found_by = self._found_by(function, self._secret_arguments(function))
        named = [f.body for f in self._catalog.functions if f.name in function.body]
        tested = {word for body in (function.body, *named) for word in bodies.tested_names(body)}
        found = []
        for oid in sorted(plan.usage.function_reads.get(function.oid, ())):
            relation = self._catalog.by_oid.get(oid)
            if relation is None or relation.label not in touched or oid in passed_over:
                continue
            if found_by and not {oid, *(k.target for k in relation.foreign_keys)} & found_by:
                continue  # what the row only refers to
            names = [c.name for c in relation.columns if self._tells_apart(relation, c)]
            found += [f"{relation.label}.{name}" for name in names if name not in tested]
        return found

    def _found_by(self, function: Function, names: Iterable[str]) -> set[int]:
        """The tables with columns that a body compares with these arguments."""
        known = self._plan.usage.arguments
        return {oid for name in names for oid, _ in known.get((function.oid, name), ())}

    def _alters(self, function: Function) -> bool:
        """Whether a function updates rows, or adds a row like the one that its argument names."""
        usage = self._plan.usage
        keys = {
            (oid, name)
            for oid in usage.adds.get(function.oid, ())
            for name in self._catalog.by_oid[oid].primary_key
        }
        named = [usage.arguments.get((function.oid, name), ()) for name in function.argument_names]
        return bool(usage.sets.get(function.oid)) or any(keys.intersection(one) for one in named)

    def _untied(self, function: Function) -> list[str]:
        """The tables of rows that an id names beside a secret of another table, if the body has no
        column that refers from one of the rows to another.
        """
        secrets = self._secret_arguments(function)
        names = {*function.argument_names[: len(function.argument_types)]}.difference(secrets)
        by_secret, by_id = self._found_by(function, secrets), self._found_by(function, names)
        relations = [self._catalog.by_oid[oid] for oid in sorted(by_secret | by_id)]
        keys = {name for r in relations for key in r.foreign_keys for name in key.columns}
        words = {*re.findall(r"\w+", function.body)}
        if not by_secret or by_secret & by_id or keys & words:
            return []
        return [self._catalog.by_oid[oid].label for oid in sorted(by_id)]

    def _set(self, function: Function) -> list[str]:
        """The columns, with their tables, that a function updates."""
        found = sorted(self._plan.usage.sets.get(function.oid, ()))
        return [f"{self._catalog.by_oid[oid].label}.{name}" for oid, name in found]

    def _tells_apart(self, relation: Relation, column: Column) -> bool:
        """Whether other code of the project tests a column with a state."""
        usage, key = self._plan.usage, (relation.oid, column.name)
        if column.base in TIMES:
            return column.default is None and key in usage.nulls | usage.presences
        if column.category == "N" or not self._plan.may_hold_state(relation, column):
            return False
        return column.name in self._tested.get(relation.oid, ()) or is_told_apart(
            usage, relation, column, self._plan.per_user
        )

    @cached_property
    def _tested(self) -> dict[int, set[str]]:
        """Table → the words of the conditions of the functions that name it."""
        found: dict[int, set[str]] = {}
        for function in self._catalog.functions:
            for oid in self._plan.usage.function_reads.get(function.oid, ()):
                found.setdefault(oid, set()).update(bodies.tested_names(function.body))
        return found

    def _handed_out(self, function: Function) -> list[str]:
        """The columns with a random value, other than a key, in the rows of a result."""
        return [
            f"{relation.label}.{column.name}"
            for relation in self._catalog.tables
            for column in relation.columns
            if function.result in (relation.name, relation.label) and column.differs_in_each_run
            if column.name not in relation.primary_key
        ]

    def _returns(self, function: Function) -> Sequence[str] | None:
        """The columns that a function returns, its own name for a single value; None for whole
        rows, or documents with any of them.
        """
        columns = function.argument_names[len(function.argument_types) :]
        if columns:
            return columns
        is_row = function.result in self._row_types or function.result in (
            "json",
            "jsonb",
            "record",
        )
        return None if is_row else [function.name]

    @cached_property
    def _helpers(self) -> set[str]:
        """The functions that policies call, directly or by other functions."""
        return {name for called in self._plan.usage.policy_functions.values() for name in called}

    @cached_property
    def _row_types(self) -> set[str]:
        """The names of row types, as the server prints results."""
        tables = self._catalog.relations
        return {table.name for table in tables} | {table.label for table in tables}

    def _labels(self, rows: Iterable[Row]) -> list[str]:
        """The tables of rows; auth.users is none of the catalog's relations. Without Vault."""
        tables = [row.relation for row in rows if row.relation.label != VAULT]
        return list(dict.fromkeys(self._table(table).label for table in tables))

    def _channel_tried(
        self, attempt: TopicAttempt, readable: Collection[tuple[int, int]]
    ) -> ChannelTried:
        topic = attempt.topic
        applicable = [
            ChannelPolicy(p.name, p.visible, p.checked)
            for p in self._catalog.topic_policies
            if p.permissive and p.applies_to(attempt.caller.role) and p.governs(attempt.action)
        ]
        return ChannelTried(
            actor=self._actor(attempt.caller),
            channel=Channel(
                label=topic.label,
                prefix=topic.prefix,
                table="" if topic.row is None else topic.row.relation.label,
                own=_own_topic(topic).as_string(None),
            ),
            action=attempt.action,
            outcome=attempt.outcome,
            reads_row=(id(attempt.caller), id(topic.row)) in readable,
            policies=applicable,
        )

    def _open_policies(self, tried: Collection[int]) -> Iterator[OpenPolicies]:
        for relation in self._catalog.relations:
            if relation.oid in tried or relation.oid not in self._selected:
                continue
            if not relation.is_table or not relation.rls:
                continue
            if relation.partition_of is not None or relation.is_storage:
                continue
            for action, role in product(ACTIONS, API_USERS):
                if not self._may(relation, role, action):
                    continue
                policies = tuple(p.name for p in _open_to(relation, role, action))
                if policies:
                    yield OpenPolicies(relation.label, action, role, policies)

    def _may(self, relation: Relation, role: str, action: str) -> bool:
        return self._catalog.reaches(relation, role) and relation.may(role, action.upper())


def _is_of_staff(called: Called) -> bool:
    """Whether the rights of a caller follow from a claim or a row of its own, or from its name in a
    row.
    """
    return called.actor.kind in (CLAIM, LAPSED) or bool(called.named)


def _failures(attempts: Iterable[Attempt]) -> dict[tuple[int, str, str], set[str]]:
    """The SQLSTATEs of actions of roles that always fail."""
    found: dict[tuple[int, str, str], set[str]] = {}
    works = set()
    for attempt in attempts:
        key = attempt.relation.oid, attempt.action, attempt.caller.role
        if attempt.sent is None or (attempt.outcome == DENIED and attempt.error is None):
            continue
        if attempt.error is None:
            works.add(key)
        else:
            found.setdefault(key, set()).add(attempt.error.sqlstate or "")
    return {key: states for key, states in found.items() if key not in works}


def _rows_by_table(attempts: Iterable[Attempt]) -> dict[int, list[Row]]:
    """Table → the rows that a caller tried to read."""
    found: dict[int, dict[int, Row]] = {}
    for attempt in attempts:
        if attempt.action == SELECT:
            found.setdefault(attempt.relation.oid, {})[id(attempt.row)] = attempt.row
    return {oid: list(rows.values()) for oid, rows in found.items()}


def _parent_rows(write: Attempt, rows: Mapping[int, Sequence[Row]]) -> Iterator[Row]:
    """The rows to which an inserted row refers, or an updated one by the column that is set."""
    if write.action not in (INSERT, UPDATE) or not write.reached:
        return
    written = {**write.row.values, **write.written} if write.action == UPDATE else write.written
    for key in write.relation.foreign_keys:
        if write.action == UPDATE and write.column not in key.columns:
            continue
        yield from _referred(key, written, rows)


def _referred(
    key: Constraint, values: Mapping[str, str | None], rows: Mapping[int, Sequence[Row]]
) -> Iterator[Row]:
    """The rows to which a foreign key refers."""
    pairs = list(zip(key.columns, key.target_columns, strict=True))
    for row in rows.get(key.target or 0, ()):
        if all(values.get(own) == row.values.get(at) for own, at in pairs):
            yield row


def _named(attempt: Attempt) -> list[str]:
    """The columns with the caller as their default to which an inserted row gives another user."""
    if attempt.action != INSERT:
        return []
    caller = None if attempt.caller.user is None else attempt.caller.user.id
    columns = [column.name for column in attempt.relation.columns if column.is_caller]
    return [name for name in columns if attempt.written.get(name) not in (None, caller)]


def _shows_row(attempt: Attempt) -> bool:
    """Whether the error of an attempt contains the token of its row."""
    if attempt.error is None or not attempt.row.token:
        return False
    diag = attempt.error.diag
    text = f"{diag.message_primary} {diag.message_detail or ''} {diag.message_hint or ''}"
    return attempt.row.token in text


def _open_to(relation: Relation, role: str, action: str) -> Sequence[Policy]:
    """The permissive policies that let every row of a role pass; none if a restrictive policy may
    refuse it.
    """
    applying = [p for p in relation.policies if p.applies_to(role) and p.governs(action)]
    if not all(p.permissive for p in applying):
        return []
    return [p for p in applying if _lets_all_pass(p, role, action)]


def _takes_any(relation: Relation) -> bool:
    """Whether anon may insert a row whoever it is, and whatever it refers to."""
    applying = [p for p in relation.policies if p.applies_to("anon") and p.governs(INSERT)]
    return any(tested.is_of_anybody(relation, p) for p in applying) and all(
        p.permissive for p in applying
    )


def _lets_all_pass(policy: Policy, role: str, action: str) -> bool:
    text = policy.visible
    if action == INSERT:
        text = policy.checked or policy.visible
    return text is not None and expressions.always_true(expressions.expression_tree(text), role)


def _are_limited(relation: Relation, identifying: Collection[str]) -> bool:
    """Whether each policy for SELECT mentions columns of its table, and only identifying ones.

    A policy that names the rows to leave out shows all others on purpose.
    """
    policies = [p for p in relation.policies if p.permissive and p.governs(SELECT)]
    for policy in policies:
        text = policy.visible or ""
        named = _columns_in(relation, text)
        excludes = expressions.excludes(expressions.expression_tree(text))
        if excludes or not named or not named.issubset(identifying):
            return False
    return bool(policies)


def _is_overruled(relation: Relation, role: str) -> bool:
    """Whether a policy lets a role read every row, although another one selects rows by their
    columns.
    """
    opened = _open_to(relation, role, SELECT)
    policies = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    others = [p for p in policies if p.governs(SELECT) and p not in opened]
    return bool(opened) and any(_columns_in(relation, p.visible or "") for p in others)


def _personal(relation: Relation) -> list[str]:
    """The columns whose user may read the row by one condition, and others by another one: of the
    policies that are for SELECT only.
    """
    policies = [p for p in relation.policies if p.permissive and p.command == "r"]
    conditions = [c for p in policies for c in _alternatives(p.visible or "true")]
    found = [_only_caller(relation, condition) for condition in conditions]
    return list(dict.fromkeys(name for name in found if name)) if "" in found else []


def _alternatives(text: str) -> Iterator[str]:
    """The operands of OR, also of one in another."""
    operands = expressions.operands(text, "OR")
    for operand in operands:
        yield from [operand] if operands == [operand] else _alternatives(operand)


def _only_caller(relation: Relation, condition: str) -> str:
    """The column of a condition that only compares it with the caller; otherwise ''."""
    fields = (expressions.expression_tree(condition) or {}).get("A_Expr", {})
    sides = [expressions.value(fields.get(name)) for name in ("lexpr", "rexpr")]
    columns = [one.column for one in sides if isinstance(one, expressions.Reference)]
    is_equal = expressions.USER_ID in sides and fields["name"][-1]["String"]["sval"] == "="
    return columns[0] if is_equal and columns and columns[0] in relation.by_name else ""


def _selecting(relation: Relation, role: str) -> list[str]:
    """The permissive policies for SELECT of a role."""
    policies = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    return [p.name for p in policies if p.governs(SELECT)]


def _listed(relation: Relation) -> dict[str, list[str]]:
    """Privilege, such as "anon UPDATE" → the columns that a GRANT names."""
    found: dict[str, list[str]] = {}
    for column in relation.columns:
        for key in sorted(column.listed):
            found.setdefault(key, []).append(column.name)
    return found


def _columns_in(relation: Relation, text: str) -> set[str]:
    """The columns of a table that a text mentions."""
    return {name for name in relation.by_name if re.search(rf"\b{re.escape(name)}\b", text)}


def _has_secret(bypass: Bypass) -> bool:
    """Whether a result has a secret of Vault."""
    return any(row.relation.label == VAULT for row in bypass.shown)


def _arguments(bypass: Bypass) -> str:
    """The arguments of a call as text."""
    if not isinstance(bypass, FunctionCall):
        return ""
    [call, *_] = bypass.sent
    return call.statement.sql


def _given(bypass: Bypass) -> Iterator[tuple[str, Constant]]:
    """The names and values of the arguments of a call."""
    if isinstance(bypass, FunctionCall) and not isinstance(bypass.object, Relation):
        [call, *_] = bypass.sent
        values = call.arguments if isinstance(call, Call) else ()
        yield from zip(bypass.object.argument_names, values, strict=False)


def _is_text(given: Constant) -> bool:
    return given.text is not None and given.type in ("text", "character varying")


def _own_topic(topic: Topic) -> sql.Composable:
    prefix = sql.Literal(topic.prefix)
    if topic.row is None:
        return sql.SQL("(select realtime.topic()) = {} || (select auth.uid())::text").format(prefix)
    exists = sql.SQL(
        "exists (select 1 from {} as named where {} || named.{}::text = (select realtime.topic()))"
    )
    return exists.format(topic.row.relation.identifier, prefix, sql.Identifier(topic.row.key[0]))
