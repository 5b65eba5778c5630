"""The facts that kinds of leak are found in: callers, their attempts on rows, and the outcomes."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from supabase_jobs.audit.callers import (
    ANON,
    CLAIM,
    FORMER,
    GENERAL,
    INVITED,
    MEMBER,
    OWNER,
    SERVICE,
    STRANGER,
)
from supabase_jobs.audit.catalog import Named
from supabase_jobs.audit.policies.caller_states import CallerState
from supabase_jobs.audit.policies.captured_names import CapturedName
from supabase_jobs.audit.policies.decided_elsewhere import Elsewhere
from supabase_jobs.audit.policies.left_out import LeftOut
from supabase_jobs.audit.policies.link_states import LinkState
from supabase_jobs.audit.policies.lone_guards import LoneGuard
from supabase_jobs.audit.policies.loose_states import LooseState
from supabase_jobs.audit.policies.one_table import OneTable
from supabase_jobs.audit.policies.refusals import Refusal
from supabase_jobs.audit.policies.shown_states import ShownState
from supabase_jobs.audit.policies.uneven_writes import UnevenWrite
from supabase_jobs.audit.policies.unlike_siblings import Unasked
from supabase_jobs.audit.policies.usage import columns_of_state
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    GROUP,
    INSERT,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
)
from supabase_jobs.audit.words import Words
from supabase_jobs.outcomes import CLOSED, ROWS

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
    `is_elsewhere`: the role of the user counts in another group only.
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
    is_elsewhere: bool = False

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
    state that it demands at most, `is_for_guests`: one for INSERT names anon. `names_rows`: its
    only columns of users refer to a row of theirs, such as a shop. `selecting` maps the API roles
    to their permissive policies for SELECT; one of those of `shown_to` has no condition, and one of
    those of `of_callers` asks who the caller is and nothing about the row.
    `read_for_new` are the tables that a policy for INSERT reads, and none for UPDATE. A request
    that lacks what `without_value` are compared with matches null in them. `uncompared` maps each
    table above that policies for writes read to its columns of persons, if they compare none of
    these; `crossing` each one that they do not read to its column that refers to the same table as
    one of theirs. `following` are the tables above of which a policy for UPDATE or DELETE only asks
    whether the caller reads the row. `untested` maps the API roles to the columns that a policy
    tests in their new rows only, `begun` to those of which each policy demands a value in new rows,
    `later` to those that policies name for changed rows only, `kept`
    to those that one tests in changed rows, and `left` to the values of those that only others set
    and their owner ends, as in policies/tested.py; `chosen` maps the columns that the `persons` in
    a row choose to the commands by which they do, although others change the row by the policies
    `deciders`; `elsewhere` has those at which something else looks, `beside` those that a policy
    lets them change in one step with another one; `ends` are the times of an event that the project
    tests elsewhere, after which they change the row; `required` are the columns of which functions,
    or policies of other tables,
    demand a value that a row has at first; `read_by_triggers` are those that the table's own
    triggers name, `binding` those that policies for writes of other tables name which read this
    one. `logged_by` are the tables whose triggers note their changes in this one, which nothing
    else writes, and `for_all` the permissive policies for all commands. `listed` maps the
    privileges of each GRANT that names columns to these. `stand_ins` maps the column, never null,
    that refers to a membership or to the row of a guest to its table, if it is the only person in a
    row; `compared_stand_ins` has it if policies compare it with the caller.
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
    mandatory: Collection[str]
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
    is_for_guests: bool
    names_rows: bool
    selecting: Mapping[str, Sequence[str]]
    of_callers: Collection[str]
    shown_to: Collection[str]
    read_for_new: Sequence[str]
    without_value: Collection[str]
    untested: Mapping[str, Mapping[str, Collection[str]]]
    begun: Mapping[str, Collection[str]]
    later: Mapping[str, Collection[str]]
    kept: Mapping[str, Collection[str]]
    left: Mapping[str, Mapping[str, Sequence[str]]]
    chosen: Mapping[str, Collection[str]]
    persons: Sequence[str]
    deciders: Sequence[str]
    elsewhere: Elsewhere | None
    beside: Collection[str]
    ends: Sequence[str]
    required: Collection[str]
    read_by_triggers: Collection[str]
    binding: Collection[str]
    logged_by: Sequence[str]
    for_all: Sequence[str]
    listed: Mapping[str, Sequence[str]]
    stand_ins: Mapping[str, str]
    compared_stand_ins: Collection[str]
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
    """A view. `columns` and `granted` are like those of a table; `links` are the columns that refer
    to another row, or name the person of one. `selects`: it shows rows of which a flag, a state or
    a public name says so.
    """

    schema: str
    name: str
    is_materialized: bool
    is_invoker: bool
    columns: Mapping[str, Collection[str]]
    granted: Collection[str]
    links: Sequence[str]
    selects: bool

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
    refuse that. `is_own`: the caller's own row of auth.users. `in_state`: it shows a row in a state
    in which the table refuses it to the caller, who reads it in another one; `state` names it.
    """

    view: View
    action: str
    changed: Sequence[str] = ()
    is_own: bool = False
    in_state: bool = False
    state: str = ""

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
    `about` are the tables of the rows whose ids are its arguments, None if one is neither such an
    id nor a text that says nothing about a person. `is_aggregate`: it answers with aggregates only.
    `is_helper`: a policy calls it, so those whom the policy limits may call it, too. `asks`: its
    body names the caller, `charges`: it takes from a number in a row of the caller. `touched`
    are the tables that it names and whose rows are refused to the caller, `unread` the columns
    of these with a state that other code of the project tests, and this function does not;
    `hands_out` are columns with a secret that it returns, `sets` those that it updates;
    `alters`: it does, or adds rows to a table of which it finds one. `untied` are the tables of
    rows that it finds by an id, and that nothing ties to the one that it finds by a secret.
    `secrets` are the arguments that hold a secret, `loose` those of them that it compares by <>
    only. `is_pair`: the arguments identify rows of the caller, too, and none of the rows
    belongs to another one than that which they identify.
    `texts` are the arguments that got a text, `nulls` those that got NULL. `ended` says how the row
    has ended that the call finds by a secret, and `remedy` which rows the function must ignore; ''
    if it has not. `is_of_above`: not that row has ended, but one to which it refers. `ended_column`
    is the column that says so, and `is_own`: the row is one of the caller, found without a secret.
    `writes`: such a call writes rows. `raised` are the columns of the caller's own rows whose
    number is larger after the call with a negative number, `free` those of them that the tables let
    it change; `repeated` are those that a second call
    raises, too, although the first has marked its row, and `added_again` the tables to which both
    add rows. `by_null` is the argument that finds a row without a value by NULL. `regained` are the
    tables of rows that a caller without access to the group reads after a call with a secret.
    `addressee` is the column in which the row with the secret names somebody else;
    `is_asked_elsewhere`: a policy or another function compares it with the caller. `across` is the
    table of memberships if the row with the secret belongs to another group than the caller.
    `is_loose`: the guard refuses a caller by <> only, which is not true of NULL.
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
    about: Sequence[str] | None = None
    is_aggregate: bool = False
    runs_sql: bool = False
    runs_statement: bool = False
    is_helper: bool = False
    asks: bool = True
    charges: bool = False
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
    is_own: bool = False
    writes: bool = False
    raised: Sequence[str] = ()
    free: Sequence[str] = ()
    repeated: Sequence[str] = ()
    added_again: Sequence[str] = ()
    named: str = ""
    below: Sequence[str] = ()
    by_null: str = ""
    regained: Sequence[str] = ()
    addressee: str = ""
    is_asked_elsewhere: bool = False
    across: str = ""
    is_loose: bool = False

    @property
    def object(self) -> str:
        """The function, as findings print it."""
        return self.function


