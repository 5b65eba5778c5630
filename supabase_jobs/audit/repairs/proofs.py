"""Repairs that prove themselves: each candidate is tried, and what it closes and takes is seen."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from textwrap import wrap

from supabase_jobs.audit.baseline import wider
from supabase_jobs.audit.callers import CLAIM, FORGER, FORMER, INVITED, OWNER, SERVICE, Persona
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.leaks import (
    added_member,
    captured_name,
    escalation,
    forged,
    hidden_parent,
    privileged_column,
    public,
    service_column,
    two_groups,
    unreadable_parent,
    untested_column,
    upload,
)
from supabase_jobs.audit.leaks import leak as kinds_of_leaks
from supabase_jobs.audit.leaks.leak import (
    AnyLeak,
    BrokenAccess,
    ExplainedLeak,
    Question,
    ShownLeak,
)
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.attempt import (
    ADD,
    CHOOSE,
    DELETE,
    FORGE,
    GROUP,
    INSERT,
    JOIN,
    NONE,
    OPEN,
    OWN,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import Bypass, Inquiry, ViewRead
from supabase_jobs.audit.probes.comparison import words
from supabase_jobs.audit.probes.ended_calls import EndedCall
from supabase_jobs.audit.probes.known import Altered
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.audit.repairs import answers, paths, writes
from supabase_jobs.audit.repairs.demand import Demand
from supabase_jobs.audit.repairs.owners import OWNERS_OF_FILES, authors, named_persons
from supabase_jobs.audit.repairs.trials import Scope, Seen, Trials, place_of
from supabase_jobs.audit.repairs.ways import Way
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.states import identity
from supabase_jobs.audit.rows.tenants import Ended, Tenant
from supabase_jobs.findings import (
    Access,
    AccessObject,
    Cell,
    Left,
    Repair,
    Repairs,
    Severity,
    as_comment,
    has_statement,
)
from supabase_jobs.findings.permission import beyond
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.deadline import Deadline, DeadlineError

_NOTHING = "select"  # a statement without an effect
_WIDTH = 97  # of a line of a comment
_YES = (["t"], ["true"])
_WHOSE = {OWN: "own rows", GROUP: "rows of the group", NONE: "rows"}


@dataclass(frozen=True)
class NamedCell:
    """A cell in words: the caller, and what it may do."""

    caller: str
    what: str

    def __str__(self) -> str:
        return f"{self.caller}: {self.what}"


@dataclass(frozen=True)
class Verdict:
    """The effects of a candidate. `closes` counts the cells that end, `takes` are those that should
    stay, and `opens` what was closed before. `is_open`: the leak is still there. `gives` counts the
    cells that policies permit and nobody had. `ends` are the uses of objects that nobody but the
    service is left with, and `alters` the answers that would be wrong. `unseen` are conditions of
    policies that it limits and by which nobody in the world passes, `leaves` the questions that a
    new policy leads to. `shows` are the problems that a leak has hidden: the same acts, told
    otherwise.
    """

    closes: int
    takes: tuple[NamedCell, ...] = ()
    opens: tuple[str, ...] = ()
    is_open: bool = False
    gives: int = 0
    ends: tuple[str, ...] = ()
    alters: tuple[NamedCell, ...] = ()
    unseen: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether it closes the leak, opens nothing, and is seen to take nothing."""
        lost = self.takes or self.ends or self.alters or self.unseen or self.leaves
        return not (lost or self.opens or self.is_open)

    @property
    def loss(self) -> tuple[int, ...]:
        """How much it takes: what nobody is left with counts most, then what somebody loses."""
        lost = self.ends, self.takes, self.alters, self.unseen, self.leaves
        return tuple(map(len, lost))


@dataclass(frozen=True)
class Proven:
    """The repair of a leak, as reports print it. Only a proven one is SQL, others are comments.
    `callers` are the labels of those that a comment names, `left` says why it is not proven.
    """

    text: str
    is_proven: bool = False
    demand: Demand | None = None
    callers: tuple[str, ...] = ()
    left: Left | None = None


@dataclass(frozen=True)
class _Tried:
    """A candidate with its effects; `is_open` finds out whether the leak is still there, which
    takes longer.
    """

    text: str
    verdict: Verdict
    is_open: Callable[[], bool]


class Boundaries:
    """The ids that belong to each tenant."""

    def __init__(self, world: World) -> None:
        self._ids = {tenant.name: _ids(tenant) for tenant in (world.a, world.b)}
        self._users = world.plan.usage.persons.users

    def crosses(self, attempt: Attempt) -> bool:
        """Whether an attempt leaves what belongs to its caller, so that nobody needs it.

        An update moves a row below a row of another tenant, or to another's user; a former member
        reaches a row of the group; a user who belongs to one row reaches those below another.
        """
        if attempt.caller.kind in (FORMER, INVITED) and attempt.whose != OWN:
            return True
        return self._gives_away(attempt) or _is_below_another(attempt)

    def names(self, attempt: Attempt) -> bool:
        """Whether a new row names a person or a row of another tenant."""
        own = "" if attempt.caller.tenant is None else attempt.caller.tenant.name
        others = [ids for name, ids in self._ids.items() if name != own]
        return any(value in ids for ids in others for value in attempt.written.values())

    def is_reference(self, attempt: Attempt) -> bool:
        """Whether the column of an attempt names a person or a parent."""
        relation, column = attempt.relation, attempt.column
        refers = any(column in key.columns for key in relation.foreign_keys)
        return refers or (relation.oid, column) in self._users

    def _gives_away(self, attempt: Attempt) -> bool:
        relation, column = attempt.relation, attempt.column
        if relation.is_storage and column in OWNERS_OF_FILES:  # which Storage sets itself
            return True
        if not self.is_reference(attempt):
            return False
        own = "" if attempt.caller.tenant is None else attempt.caller.tenant.name
        return any(attempt.value in ids for name, ids in self._ids.items() if name != own)


def _is_below_another(attempt: Attempt) -> bool:
    """Whether a user who belongs to a row of a table reaches another row of it, or one below."""
    user, relation, values = attempt.caller.user, attempt.relation, attempt.row.values
    if user is None or user.link is None or attempt.whose != GROUP:
        return False
    linked = user.link[0]
    own = user.rows.get(linked.oid)
    if own is None or linked is relation:
        return own is not None and own is not attempt.row
    for key in relation.foreign_keys:
        if key.target == linked.oid:
            pairs = zip(key.columns, key.target_columns, strict=True)
            return any(values.get(column) != own.values.get(at) for column, at in pairs)
    return False


def _ids(tenant: Tenant) -> frozenset[str]:
    """The ids of the users of a tenant, and the keys of its rows."""
    found = {user.id for user in tenant.users}
    for row in tenant.all_rows:
        found.update(value for name in row.key if (value := row.values[name]) is not None)
    return frozenset(found)


