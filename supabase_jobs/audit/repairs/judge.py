"""The effects of a change of a database: the cells that it closes, takes and opens."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from supabase_jobs.audit.baseline import wider
from supabase_jobs.audit.callers import CLAIM, SERVICE
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.leaks import (
    added_member,
    escalation,
    forged,
    hidden_parent,
    untested_column,
)
from supabase_jobs.audit.leaks.leak import (
    AnyLeak,
    BrokenAccess,
    ShownLeak,
)
from supabase_jobs.audit.probes.attempt import (
    ADD,
    CHOOSE,
    INSERT,
    OPEN,
    OWN,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import Bypass, Inquiry, ViewRead
from supabase_jobs.audit.probes.comparison import words
from supabase_jobs.audit.repairs import answers
from supabase_jobs.audit.repairs.belonging import (
    belongs,
    is_about_column,
    is_alike,
    is_of_outsider,
    is_of_parts,
    is_only_read,
    shows_hidden,
)
from supabase_jobs.audit.repairs.boundaries import Boundaries
from supabase_jobs.audit.repairs.seen import Seen, place_of
from supabase_jobs.audit.repairs.verdict import NamedCell, Verdict, cell_in_words, cell_of, in_order
from supabase_jobs.audit.rows.states import identity
from supabase_jobs.findings import (
    Access,
    AccessObject,
    Cell,
    Severity,
)
from supabase_jobs.findings.permission import beyond

_YES = (["t"], ["true"])


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
        lost = [one for one in gone(before, after) if one not in kept]
        meant = [one for one in lost if not _is_on(one, of_service)]
        new = [one for one in after.cells.values() if place_of(one) not in before.places]
        given = [one for one in new if self._is_restored(one)]
        won = [one for one in new if one not in given]
        takes = [
            cell_of(one)
            for one in meant
            if not (self.may_end(one) or (asking and is_of_outsider(one))) or self._stays(one, leak)
        ]
        takes += self._end_of_joining(meant, after)
        takes += [cell_in_words(cell) for cell in self._taken(before, after)]
        takes += [
            NamedCell(use.caller, f"call of {use.function}")
            for use in before.uses - after.uses
            if not use.is_answer
        ]
        # the project decides who has a claim that it sets
        opens = [
            str(cell_of(one)) for one in won if not self._is_known(one) and one.caller.kind != CLAIM
        ]
        opens += [
            str(cell_in_words(cell))
            for cell in wider(after.granted, before.granted)
            if self._is_known_name(cell.object) and not self._has(cell)
        ]
        if given:
            opens += [name for name in after.faults if name not in before.faults]
        return Verdict(
            closes=len(lost) if given else max(1, len(lost)),
            gives=len(given),
            takes=in_order(takes),
            opens=tuple(sorted(set(opens))),
            is_open=is_open,
            ends=tuple(_ended(lost, before, after, kept)),
            alters=in_order(
                NamedCell(one.caller.label, f"the same answer of {one.label}")
                for one in self._made_wrong(before, after)
                if one.label not in asking
            ),
        )

    def _is_restored(self, one: Attempt | Bypass) -> bool:
        """Whether policies permit a cell that was refused by something else."""
        if isinstance(one, Bypass):
            return bool(self._broken) and not shows_hidden(one)
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
            leak for leak in self._leaks if leak.kind is forged.KIND and is_alike(one, leak)
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
        is_kept = self._is_sign_up(one) and not is_about_column(one, leak)
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
            return any(is_of_parts(leak) and is_alike(one, leak) for leak in self._leaks)
        return bool(reads) and all(map(self._is_of_outsider, reads))

    def _is_of_outsider(self, read: Attempt) -> bool:
        """Whether only leaks let an outsider read a row."""
        return read.caller.is_outsider and any(belongs(read, leak) for leak in self._leaks)

    def _stays(self, one: Attempt | Bypass, leak: AnyLeak | None) -> bool:
        """Whether a cell that may end is no matter of a leak: the reading by a view is decided with
        the writing by it only if both are errors.
        """
        if leak is None or self._is_known(one) or not is_only_read(one, leak):
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
                yield cell_of(one)

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

    def is_open(self, leak: AnyLeak, before: Seen, after: Seen, cells: Collection[Cell]) -> bool:
        """Whether the leak, or one of the cells, is still there."""
        if not cells:
            known = {one.id for one in before.leaks}
            is_found = any(
                found.id == leak.id or (found.id not in known and _is_part_of(found, leak))
                for found in after.of_kind(leak.kind)
            )
            return is_found or _is_kept(leak, after)
        now = dict.fromkeys(wider(after.granted, self._accepted))
        return any(cell in now for cell in cells)


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
    if not isinstance(leak, ShownLeak) or leak.kind is escalation.KIND:
        return False
    tried = leak.tried
    names = {tried.column} if leak.kind.of_column else set[str]()
    if leak.kind is untested_column.KIND and tried.action == UPDATE:
        names = {*leak.columns}
    return any(
        isinstance(one, Attempt)
        and one.column in names
        and (one.label, one.action) == (tried.object, tried.action)
        and (one.whose, one.caller.label) == (tried.whose, tried.actor.label)
        for one in after.cells.values()
    )


def gone(before: Seen, after: Seen) -> list[Attempt | Bypass]:
    """The cells that a change has ended, or to which nothing has led again."""
    return [one for key, one in before.cells.items() if key not in after.cells]


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


def _ended(
    lost: Iterable[Attempt | Bypass], before: Seen, after: Seen, still: Iterable[Attempt]
) -> Iterator[str]:
    """The uses of objects that end, and that nobody but the service is left with: neither with a
    row of a view in the same role, nor with the same answer of a function, nor with any in the same
    role, nor with a yes of one that nothing but a request calls. `still` are attempts that reach
    their targets after other ones.
    """
    kept = {_use_of(one) for one in still if one.caller.kind != SERVICE}
    kept |= {_use_of(one) for one in after.cells.values() if one.caller.kind != SERVICE}
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