@dataclass(frozen=True)
class Standing:
    """A caller in a state that closes tables: the `label` of the caller and its role, the table and
    column of the state, and how the state is named. `open` are the tables with rows of others that
    it still reads, `closed` those that another state opens, `written` those in which its holder
    still writes rows of the group.
    """

    label: str
    role: str | None
    table: str
    column: str
    state: str
    open: Sequence[str]
    closed: Sequence[str]
    written: Sequence[str] = ()


@dataclass(frozen=True)
class Exclusion:
    """A table whose rows exclude whom they name: the acts that they close, and those that they
    leave open, in words.
    """

    table: str
    closed: Sequence[str]
    open: Sequence[str]


@dataclass(frozen=True)
class UnreadColumn:
    """A column of a membership that no policy of another table, function or view reads: a flag, a
    role, or a time that each row must have; of a link, only such a time. `is_of_user`: a role in
    the row that each user has, with whose values nothing is compared.
    """

    table: str
    column: str
    is_time: bool
    is_of_user: bool = False


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


@dataclass(frozen=True, kw_only=True)
class Unpassed:
    """A function with the rights of its owner that no call got through. `is_open`: also for
    requests without a user. `asks_for` are the columns in its conditions, `unread` those with a
    state, a time or a number, of the rows that it finds, that are in none of them; `changes` are
    the columns and tables that it writes.
    """

    function: str
    is_open: bool
    asks_for: Sequence[str] = ()
    unread: Sequence[str] = ()
    changes: Sequence[str] = ()