class Judge:
    """Compares what was seen before and after a change.

    Without a baseline, only cells of the `leaks` may end. `accepted` is the access of a baseline:
    everything in it stays, and everything beyond it may end. So may what calls of functions show
    that were `existing` before. `joins` are the ids of leaks by which callers join what they see
    before, or ask to: they may be meant to, so that they can add something stays. `above` maps the
    id() of attempts to the reads of the rows that their row refers to, by the same caller, and
    `opening` are the id() of those that open something. `authors` are the columns that name who
    adds a row, of tables whose rows name several persons, and `shown` the id() of reads by those
    whom a policy names.
    """

    def __init__(
        self,
        leaks: Iterable[AnyLeak],
        accepted: Access | None,
        boundaries: Boundaries,
        existing: Collection[str] = (),
        joins: Collection[str] = (),
        above: Mapping[int, Sequence[Attempt]] | None = None,
        opening: Collection[int] = (),
        authors: Mapping[int, str] | None = None,
        shown: Collection[int] = (),
    ) -> None:
        self._opening, self._authors = frozenset(opening), authors or {}
        self._shown = frozenset(shown)
        self._joins, self._above = frozenset(joins), above or {}
        self._leaks, self._accepted = list(leaks), accepted or {}
        self._boundaries, self._existing = boundaries, frozenset(existing)
        refused = [leak.refusal.tables for leak in self._leaks if isinstance(leak, BrokenAccess)]
        self._broken = frozenset[int]().union(*refused)
        self.has_baseline = bool(self._accepted or self._existing)
        self.gives = bool(refused)

    def verdict(
        self,
        before: Seen,
        after: Seen,
        is_open: bool,
        leak: AnyLeak | None = None,
        *,
        asking: Collection[str] = (),
        kept: Collection[Attempt] = (),
        of_service: Collection[int] = (),
    ) -> Verdict:
        """The effects of a change for a leak; both are of the same objects. If functions are now
        `asking` who is a member, what outsiders reach of others may end, and they answer otherwise.
        `kept` are attempts that still reach their targets, although nothing has led to them again,
        and `of_service` the tables whose lost cells only the backend was to have.
        """
        lost = [one for one in _gone(before, after) if one not in kept]
        meant = [one for one in lost if not _is_on(one, of_service)]
        new = [one for one in after.cells.values() if place_of(one) not in before.places]
        given = [one for one in new if self._is_restored(one)]
        won = [one for one in new if one not in given]
        takes = [
            _named(one)
            for one in meant
            if not (self.may_end(one) or (asking and _is_of_outsider(one)))
            or self._stays(one, leak)
        ]
        takes += self._end_of_joining(meant, after)
        takes += [_of_cell(cell) for cell in self._taken(before, after)]
        takes += [
            NamedCell(use.caller, f"call of {use.function}")
            for use in before.uses - after.uses
            if not use.is_answer
        ]
        # the project decides who has a claim that it sets
        opens = [
            str(_named(one)) for one in won if not self._is_known(one) and one.caller.kind != CLAIM
        ]
        opens += [
            str(_of_cell(cell))
            for cell in wider(after.granted, before.granted)
            if self._is_known_name(cell.object) and not self._has(cell)
        ]
        if given:
            opens += [name for name in after.faults if name not in before.faults]
        return Verdict(
            closes=len(lost) if given else max(1, len(lost)),
            gives=len(given),
            takes=_in_order(takes),
            opens=tuple(sorted(set(opens))),
            is_open=is_open,
            ends=tuple(_ended(lost, before, after)),
            alters=_in_order(
                NamedCell(one.caller.label, f"the same answer of {one.label}")
                for one in self._made_wrong(before, after)
                if one.label not in asking
            ),
        )

    def _is_restored(self, one: Attempt | Bypass) -> bool:
        """Whether policies permit a cell that was refused by something else."""
        if isinstance(one, Bypass):
            return bool(self._broken) and not _shows_hidden(one)
        return one.relation.oid in self._broken

    def _is_known_name(self, name: AccessObject) -> bool:
        return name in self._accepted or str(name) in self._existing

    def _is_known(self, one: Attempt | Bypass) -> bool:
        """Whether the baseline decides about the object of a cell."""
        return self._is_known_name(one.target)

    def may_end(self, one: Attempt | Bypass) -> bool:
        """Whether a repair may end a cell: one that a leak is about, or beyond the baseline."""
        if isinstance(one, Bypass) and one.action == SELECT and not one.caller.is_outsider:
            return self._is_known(one)  # a view may show less to them, but something
        if self._is_known(one):
            return True
        if id(one) in self._shown:
            return False
        if any(self._is_of(one, leak) for leak in self._leaks):
            return True
        if not isinstance(one, Attempt):
            return False
        return self._boundaries.crosses(one) or self._follows(one) or self._is_forged(one)

    def _is_forged(self, one: Attempt) -> bool:
        """Whether a new row has another author than who adds it, as a leak says of the table."""
        author, user = self._authors.get(one.relation.oid), one.caller.user
        if author is None or user is None or one.action != INSERT:
            return False
        of_table = [
            leak for leak in self._leaks if leak.kind is forged.KIND and _is_alike(one, leak)
        ]
        named = one.written.get(author)
        is_another = named not in (None, identity(one.relation, author, user))
        return bool(of_table) and is_another

    def _is_of(self, one: Attempt | Bypass, leak: AnyLeak) -> bool:
        """Whether a cell is one that a leak is about: not a part of rows that its caller reads, of
        a leak about parts of hidden ones.
        """
        is_read = False
        if leak.kind is hidden_parent.KIND and isinstance(one, Attempt):
            above = self.above(one)
            is_read = bool(above) and all(read.reached for read in above)
        is_kept = self._is_sign_up(one) and not _is_about_column(one, leak)
        return belongs(one, leak) and not (is_read or is_kept)

    def _is_sign_up(self, one: Attempt | Bypass) -> bool:
        """Whether somebody adds their own row, which opens nothing and names nobody else: the app
        may do so for who has signed up.
        """
        if not isinstance(one, Attempt) or (one.action, one.whose) != (INSERT, OWN):
            return False
        is_alone = one.name in (OPEN, CHOOSE) and one.error is None
        return is_alone and id(one) not in self._opening and not self._boundaries.names(one)

    def above(self, one: Attempt) -> Sequence[Attempt]:
        """The reads of the rows that the row of an attempt refers to, by the same caller."""
        return self._above.get(id(one), ())

    def _follows(self, one: Attempt) -> bool:
        """Whether an attempt follows from a leak: it reaches a part of a row that its caller cannot
        read, as that of the leak does, or of one that only leaks let an outsider read.
        """
        reads = [read for read in self.above(one) if read.whose != OWN]
        if reads and not all(read.reached for read in reads):
            return any(_is_of_parts(leak) and _is_alike(one, leak) for leak in self._leaks)
        return bool(reads) and all(map(self._is_of_outsider, reads))

    def _is_of_outsider(self, read: Attempt) -> bool:
        """Whether only leaks let an outsider read a row."""
        return read.caller.is_outsider and any(belongs(read, leak) for leak in self._leaks)

    def _stays(self, one: Attempt | Bypass, leak: AnyLeak | None) -> bool:
        """Whether a cell that may end is no matter of a leak: the reading by a view is decided with
        the writing by it only if both are errors.
        """
        if leak is None or self._is_known(one) or not _is_only_read(one, leak):
            return False
        errors = [other for other in self._leaks if other.severity is Severity.ERROR]
        return not any(belongs(one, other) for other in errors)

    def moves(self, one: Attempt) -> bool:
        """Whether an update of a leak gives its row to another person or parent: all who may do so
        share the leak.
        """
        return self._boundaries.is_reference(one) and self.may_end(one)

    def leaves(self, one: Attempt) -> bool:
        """Whether an attempt leaves what belongs to its caller."""
        return self._boundaries.crosses(one)

    def _end_of_joining(self, lost: Iterable[Attempt | Bypass], after: Seen) -> Iterator[NamedCell]:
        """The callers who join nothing any more, or who add nobody else to their group."""
        shown = [leak for leak in self._leaks if isinstance(leak, ShownLeak)]
        joined = {leak.tried.object for leak in shown if leak.id in self._joins}
        extended = {leak.tried.object for leak in shown if leak.kind is added_member.KIND}
        adding = set(map(_place_of_insert, after.cells.values()))
        for one in lost:
            place = _place_of_insert(one)
            if place is None or place in adding or self._is_known(one):
                continue
            if one.label in (extended if place[-1] else joined):
                yield _named(one)

    def _made_wrong(self, before: Seen, after: Seen) -> Iterator[Inquiry]:
        """The answers about which neither the baseline nor refused access decides that a change
        makes wrong.
        """
        usage = before.plan.usage
        writing = {
            oid for oid in usage.bodies.adds if usage.bodies.adds[oid] or usage.bodies.sets.get(oid)
        }
        for one in answers.made_wrong(before.bypasses, after.bypasses, writing):
            if not (self._is_known(one) or self._broken.intersection(one.reads)):
                yield one

    def _has(self, cell: Cell) -> bool:
        """Whether the baseline has an access."""
        known = self._accepted.get(cell.object, {}).get(cell.caller, ())
        return cell.permission.is_included(known)

    def _taken(self, before: Seen, after: Seen) -> Iterator[Cell]:
        """The access in the baseline that has ended."""
        for name, callers in before.granted.items():
            for caller, was in callers.items():
                now = after.granted.get(name, {}).get(caller, ())
                known = self._accepted.get(name, {}).get(caller, ())
                kept = [one for one in known if one.is_included(was)]
                # all columns of a row are more than those of the baseline
                kept += [one for one in was if one.is_included(known)]
                for permission in beyond(kept, now):
                    yield Cell(name, caller, permission)


