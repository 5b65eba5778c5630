"""All facts of an audit, and what they say together."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from supabase_jobs.audit.callers import (
    ANON,
    CLAIM,
    MEMBER,
    OWNER,
    SERVICE,
    STRANGER,
)
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.attempts import Opened, Tried
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.channels import ChannelTried
from supabase_jobs.audit.facts.functions import Unpassed
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.facts.views import ViewTried
from supabase_jobs.audit.policies.caller_states import CallerState
from supabase_jobs.audit.policies.captured_names import CapturedName
from supabase_jobs.audit.policies.left_out import LeftOut
from supabase_jobs.audit.policies.link_states import LinkState
from supabase_jobs.audit.policies.lone_guards import LoneGuard
from supabase_jobs.audit.policies.loose_states import LooseState
from supabase_jobs.audit.policies.one_table import OneTable
from supabase_jobs.audit.policies.refusals import Refusal
from supabase_jobs.audit.policies.shown_states import ShownState
from supabase_jobs.audit.policies.siblings import Unasked
from supabase_jobs.audit.policies.uneven_writes import UnevenWrite
from supabase_jobs.audit.policies.void_revokes import VoidRevoke
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    GROUP,
    INSERT,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
)
from supabase_jobs.audit.rows.held_role import HeldRole
from supabase_jobs.audit.words import Words
from supabase_jobs.outcomes import CLOSED


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
    the row that each user has, with whose values nothing is compared. `alike` are the roles that
    nothing tells apart, if it compares the column with others.
    """

    table: str
    column: str
    is_time: bool
    is_of_user: bool = False
    alike: Sequence[str] = ()


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
    void_revokes: Sequence[VoidRevoke] = ()
    unread_flags: Sequence[tuple[str, str]] = ()
    stated: Mapping[str, Sequence[str]] = field(default_factory=dict)
    topmost: Collection[HeldRole] = ()

    @cached_property
    def objects(self) -> Mapping[str, Sequence[Tried]]:
        """The attempts on each object, by the most general caller first. Tables without row level
        security have none: everything about them is one leak. There is one question about what a
        role decides that everybody has; those who have lost it should have lost that, too.
        """
        found: dict[str, list[Tried]] = {}
        for tried in self.tried:
            is_decided = tried.deciding.everywhere and not tried.actor.is_inactive
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
        for label in table.above.parents:
            if label != table.label and label in self.tables:
                yield self.tables[label]

    @cached_property
    def for_guests(self) -> frozenset[str]:
        """The functions that do not ask who calls them, as for guests with a token."""
        return frozenset(called.object for called in self.calls if not called.function.guard.asks)

    def reads_others_in(self, label: str, actor: Actor) -> bool:
        """Whether a caller reads rows of others in a table."""
        tried = self.of_actor(label, actor)
        return any(t.action == SELECT and t.reached and t.whose != OWN for t in tried)

    def is_referred(self, table: Table) -> bool:
        """Whether rows of other tables refer to rows of a table."""
        return any(table.label in t.above.parents for t in self.tables.values() if t is not table)

    def is_deciding(self, table: Table) -> bool:
        """Whether policies of other tables read a table, so that its rows decide about others."""
        return any(
            table.label in t.policies.read_by_policies
            for t in self.tables.values()
            if t is not table
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
        if write.action != UPDATE or write.column in write.table.above.key_columns:
            return False
        if not write.table.rows.is_membership and not self._has_head(write.table, write.column):
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
        return table.rows.per_user and bool(heads) and own == {False}

    def is_form(self, table: Table) -> bool:
        """Whether anybody adds rows of a public form: they name a person by an address only; or
        nobody who has to do with them changes them, and a policy accepts every row, or nobody reads
        them without a header.
        """
        is_personal = bool(table.persons.users or table.persons.identifying_claims)
        tried = [t for t in self.of_table(table.label) if t.reached and t.actor.kind != SERVICE]
        is_open = any(t.action == INSERT and t.actor.kind == ANON and t.name == "" for t in tried)
        if is_personal or not is_open or table.persons.addresses:
            return is_open and not is_personal
        by_user = any(t.action == SELECT and t.actor.role != "anon" for t in tried)
        is_meant = not by_user if table.persons.headers else table.policies.is_unconditional
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
                if is_apart and refused.on.people == reached.on.people:
                    yield refused, reached

    def hiding(self, label: str) -> set[str]:
        """The columns by which rows of a table are hidden from some of those who read others, and
        none shown.
        """
        hidden, visible = set[str](), set[str]()
        for actor in {tried.actor for tried in self.of_table(label)}:
            for refused, reached in self.told_apart(actor, label, SELECT):
                hidden |= {one.name for one in refused.conditions if one.is_own}
                visible |= {one.name for one in reached.conditions if one.is_own}
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

    def gives_more(self, update: Tried) -> bool:
        """Whether a caller gives another user a value, in the row that each user has, with which
        somebody does what the caller does not, and more in all.
        """
        own = update.actor.held.get(update.column)
        if own in (None, update.value) or update.actor.row_of != update.table.name:
            return False
        above = [
            actor
            for actor in self._acts
            if actor.row_of == update.table.name and not actor.is_elsewhere
            if actor.held.get(update.column) == update.value
            if self.rights[actor] > self.rights[update.actor]
        ]
        return any(not self._acts[actor] <= self._acts[update.actor] for actor in above)

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
        for row in write.written.refers_to:
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
            above = tried.on.part_of if tried.action == SELECT else tried.written.refers_to
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
        return called.given.names_others and all(
            self.tables[label].rows.has_random_key
            and not self.tables[label].rows.owned
            and not self._is_shown(label)
            for label in called.effects.changed
        )

    def _is_shown(self, label: str) -> bool:
        """Whether an outsider or a member reads rows of a table, or an answer tells their ids."""
        answers: list[ViewTried | Called] = [*self.views, *self.calls]
        found = [a.actor for a in answers if label in (*a.said.shown, *a.said.identified)]
        found += [t.actor for t in self.of_table(label) if t.action == SELECT and t.reached]
        return any(actor.is_outsider or actor.kind == MEMBER for actor in found)

    def sensitive_columns(self, table: Table, role: str) -> list[str]:
        """The columns with addresses or secrets that a role may read. A number, such as that of
        tokens, is no secret, and whether somebody wants e-mails no address.
        """
        others = {name for name in table.values.numbers if self.words.unknown_values.matches(name)}
        others.update(table.values.flags)
        return [
            name
            for name in table.columns
            if self.words.is_sensitive(name) and name not in others
            if table.may(role, "SELECT", name)
        ]