@dataclass(frozen=True)
class Sequenced:
    """A sequence, and the API roles that may set it."""

    schema: str
    name: str
    roles: Collection[str]


@dataclass(frozen=True)
class Facts:
    """All facts of an audit. Anyone can read the files of `public_buckets` by a URL.
    `unread_flags` are the columns, with their table, at which nothing of the project looks, of rows
    that a group reads and does not write. `stated` maps the tables to their columns with a number
    or one of few values. `topmost` are the roles with the rights of all others, by
    the order of their type, as `decided_by` names them. `calls_of_staff` are those of users whose
    rights follow from a claim or a row of their own, such as one of `staff`, or who are named in
    the row that a call is about; members call among the others.
    """

    words: Words
    tables: Mapping[str, Table]
    tried: Sequence[Tried] = ()
    opened: Sequence[Opened] = ()
    views: Sequence[ViewTried] = ()
    calls: Sequence[Called] = ()
    calls_of_staff: Sequence[Called] = ()
    unpassed: Sequence[Unpassed] = ()
    standings: Sequence[Standing] = ()
    exclusions: Sequence[Exclusion] = ()
    unread_columns: Sequence[UnreadColumn] = ()
    of_one_table: Sequence[OneTable] = ()
    channels: Sequence[ChannelTried] = ()
    public_buckets: Sequence[str] = ()
    open_policies: Sequence[OpenPolicies] = ()
    sequences: Sequence[Sequenced] = field(default=())
    refusals: Sequence[Refusal] = ()
    captured_names: Sequence[CapturedName] = ()
    link_states: Sequence[LinkState] = ()
    left_out: Sequence[LeftOut] = ()
    loose_states: Sequence[LooseState] = ()
    shown_states: Sequence[ShownState] = ()
    uneven_writes: Sequence[UnevenWrite] = ()
    unasked: Sequence[Unasked] = ()
    lone_guards: Sequence[LoneGuard] = ()
    caller_states: Sequence[CallerState] = ()
    unread_flags: Sequence[str] = ()
    stated: Mapping[str, Sequence[str]] = field(default_factory=dict)
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

    def only_shown(self, labels: Iterable[str]) -> bool:
        """Whether no role of the API reaches these tables, so that functions are the only way to
        their rows: the project has not said to whom its tables refuse them.
        """
        known = [self.tables[label] for label in labels if label in self.tables]
        return bool(known) and not any(table.served_to for table in known)

    def parents(self, table: Table) -> Iterator[Table]:
        """The other tables to which the rows of a table refer."""
        for label in table.parents:
            if label != table.label and label in self.tables:
                yield self.tables[label]

    @cached_property
    def for_guests(self) -> frozenset[str]:
        """The functions that do not ask who calls them, as for guests with a token."""
        return frozenset(called.function for called in self.calls if not called.asks)

    def reads_others_in(self, label: str, actor: Actor) -> bool:
        """Whether a caller reads rows of others in a table."""
        tried = self.of_actor(label, actor)
        return any(t.action == SELECT and t.reached and t.whose != OWN for t in tried)

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

    def is_known_weaker(self, added: Tried) -> bool:
        """Whether a member adds another one with a role that is seen to permit nothing that its own
        does not: what is above is no matter of the order of roles.
        """
        own = added.actor.membership
        if own is None:
            return False
        of_role = [
            actor
            for actor in self._acts
            if actor.kind == MEMBER and not actor.is_elsewhere and actor.membership is not None
            if (actor.membership.table, actor.membership.role) == (own.table, added.value)
            if not actor.membership.in_both
        ]
        acts = self._acts[added.actor]
        return bool(of_role) and all(self._acts[actor] <= acts for actor in of_role)

    @cached_property
    def _acts(self) -> Mapping[Actor, set[tuple[str, ...]]]:
        """Caller → its actions that reach rows which are not its own."""
        found: dict[Actor, set[tuple[str, ...]]] = {}
        for tried in self.tried:
            acts = found.setdefault(tried.actor, set())
            if tried.reached and tried.whose != OWN:
                acts.add((tried.object, tried.whose, tried.action, tried.column))
        return found

    @cached_property
    def rights(self) -> Mapping[Actor, int]:
        """How many actions reach their target, by caller."""
        return Counter(tried.actor for tried in self.tried if tried.reached)

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

    @property
    def reads_above(self) -> Iterator[tuple[int, list[int]]]:
        """The numbers of the attempts that reach a part of a row, or write a row below one, each
        with those of the reads of this row by its caller.
        """
        for tried in self.tried:
            above = tried.part_of if tried.action == SELECT else tried.refers_to
            reads = [one for row in above for one in self.reads_of(row)]
            own = [one.number for one in reads if one.actor is tried.actor]
            if own and tried.reached:
                yield tried.number, own

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