def _gone(before: Seen, after: Seen) -> list[Attempt | Bypass]:
    """The cells that a change has ended, or to which nothing has led again."""
    return [one for key, one in before.cells.items() if key not in after.cells]


def belongs(one: Attempt | Bypass, leak: AnyLeak) -> bool:
    """Whether a cell is one that a leak is about, so that its repair may end it."""
    if isinstance(one, Bypass):
        is_own = not one.caller.is_outsider and one.outcome == "rows" and not _shows_hidden(one)
        if not isinstance(leak, ExplainedLeak) or leak.object != one.label or is_own:
            return False
        if _is_only_read(one, leak):
            return False
        # a view may be the way to write rows of one's own
        is_of_owner = one.action in (UPDATE, DELETE) and one.caller.kind == OWNER
        return leak.of_owner or not is_of_owner
    if leak.kind is captured_name.KIND:  # what the condition was to limit
        return leak.object == one.label and _is_of_outsider(one)
    if not isinstance(leak, ShownLeak):
        return False
    tried, caller = leak.tried, one.caller
    if tried.table.label != one.relation.label or caller.kind == SERVICE:
        return False
    if one.relation.is_storage and tried.object != one.label:
        return False
    if leak.kind.repair is kinds_of_leaks.Repair.ENABLE_ROW_SECURITY:
        return caller.is_outsider and one.whose != OWN
    if caller.kind == FORGER == tried.actor.kind and caller.role != "anon":
        return True
    if tried.action != one.action:
        return False
    if leak.kind is hidden_parent.KIND:
        return one.whose != OWN and one.is_state
    if leak.kind.repair is kinds_of_leaks.Repair.OTHER_COMMAND:
        return one.is_state  # another state that refuses the other change
    if leak.kind.of_column and tried.column:
        return one.whose == tried.whose and (one.column == tried.column or _chooses(one, leak))
    if leak.kind is untested_column.KIND and one.action == INSERT:
        return one.is_state or one.column in leak.columns
    if leak.kind is untested_column.KIND and one.action == UPDATE:
        return one.column in leak.columns and one.whose == tried.whose
    if one.action == INSERT and (one.whose == OWN or one.name in (JOIN, OPEN)):
        return _may_not_insert(one, leak)
    if tried.whose == NONE == one.whose:  # it belongs to nobody
        return caller.kind != CLAIM and tried.name == one.name
    if one.action == INSERT and _family(tried.name) != _family(one.name):
        return False
    is_like = caller.is_outsider or caller.label == tried.actor.label
    return is_like and (one.whose != OWN or bool(one.name))


def _is_about_column(one: Attempt | Bypass, leak: AnyLeak) -> bool:
    """Whether a leak is about the column of an attempt."""
    if not isinstance(one, Attempt) or not isinstance(leak, ShownLeak):
        return False
    if not leak.kind.of_column or not leak.tried.column:
        return False
    return leak.tried.column == one.column or _chooses(one, leak)


def _chooses(one: Attempt, leak: ShownLeak) -> bool:
    """Whether a new row has the value that a leak is about in its column."""
    chosen = leak.tried.written.chosen
    return chosen is not None and one.written.get(leak.tried.column) == chosen


def _is_of_parts(leak: AnyLeak) -> bool:
    """Whether a leak is about parts of rows that are hidden from their caller."""
    return leak.kind in (hidden_parent.KIND, unreadable_parent.KIND)


def _is_alike(one: Attempt, leak: AnyLeak) -> bool:
    """Whether a leak is about the same action on the same table."""
    if not isinstance(leak, ShownLeak):
        return False
    return (leak.tried.table.label, leak.tried.action) == (one.relation.label, one.action)


def _is_of_outsider(one: Attempt | Bypass) -> bool:
    """Whether an outsider reaches a row that is not theirs, or a view or function."""
    return one.caller.is_outsider and one.whose != OWN


def _is_only_read(one: Attempt | Bypass, leak: AnyLeak) -> bool:
    """Whether a cell is the reading by a view, and a leak is about the writing by it."""
    is_write = isinstance(leak, ExplainedLeak) and leak.is_write and leak.object == one.label
    return is_write and one.action == SELECT


def _is_on(one: Attempt | Bypass, tables: Collection[int]) -> bool:
    """Whether a cell is one of these tables."""
    return isinstance(one, Attempt) and one.relation.oid in tables


def _place_of_insert(one: Attempt | Bypass) -> tuple[str, str, bool] | None:
    """The caller and the table of a new row, and whether it adds another person to a group; None
    for another action.
    """
    if not isinstance(one, Attempt) or one.action != INSERT:
        return None
    return one.caller.label, one.label, one.name == ADD


def _may_not_insert(one: Attempt, leak: ShownLeak) -> bool:
    """Whether a leak is about rows of one's own: those that open something, and files that are in
    no folder of one's own.
    """
    if leak.kind is escalation.KIND:
        return True
    if one.whose != OWN and leak.tried.name == one.name:
        return one.caller.is_outsider
    user, name = one.caller.user, one.row.values.get("name") or ""
    return leak.kind is upload.KIND and (user is None or user.id not in name)


def _ended(lost: Iterable[Attempt | Bypass], before: Seen, after: Seen) -> Iterator[str]:
    """The uses of objects that end, and that nobody but the service is left with: neither with a
    row of a view in the same role, nor with the same answer of a function, nor with any in the same
    role, nor with a yes of one that nothing but a request calls.
    """
    kept = {_use_of(one) for one in after.cells.values() if one.caller.kind != SERVICE}
    kept |= {_use_of(one) for one in after.bypasses if isinstance(one, ViewRead) and one.has_rows}
    same = before.uses & after.uses
    kept |= {f"call of {use.function}" for use in same if use.given}
    ended = set(map(_use_of, lost)) - kept
    ended |= _answers_of(before) - _answers_of(after)
    called = before.plan.usage.policies.policy_functions.values()
    yield from sorted(ended | (_affirmed(before, called) - _affirmed(after, called)))


def _affirmed(seen: Seen, called: Iterable[Collection[str]]) -> set[str]:
    """The functions that say yes to guests, who have no rows of their own about which they could be
    told: those that policies call are no end in themselves.
    """
    helpers = {name for names in called for name in names}
    return {
        f"a yes of {one.label} as {one.caller.role}"
        for one in seen.bypasses
        if isinstance(one, Inquiry) and one.caller.user is None and one.caller.kind != SERVICE
        if words(one.answer.text) in _YES and one.label not in helpers
    }


def _answers_of(seen: Seen) -> set[str]:
    """The functions that answer anything to users of a role."""
    return {
        f"answer of {one.label} as {one.caller.role}"
        for one in seen.bypasses
        if isinstance(one, Inquiry) and isinstance(one.object, Function) and one.answer.text
        if one.caller.kind != SERVICE
    }


def _use_of(one: Attempt | Bypass) -> str:
    name = one.label if isinstance(one, Bypass) else one.relation.label
    is_read = isinstance(one, Bypass) and one.action == SELECT
    role = f" as {one.caller.role}" if is_read else ""
    return f"{one.action} of {name}{role}"


def _shown_to(one: Bypass) -> Hashable:
    return one.label, one.action, one.caller.role


def _family(name: str) -> str:
    """The name of an insert; that of a row of another is the same with and without own parents."""
    return "" if name == FORGE else name


def _shows_hidden(bypass: Bypass) -> bool:
    return bool(bypass.said.seen or bypass.effects.changed or bypass.effects.opened)


class Proofs:
    """The repairs of leaks. Those before are part of each trial, so all can be applied together.

    `render` makes the statements of a demand, together with those that were chosen before.
    """

    def __init__(
        self,
        trials: Trials,
        judge: Judge,
        render: Callable[[Sequence[Demand], Demand], str],
        accepted: Access | None,
    ) -> None:
        self._trials, self._judge, self._render = trials, judge, render
        self._accepted = accepted or {}
        self._chosen: list[Demand] = []
        self._closed: list[tuple[AnyLeak, Collection[Cell], Demand]] = []

    def prove(
        self, leak: AnyLeak, candidates: Iterable[Demand], cells: Collection[Cell] = ()
    ) -> Proven:
        """The first candidate that closes a leak, or all of these cells beyond the baseline, and
        takes nothing; else that which takes the least, as a comment.
        """
        advice, ran = "", 0
        losing: list[_Tried] = []
        taking: list[tuple[int, Demand, str]] = []
        limiting: list[tuple[Demand, str, Verdict]] = []
        try:
            for demand in self._tried(leak, candidates):
                text = self._render(self._chosen, demand)
                if not has_statement(text):
                    advice = advice or text
                    continue
                if not demand.is_trigger and self._still_reaches(leak, text):
                    continue
                ran += 1
                if not demand.is_of_service and (lost := self._lost(demand, text)):
                    taking.append((lost, demand, text))
                elif (limits := self._by_other_paths(leak, demand, text)) is not None:
                    limiting.append((demand, text, limits))
                elif one := self._try(leak, demand, text, cells):
                    if one.verdict.is_proven:
                        return self._choose(leak, demand, one.verdict, cells)
                    losing.append(one)
                if ran == LIMITS.candidates:
                    break
            best = _least(losing)
            for _, demand, text in sorted(taking, key=lambda one: one[0]):
                if best is None and (one := self._try(leak, demand, text, cells)):
                    # a row that one may add without a column is not lost
                    if one.verdict.is_proven:
                        return self._choose(leak, demand, one.verdict, cells)
                    best = _least([one])
            for demand, text, limits in limiting:
                if best is not None and best.verdict.loss <= limits.loss:
                    continue
                if one := self._try(leak, demand, text, cells):
                    takes = _in_order([*one.verdict.takes, *limits.takes])
                    verdict = replace(one.verdict, takes=takes, unseen=limits.unseen)
                    some = [replace(one, verdict=verdict)]
                    best = _least(some if best is None else [best, *some])
        except DeadlineError:
            return _LATE
        if advice or best is None:
            return Proven(text=advice or _NO_REPAIR, left=Left.NONE)
        return _question(best.text, best.verdict)

    def _choose(
        self, leak: AnyLeak, demand: Demand, verdict: Verdict, cells: Collection[Cell]
    ) -> Proven:
        """The proven repair, which is a part of each later trial. A repair that first asks for
        something else, such as claims of users, is a comment and not proven.
        """
        if demand.asks:
            lines = wrap(demand.asks, _WIDTH, break_long_words=False, break_on_hyphens=False)
            text = as_comment("\n".join([*lines, self._render(self._chosen, demand)]))
            return Proven(text=text, left=Left.UNKNOWN)
        if demand not in self._chosen:
            self._chosen.append(demand)
        self._closed.append((leak, cells, demand))
        return Proven(text=_proof(verdict), is_proven=True, demand=demand)

    def prove_topic(self, leak: ExplainedLeak) -> Proven:
        """The repair of a leak of a topic of Realtime, which changes policies of its messages."""
        text = leak.explanation.fix
        if not has_statement(text):
            return Proven(text=text, left=Left.NONE)
        try:
            after = self._trials.topics(text)
        except DeadlineError:
            return _LATE
        if after is None or leak.id in self._trials.topic_leaks(after):
            return Proven(text=_NO_REPAIR, left=Left.NONE)
        kept = {_key_of_topic(one) for one in after if one.outcome == ROWS}
        before = [one for one in self._trials.channels if one.outcome == ROWS]
        lost = [one for one in before if _key_of_topic(one) not in kept]
        takes = {_named_topic(one) for one in lost if not one.caller.is_outsider}
        verdict = Verdict(closes=max(1, len(lost)), takes=_in_order(takes))
        if not verdict.is_proven:
            return _question(text, verdict)
        return Proven(text=_proof(verdict), is_proven=True, demand=Demand(text=text))

    def written(self, proven: Proven) -> str:
        """The statements of a repair, with those of the others of its policies."""
        if proven.demand is None:
            return proven.text
        left = ", ".join(self._left(proven.demand))
        note = f"-- It leaves {left}, about which there is another finding.\n" if left else ""
        return f"-- {proven.text}\n{note}{self.statements(proven)}"

    def _left(self, demand: Demand) -> list[str]:
        """The columns that a repair of others grants again, and that other findings are about."""
        if demand.columns is None or demand.guard is not None:
            return []
        relation, role, privilege, _ = demand.columns
        taken = set[str]()
        for one in (*self._chosen, demand):
            for other, *_, names in one.granted:
                if other is relation and one.guard is None:
                    taken.update(names)
        about = {n for one in self._trials.before.leaks for n in _columns_of(one, relation.label)}
        return [
            column.name
            for column in relation.columns
            if column.name in about - taken and relation.may(role, privilege.upper(), column.name)
        ]

    def share(self, others: int) -> None:
        """Give the next proof a fair part of the time, with so many others behind it."""
        self._trials.share(others)

    def statements(self, proven: Proven) -> str:
        """The statements of a repair."""
        return "" if proven.demand is None else self._render(self._chosen, proven.demand)

    def ends(self, function: Function) -> list[Ended]:
        """The states of rows that have ended in which calls of a function do the same as before."""
        found = [
            one.ended
            for one in self._trials.before.bypasses
            if isinstance(one, EndedCall) and one.object is function and one.ended is not None
        ]
        return list(dict.fromkeys(found))

    def is_used(self, function: Function) -> bool:
        """Whether the effects of a function for those who may call it are known, and compared."""
        return self._trials.is_used(function)

    def together(self, found: Mapping[str, Proven], deadline: Deadline) -> Repairs:
        """The proven repairs of findings, by their ids, tried together on all objects until this
        time. Those that take something beside the others are left out, as few as possible.
        """
        self._trials.extend(deadline)
        demands: dict[Demand, list[str]] = {}
        for name, proven in found.items():
            if proven.demand is not None:
                demands.setdefault(proven.demand, []).append(name)
        made = Repairs((), 0)
        with suppress(DeadlineError):
            for some in _without_one(demands):
                if (most := self._made(some)) is not None:
                    return most
            kept: dict[Demand, list[str]] = {}
            for demand, names in demands.items():
                some = {**kept, demand: names}
                if (more := self._made(some)) is not None:
                    kept, made = some, more
        return made

    def _made(self, demands: Mapping[Demand, Sequence[str]]) -> Repairs | None:
        """These repairs, if together they take and open nothing. Raises DeadlineError."""
        texts: dict[str, list[str]] = {}
        for demand, names in demands.items():
            texts.setdefault(self._render(list(demands), demand), []).extend(names)
        is_by_policy = all(demand.altered is not None for demand in demands)
        scope = self._trials.everything(is_by_policy=is_by_policy)
        text = "\n".join(texts)
        after = self._trials.run(text, scope, writes=self._opening(()))
        if after is None:
            return None
        asking = frozenset[str]().union(*(demand.asking for demand in demands))
        of_service = [demand.changed_tables for demand in demands if demand.is_of_service]
        known = self._trials.seen_before(scope)
        verdict = self._judge.verdict(
            known,
            after,
            is_open=False,
            asking=asking,
            kept=self._kept(demands, text, known, after),
            of_service=frozenset[int]().union(*of_service),
        )
        if verdict.takes or verdict.opens or verdict.alters:
            return None
        made = tuple(Repair(tuple(names), text) for text, names in texts.items())
        return Repairs(made, verdict.closes, gives=verdict.gives)

    def _tried(self, leak: AnyLeak, candidates: Iterable[Demand]) -> Iterator[Demand]:
        """Those that were chosen for other leaks first: one change may close several."""
        ordered = list(candidates)
        touched = [demand.changed_tables | demand.changed_functions for demand in ordered]
        changed = frozenset().union(*touched)
        for demand in self._chosen:
            tables, functions = demand.changed_tables, demand.changed_functions
            same = bool(changed & (tables | functions))
            if isinstance(leak, ShownLeak):  # of which a short look says whether it closes it
                same = same or self._trials.scope(tables, functions).has(leak)
            if same or leak.kind is escalation.KIND:
                yield demand
        yield from ordered

    def _try(
        self, leak: AnyLeak, demand: Demand, text: str, cells: Collection[Cell]
    ) -> "_Tried | None":
        """A change with its effects; None if its statements fail. Whether one that takes something
        closes the leak is only found out on demand.
        """
        others = [
            (other, other_cells)
            for other, other_cells, chosen in self._closed
            if demand.changes_policies_of(chosen)
        ]
        leaks = [leak, *(other for other, _ in others)]
        labels = [one.label for one in leaks if one.kind is escalation.KIND]
        scope = self._trials.scope(
            demand.changed_tables,
            demand.changed_functions,
            labels,
            is_by_policy=demand.altered is not None,
        )
        if not scope.has(leak):
            return None
        after = self._trials.run(text, scope, demand.altered, self._opening(leaks))
        if after is None:
            return None
        known = self._trials.seen_before(scope)
        verdict = self._judge.verdict(
            known,
            after,
            is_open=False,
            leak=leak,
            asking=demand.asking,
            kept=self._kept([demand], text, known, after),
            of_service=demand.changed_tables if demand.is_of_service else (),
        )
        decided = leak.severity is not Severity.WARNING and not self._is_only_way(leak)
        decided |= self._judge.has_baseline or demand.is_of_service
        if decided or cells or demand.asks:
            # what an error is about may end, whatever it is for; a baseline says what may not
            verdict = replace(verdict, ends=())

        def is_open() -> bool:
            closed = [(leak, cells), *others]  # by statements that have the edits of all
            is_left = any(self._is_open(one, after, of_one) for one, of_one in closed)
            is_left = is_left or any(self._opens_otherwise(one, text) for one in leaks)
            return is_left or (isinstance(leak, BrokenAccess) and not verdict.gives)

        one = _Tried(text, verdict, is_open)
        if not verdict.is_proven:
            return one
        proven = self._proven(leak, demand, one, scope, known, after)
        if proven is None:
            return None
        return replace(one, verdict=proven, is_open=lambda: proven.is_open)

    def _proven(
        self,
        leak: AnyLeak,
        demand: Demand,
        tried: "_Tried",
        scope: Scope,
        known: Seen,
        after: Seen,
    ) -> Verdict | None:
        """The effects of a change that takes nothing of what was tried again, with all that only
        some changes could take; None if nothing shows the leak without it.
        """
        text, verdict = tried.text, tried.verdict
        if tried.is_open():
            return replace(verdict, is_open=True)
        if demand.guard is not None and demand.of_new_rows:
            verdict = self._with_way_back(leak, verdict, text)
        if verdict.is_proven and not self._is_shown(leak, scope):
            return None
        if verdict.is_proven:
            lost = [*self._lost_by_staff(known, after)]
            if not demand.is_of_service:
                lost += self._lost_by_ways(leak, demand, text, scope)
            if isinstance(leak, ShownLeak):
                lost += [*self._lost_values(leak, text), *self._lost_by_colleagues(leak, text)]
            verdict = replace(verdict, takes=_in_order(lost))
        if demand.is_new:
            verdict = replace(verdict, leaves=_new_questions(known, after))
        asked = [ask for function in demand.acting for ask in _unseen_writes(known, function)]
        verdict = replace(verdict, leaves=(*verdict.leaves, *asked))
        if isinstance(leak, ShownLeak) and (left := self._still_written(leak, after)):
            ask = f"Whoever does so still writes {', '.join(left)}, which others gave the row."
            verdict = replace(verdict, leaves=(*verdict.leaves, f"{ask} May they?"))
        if isinstance(leak, ShownLeak):
            verdict = self._with_author(leak, verdict, text)
        if verdict.is_proven:
            known_ids = {one.id for one in self._trials.before.leaks}
            new = [one for name, one in after.faults.items() if name not in known_ids]
            shows = tuple(one.message for one in new)
            if isinstance(leak, ShownLeak):
                shows += self._left_in_new_rows(leak, known, after, text)
            verdict = replace(verdict, shows=shows)
        return verdict

    def _with_author(self, leak: ShownLeak, verdict: Verdict, text: str) -> Verdict:
        """The effects of a repair on who adds rows in their own name: one column names who adds a
        row, and the others whom it is about. Where nothing says which one it is, the repair decides
        it.
        """
        tried = self._attempt(leak)
        if leak.kind is not forged.KIND or tried.action != INSERT or self._judge.has_baseline:
            return verdict
        rows = self._trials.in_own_name(tried.relation)
        if not rows:
            return verdict
        best = authors(self._trials.before.plan, tried.relation, list(rows))
        reached = self._trials.reaching(text, [*rows.values()])
        kept = [name for name, is_kept in zip(rows, reached, strict=True) if is_kept]
        lost = [
            NamedCell(rows[name].caller.label, f"insert as {name} of {tried.label} only")
            for name in best
            if name not in kept
        ]
        ask = f"Whoever {' or '.join(kept)} of {tried.label} names adds a row, also about others."
        leaves = () if not kept or kept == best[:1] == best else (f"{ask} May they?",)
        return replace(verdict, takes=(*verdict.takes, *lost), leaves=(*verdict.leaves, *leaves))

    def _lost_values(self, leak: ShownLeak, text: str) -> Iterator[NamedCell]:
        """The new rows that the caller of a leak adds no more although they open nothing: those
        with the default of a column that the leak is about, which an app may name, and those with
        a role, which who signs up may choose.
        """
        tried = self._attempt(leak)
        is_of_column = leak.kind.of_column and bool(tried.column)
        if tried.action != INSERT or not is_of_column or self._judge.has_baseline:
            return
        opening = {
            gain.write.written.get(tried.column)
            for gain in self._trials.before.gains
            if gain.write.relation is tried.relation and gain.write.action == INSERT
        }
        is_role = leak.kind in (escalation.KIND, privileged_column.KIND)
        valued = self._trials.with_values(tried, with_labels=is_role)
        rows = [one for one in valued if one.value not in opening]
        added = self._trials.reaching(_NOTHING, rows) if rows else []
        rows = [one for one, is_added in zip(rows, added, strict=True) if is_added]
        kept = self._trials.reaching(text, rows) if rows else []
        for one, is_kept in zip(rows, kept, strict=True):
            if not is_kept:
                does = f"insert of own rows with {tried.column} = {one.value} of {tried.label}"
                yield NamedCell(tried.caller.label, does)

    def _lost_by_colleagues(self, leak: ShownLeak, text: str) -> Iterator[NamedCell]:
        """The losses of a second person with the strongest role of a group, of rows that the first
        one has added. In the world one person has it: the rows get the name of the other member.
        """
        tried = self._attempt(leak)
        if leak.kind is not two_groups.KIND or tried.caller.user is None:
            return
        names = named_persons(self._trials.before.plan, tried.relation)
        place = tried.label, tried.action, OWN, OWNER
        for one in self._trials.before.cells.values():
            if not isinstance(one, Attempt) or one.caller.operation:
                continue
            if (one.label, one.action, one.whose, one.caller.kind) == place:
                given = self._trials.given(one, names, tried.caller.user) or _NOTHING
                is_right = any(self._trials.reaching(given, [one]))
                if is_right and not any(self._trials.reaching(f"{given}\n{text}", [one])):
                    yield NamedCell(one.caller.label, f"{one.does} of rows of a colleague")
                return

    def _is_only_way(self, leak: AnyLeak) -> bool:
        """Whether a leak is about new rows of a table to which no function or trigger of the
        project adds any: then the app adds them by the same policies.
        """
        if not isinstance(leak, ShownLeak) or leak.tried.action != INSERT:
            return False
        oid = self._attempt(leak).relation.oid
        added = self._trials.before.plan.usage.bodies.adds.values()
        return not any(oid in tables for tables in added)

    def _with_way_back(self, leak: AnyLeak, verdict: Verdict, text: str) -> Verdict:
        """The effects of a trigger on what it was to let pass."""
        assert isinstance(leak, ShownLeak)  # noqa: S101  it is about a column of an update
        tried = self._attempt(leak)
        passes = self._trials.moves_back(text, tried)
        if passes is None:
            return replace(verdict, unseen=(f"the condition of the trigger on {tried.column}",))
        return verdict if passes else replace(verdict, takes=(_named(tried),))

    def _still_written(self, leak: ShownLeak, after: Seen) -> list[str]:
        """The further columns of a leak that its caller still writes, and that who adds a row gives
        it: they have no default, and are no flag or time, which others set later.
        """
        tried = self._attempt(leak)
        names = {
            one.column
            for one in after.cells.values()
            if isinstance(one, Attempt) and one.row is tried.row and one.action == UPDATE
            if one.caller is tried.caller
        }
        columns = [tried.relation.by_name[name] for name in leak.further if name in names]
        return [
            column.name
            for column in columns
            if column.default is None and (column.is_demanded or column.category not in ("B", "D"))
        ]

    def _left_in_new_rows(
        self, leak: ShownLeak, known: Seen, after: Seen, text: str
    ) -> tuple[str, ...]:
        """A sentence if who writes a column no more, by which somebody decides about a row, gives a
        new one the same value, and no other finding says so.
        """
        tried = self._attempt(leak)
        if leak.kind is not service_column.KIND or tried.action != UPDATE:
            return ()
        told = (tried.relation.label, INSERT, tried.column)
        for one in (*self._trials.before.leaks, *after.faults.values()):
            about = one.tried if isinstance(one, ShownLeak) else None
            if about and (about.table.label, about.action, about.column) == told:
                return ()
        own = [one for one in _gone(known, after) if isinstance(one, Attempt) and one.whose == OWN]
        ended = {
            one.caller.label: one
            for one in own
            if (one.label, one.action, one.column) == (tried.label, UPDATE, tried.column)
        }
        added = []
        for new in after.cells.values():
            if not isinstance(new, Attempt) or new.action != INSERT or new.name:
                continue
            if (new.label, new.whose) == (tried.label, OWN) and new.caller.label in ended:
                added.append(paths.in_new_row(new, ended[new.caller.label]))
        some = [one for one in added if one is not None][: LIMITS.attempts_in_batch]
        if not some or not any(self._trials.reaching(text, some)):
            return ()
        return (f"Users still choose {tried.column} of new rows of {tried.label}",)

    def _kept(
        self, demands: Iterable[Demand], text: str, known: Seen, after: Seen
    ) -> list[Attempt]:
        """The attempts that were not made again and still reach their targets: a trigger refuses
        what policies refuse, so that nobody tries to evade these.
        """
        if all(demand.guard is None for demand in demands):
            return []
        gone = [one for one in _gone(known, after) if isinstance(one, Attempt)]
        some = gone[: LIMITS.attempts_in_batch]
        reached = self._trials.reaching(text, some) if some else []
        return [one for one, is_reached in zip(some, reached, strict=True) if is_reached]

    def _opens_otherwise(self, leak: AnyLeak, text: str) -> bool:
        """Whether the new row of an escalation still opens something with another label."""
        if not isinstance(leak, ShownLeak) or leak.kind is not escalation.KIND:
            return False
        return self._trials.opens_otherwise(text, self._attempt(leak))

    def _is_shown(self, leak: AnyLeak, scope: Scope) -> bool:
        """Whether a trial that changes nothing shows the leak of a view or function, so that its
        absence says something.
        """
        if not isinstance(leak, ExplainedLeak) or isinstance(leak, BrokenAccess):
            return True
        same = self._trials.run(_NOTHING, scope, frozenset(), frozenset())
        return same is not None and any(found.id == leak.id for found in same.leaks)

    def _lost_by_ways(
        self, leak: AnyLeak, demand: Demand, text: str, scope: Scope
    ) -> Iterator[NamedCell]:
        """The losses of somebody who has one way only to the rows. The cells of a leak of the owner
        may end for the one whose leak it is, not for several.
        """
        altered = demand.altered
        attempts: dict[Hashable, Attempt] = {}
        for one in self._trials.before.cells.values():
            if not isinstance(one, Attempt) or one.caller.kind != OWNER or one.action == INSERT:
                continue
            if one.caller.role == "anon":
                continue
            place = one.relation.oid, one.action
            is_changed = place[0] in demand.changed_tables
            is_changed &= altered is None or place in altered
            if is_changed and one.whose == OWN and not (one.is_state or self._judge.leaves(one)):
                attempts.setdefault((*place, one.column), one)
        actor = None
        if isinstance(leak, ShownLeak):
            actor = self._trials.before.attempts[leak.tried.number].caller
        is_outsider = actor is None or actor.is_outsider
        changed = [f for f in scope.functions if f.oid in demand.changed_functions]
        above: dict[int, Sequence[Attempt]] = {}
        if leak.kind is hidden_parent.KIND:  # a part of a row that one cannot read is no right
            above = {id(one): self._judge.above(one) for one in attempts.values()}
        lost: dict[Attempt | str, list[Way]] = {}
        for way, what in self._trials.lost_by_ways(
            text, changed, list(attempts.values()), actor if is_outsider else None, above
        ):
            lost.setdefault(what, []).append(way)
        for what, ways in lost.items():
            is_needed = isinstance(what, str) or not self._judge.may_end(what)
            for way in ways if is_needed or len(ways) > 1 else ():
                does = f"call of {what}" if isinstance(what, str) else _named(what).what
                yield NamedCell("owner", f"{does}, {way}")

    def _lost_by_staff(self, before: Seen, after: Seen) -> Iterator[NamedCell]:
        """The rows of others that a view or function shows to outsiders before a change, and that
        none of those with a role of the whole project, for whom it may be, reads otherwise.
        """
        still = {_shown_to(one) for one in after.bypasses if one.said.seen}
        shown: dict[Hashable, list[Bypass]] = {}
        for one in before.bypasses:
            is_seen = bool(one.said.seen) and one.caller.is_outsider
            if is_seen and _shown_to(one) not in still:
                shown.setdefault(_shown_to(one), []).append(one)
        for seen in shown.values():
            rows = {id(row) for one in seen for row in one.said.seen}
            refused = self._refused_to_staff
            staff = [who for who in refused if who.role == seen[0].caller.role]
            for who in staff if all(rows & refused[who] for who in staff) else ():
                yield NamedCell(who.label, f"rows of others by {seen[0].label}")

    @cached_property
    def _refused_to_staff(self) -> Mapping[Persona, set[int]]:
        """The rows, by identity, that are hidden from those who have a role of the whole project,
        not of the tenant in their claims: with it, they reach rows that no outsider reaches.
        """
        tried = [
            a
            for a in self._trials.before.attempts
            if a.caller.kind == CLAIM and not (a.caller.tenant and a.caller.tenant.claims)
        ]
        general = {
            (id(a.row), a.action)
            for a in self._trials.before.attempts
            if a.caller.is_outsider and a.reached
        }
        staff = {
            a.caller
            for a in tried
            if a.reached and a.whose != OWN and (id(a.row), a.action) not in general
        }
        refused: dict[Persona, set[int]] = {who: set() for who in staff}
        for act in tried:
            if act.caller in staff and act.action == SELECT and not act.reached:
                refused[act.caller].add(id(act.row))
        return refused

    def _by_other_paths(self, leak: AnyLeak, demand: Demand, text: str) -> Verdict | None:
        """The effects on acts that pass by other conditions of the same policies than the leaks
        that a repair closes: what is lost of them, and the conditions by which nobody passes; None
        if there are none. A baseline says itself what may not end.
        """
        if not isinstance(leak, ShownLeak) or self._judge.has_baseline:
            return None
        leaks = [
            other
            for other, _, chosen in self._closed
            if chosen is demand or demand.changes_policies_of(chosen)
        ]
        leaks.append(leak)
        shown = [self._attempt(one) for one in leaks if isinstance(one, ShownLeak)]
        tried = self._attempt(leak)
        takes = [
            NamedCell(tried.caller.label, f'what policy "{policy.name}" permits by name: {does}')
            for policy in paths.permitting(demand, tried, is_of_column=leak.kind.of_column)
            for does in [_named(tried).what]
        ]
        found = paths.of_demand(demand, tried.relation, tried.caller.role)
        is_meant = any(path.is_open for path in found.ended) or self._is_part_of_read(tried)
        if leak.kind is public.KIND and is_meant:
            takes.append(_named(tried))
        if takes or len(found.ended) < 2:
            return Verdict(closes=1, takes=_in_order(takes)) if takes else None
        own = [p for p in found.ended if any(self._trials.reaching(found.only(p), shown))]
        others = [path for path in found.ended if path not in own]
        if not (own and others):
            return None
        acts = self._acts(found, demand, tried, is_owners=leak.kind is not service_column.KIND)
        kept = self._trials.reaching(text, acts)
        elsewhere = self._trials.reaching(found.only(None), acts)
        shared = [self._trials.reaching(found.only(path), acts) for path in own]
        unseen = []
        for path in others:
            passing = self._trials.reaching(found.only(path), acts)
            is_seen = False
            for number, act in enumerate(acts):
                if not passing[number] or elsewhere[number]:
                    continue
                is_of_leak = any(one[number] for one in shared)
                # a guest writes the same column of a row of its own
                is_same = leak.kind.of_column and act.whose == OWN and belongs(act, leak)
                is_seen |= kept[number] or is_same or not is_of_leak
                if not (kept[number] or is_of_leak or is_same):
                    takes.append(_named(act))
            if not is_seen:
                unseen.append(str(path))
        if not (takes or unseen):
            return None
        return Verdict(closes=1, takes=_in_order(takes), unseen=tuple(unseen))

    def _is_part_of_read(self, one: Attempt) -> bool:
        """Whether a row is a part of rows that its policies query, and that the caller reads: who
        reads these was to read it.
        """
        above, queried = self._judge.above(one), self._trials.queried(one.relation)
        return bool(above) and all(read.reached and read.relation.oid in queried for read in above)

    def _attempt(self, leak: ShownLeak) -> Attempt:
        """The attempt that shows a leak."""
        return self._trials.before.attempts[leak.tried.number]

    def _acts(
        self, found: paths.Paths, demand: Demand, tried: Attempt, *, is_owners: bool
    ) -> list[Attempt]:
        """Acts that the policies of a repair let pass, of each caller, kind of row and action one;
        of updates also that of the column that a leak is about. If it does not say whose the row
        is, others may be meant to write themselves into it.
        """
        tables = {relation.oid for relation, _ in found.policies}
        altered, acts = demand.altered, dict[Hashable, Attempt]()
        for one in self._trials.before.cells.values():
            if not isinstance(one, Attempt) or one.relation.oid not in tables:
                continue
            is_altered = altered is None or (one.relation.oid, one.action) in altered
            if not is_altered or one.caller.kind == SERVICE or self._judge.leaves(one):
                continue
            key = one.caller.label, one.label, one.whose, one.action
            acts.setdefault(key, one)
            if demand.columns is not None and one.action == UPDATE:
                same: Attempt | None = paths.of_column(one, tried)
                if same is not None and self._judge.moves(same):
                    keep = paths.unchanged if is_owners else paths.in_own_name
                    same = keep(one, tried.column)
                if same is not None:
                    acts.setdefault((*key, tried.column), same)
        return list(acts.values())[: LIMITS.attempts_in_batch]

    def _opening(self, leaks: Iterable[AnyLeak]) -> frozenset[Altered] | None:
        """The writes that a trial repeats what they open after: those of these leaks, all if
        something that is refused may be given.
        """
        if self._judge.gives:
            return None
        return frozenset(
            (self._trials.oid(one.tried.table.label), one.tried.action)
            for one in leaks
            if isinstance(one, ShownLeak) and one.kind is escalation.KIND
        )

    def _lost(self, demand: Demand, text: str) -> int:
        """The number of rows and actions that should stay, of some on the changed tables, and that
        end with these statements.
        """
        tables, altered = demand.changed_tables, demand.altered
        needed: dict[Hashable, Attempt] = {}
        for one in self._needed:
            oid = one.relation.oid
            if oid in tables and (altered is None or (oid, one.action) in altered):
                needed.setdefault(place_of(one), one)
        some = list(needed.values())[: LIMITS.attempts_in_batch]
        return len(some) - self._trials.kept(text, some) if some else 0

    @cached_property
    def _needed(self) -> Sequence[Attempt]:
        """The attempts that reach what should stay."""
        cells = self._trials.before.cells.values()
        return [c for c in cells if isinstance(c, Attempt) and not self._judge.may_end(c)]

    def _still_reaches(self, leak: AnyLeak, text: str) -> bool:
        """Whether the attempt of a leak still passes; that of an escalation may."""
        if not isinstance(leak, ShownLeak) or leak.kind is escalation.KIND:
            return False
        return self._trials.still_reaches(text, leak.tried.number)

    def _is_open(self, leak: AnyLeak, after: Seen, cells: Collection[Cell]) -> bool:
        """Whether the leak, or one of the cells, is still there."""
        if not cells:
            known = {one.id for one in self._trials.before.leaks}
            is_found = any(
                found.id == leak.id or (found.id not in known and _is_part_of(found, leak))
                for found in after.leaks
            )
            return is_found or _is_kept(leak, after)
        now = dict.fromkeys(wider(after.granted, self._accepted))
        return any(cell in now for cell in cells)


def _columns_of(leak: AnyLeak, label: str) -> Collection[str]:
    """The columns of existing rows of a table that a finding is about."""
    if isinstance(leak, Question):
        return [str(topic) for topic in leak.topics] if leak.object == label else ()
    if not isinstance(leak, ShownLeak) or leak.tried.table.label != label:
        return ()
    is_of_columns = leak.kind.of_column or leak.columns
    if leak.tried.action != UPDATE or not is_of_columns or not leak.severity.is_problem:
        return ()
    return leak.columns or [leak.tried.column]


def _without_one(demands: dict[Demand, list[str]]) -> Iterator[Mapping[Demand, list[str]]]:
    """All demands, and all but one of them, the later ones first."""
    if not demands:
        return
    yield demands
    for left_out in reversed(demands):
        rest = {demand: names for demand, names in demands.items() if demand is not left_out}
        if rest:
            yield rest


def _least(tried: Iterable["_Tried"]) -> "_Tried | None":
    """The one that takes least, of those that close the leak and open nothing."""
    some = [one for one in tried if not (one.verdict.opens or one.verdict.is_open)]
    ordered = sorted(some, key=lambda one: one.verdict.loss)
    return next((one for one in ordered if not one.is_open()), None)


def _new_questions(before: Seen, after: Seen) -> tuple[str, ...]:
    """The questions that are open after a change only."""
    known = {leak.id for leak in before.leaks}
    return tuple(one.finding.message for one in after.questions if one.id not in known)


def _unseen_writes(seen: Seen, function: Function) -> Iterator[str]:
    """A question for each table whose rows a function changes or deletes, and nobody who may was
    seen to do so by a call, such as the last member of a group: without a right to that, the call
    would do nothing, and answer as before.
    """
    calls = [use for use in seen.uses if use.is_change and use.function == function.signature]
    for table in writes.changed_tables(seen.plan.catalog, function):
        if not any(use.given.startswith(f"{table.label} ") for use in calls):
            yield (
                f"No call was seen to change rows of {table.label} by {function.signature}, which"
                " its callers then need a right to. Have they one?"
            )


def _is_part_of(one: AnyLeak, leak: AnyLeak) -> bool:
    """Whether a leak is another one for rows of the same table in some state only."""
    if not (isinstance(one, ShownLeak) and isinstance(leak, ShownLeak)):
        return False
    is_same = one.kind is leak.kind and one.tried.action == leak.tried.action
    return is_same and one.tried.table.label == leak.tried.table.label


def _is_kept(leak: AnyLeak, after: Seen) -> bool:
    """Whether a column of one's own row can still be written: a grant of columns may make that look
    intended.
    """
    if not isinstance(leak, ShownLeak) or not leak.kind.of_column:
        return False
    if leak.kind is escalation.KIND:
        return False
    tried = leak.tried
    return any(
        isinstance(one, Attempt)
        and (one.label, one.action, one.column) == (tried.object, tried.action, tried.column)
        and (one.whose, one.caller.label) == (tried.whose, tried.actor.label)
        for one in after.cells.values()
    )


_NO_REPAIR = (
    "-- No statement was found that closes it and leaves the access of others as it is. Decide who"
    "\n-- should have this access, and change the cause above."
)

_LATE = Proven(text="-- Not tried: the time of the audit is over.", left=Left.LATE)


def _proof(verdict: Verdict) -> str:
    """The effects of a repair in words, and what it leaves."""
    if not verdict.shows:
        return _effects(verdict)
    sentence = f"{_effects(verdict)} It leaves: {'; '.join(verdict.shows)}."
    lines = wrap(sentence, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n-- ".join(lines)


def _effects(verdict: Verdict) -> str:
    closed = "1 cell" if verdict.closes == 1 else f"{verdict.closes} cells"
    if not verdict.gives:
        return f"Tried: it closes {closed} and takes none."
    given = "1 cell" if verdict.gives == 1 else f"{verdict.gives} cells"
    return f"Tried: it gives {given} that policies permit, and opens and takes no other."


def _question(text: str, verdict: Verdict) -> Proven:
    takes = (*verdict.takes, *verdict.alters)
    named = takes[: LIMITS.named]
    shown = "; ".join(map(str, named))
    rest = len(takes) - LIMITS.named
    shown += f"; and {rest} more" if rest > 0 else ""
    sentence = f"Tried: it would take: {shown}. If that is intended, run:"
    if not takes:
        sentence = (
            f"Tried: nobody is left with: {'; '.join(verdict.ends)}. If nobody needs that, run:"
        )
    if not takes and verdict.leaves:
        sentence = f"Tried: it takes none, and leaves a question. {verdict.leaves[0]} If so, run:"
    elif not takes and not verdict.ends:
        unseen = "; ".join(verdict.unseen)
        sentence = (
            f"Not proven: no caller of the audit passes by {unseen}. If nobody needs that, run:"
        )
    lines = wrap(sentence, _WIDTH, break_long_words=False, break_on_hyphens=False)
    callers = tuple(dict.fromkeys(cell.caller for cell in named))
    left = Left.TAKES if takes or verdict.ends else Left.UNKNOWN
    return Proven(text=as_comment("\n".join([*lines, text])), callers=callers, left=left)


def _in_order(cells: Iterable[NamedCell]) -> tuple[NamedCell, ...]:
    return tuple(sorted(set(cells), key=str))


def _named(one: Attempt | Bypass) -> NamedCell:
    """A cell in words."""
    if isinstance(one, Bypass):
        return NamedCell(one.caller.label, f"{one.action} of {one.label}")
    whose = _WHOSE.get(one.whose, "rows of others")
    return NamedCell(one.caller.label, f"{one.does} of {whose} of {one.label}")


def _key_of_topic(one: TopicAttempt) -> Hashable:
    return one.caller.label, one.topic, one.action, one.extension


def _named_topic(one: TopicAttempt) -> NamedCell:
    does = "receive" if one.action == SELECT else "send"
    return NamedCell(one.caller.label, f"{does} on {one.topic.shown}")


def _of_cell(cell: Cell) -> NamedCell:
    return NamedCell(str(cell.caller), f"{cell.permission} of {cell.object}")
