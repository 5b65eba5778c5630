"""Losses that only some repairs can cause, and that no further trial of all callers shows."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from supabase_jobs.audit.callers import CLAIM, OWNER, Persona
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.leaks import (
    escalation,
    forged,
    hidden_parent,
    privileged_column,
    service_column,
    two_groups,
)
from supabase_jobs.audit.leaks.leak import (
    AnyLeak,
    ShownLeak,
)
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.attempt import (
    INSERT,
    OWN,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.repairs import paths, writes
from supabase_jobs.audit.repairs.demand import Demand
from supabase_jobs.audit.repairs.judge import Judge, gone
from supabase_jobs.audit.repairs.owners import authors, named_persons
from supabase_jobs.audit.repairs.seen import Scope, Seen
from supabase_jobs.audit.repairs.trials import Trials
from supabase_jobs.audit.repairs.verdict import (
    NamedCell,
    Verdict,
    cell_of,
)
from supabase_jobs.audit.repairs.ways import Way

_NOTHING = "select"  # a statement without an effect


class Losses:
    """Looks for what a repair takes or leaves beside the cells that a trial compares."""

    def __init__(self, trials: Trials, judge: Judge) -> None:
        self._trials, self._judge = trials, judge

    def by_ways(
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
            actor = self._trials.shown_by(leak).caller
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
                does = f"call of {what}" if isinstance(what, str) else cell_of(what).what
                yield NamedCell("owner", f"{does}, {way}")

    def by_staff(self, before: Seen, after: Seen) -> Iterator[NamedCell]:
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

    def of_values(self, leak: ShownLeak, text: str) -> Iterator[NamedCell]:
        """The new rows that the caller of a leak adds no more although they open nothing: those
        with the default of a column that the leak is about, which an app may name, and those with
        a role, which who signs up may choose.
        """
        tried = self._trials.shown_by(leak)
        is_of_column = leak.kind.of_column and bool(tried.column)
        if tried.action != INSERT or not is_of_column or self._judge.has_baseline:
            return
        opening = {
            gain.write.written.get(tried.column)
            for gain in self._trials.before.gains
            if gain.write.relation is tried.relation and gain.write.action == INSERT
        }
        is_role = leak.kind in (escalation.KIND, privileged_column.KIND)
        valued = self._trials.variants.with_values(tried, with_labels=is_role)
        rows = [one for one in valued if one.value not in opening]
        added = self._trials.reaching(_NOTHING, rows) if rows else []
        rows = [one for one, is_added in zip(rows, added, strict=True) if is_added]
        kept = self._trials.reaching(text, rows) if rows else []
        for one, is_kept in zip(rows, kept, strict=True):
            if not is_kept:
                does = f"insert of own rows with {tried.column} = {one.value} of {tried.label}"
                yield NamedCell(tried.caller.label, does)

    def by_colleagues(self, leak: ShownLeak, text: str) -> Iterator[NamedCell]:
        """The losses of a second person with the strongest role of a group, of rows that the first
        one has added. In the world one person has it: the rows get the name of the other member.
        """
        tried = self._trials.shown_by(leak)
        if leak.kind is not two_groups.KIND or tried.caller.user is None:
            return
        names = named_persons(self._trials.before.plan, tried.relation)
        place = tried.label, tried.action, OWN, OWNER
        for one in self._trials.before.cells.values():
            if not isinstance(one, Attempt) or one.caller.operation:
                continue
            if (one.label, one.action, one.whose, one.caller.kind) == place:
                given = self._trials.variants.given(one, names, tried.caller.user) or _NOTHING
                is_right = any(self._trials.reaching(given, [one]))
                if is_right and not any(self._trials.reaching(f"{given}\n{text}", [one])):
                    yield NamedCell(one.caller.label, f"{one.does} of rows of a colleague")
                return

    def with_author(self, leak: ShownLeak, verdict: Verdict, text: str) -> Verdict:
        """The effects of a repair on who adds rows in their own name: one column names who adds a
        row, and the others whom it is about. Where nothing says which one it is, the repair decides
        it.
        """
        tried = self._trials.shown_by(leak)
        if leak.kind is not forged.KIND or tried.action != INSERT or self._judge.has_baseline:
            return verdict
        rows = self._trials.variants.in_own_name(tried.relation)
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

    def with_way_back(self, leak: AnyLeak, verdict: Verdict, text: str) -> Verdict:
        """The effects of a trigger on what it was to let pass."""
        assert isinstance(leak, ShownLeak)  # noqa: S101  it is about a column of an update
        tried = self._trials.shown_by(leak)
        passes = self._trials.moves_back(text, tried)
        if passes is None:
            return replace(verdict, unseen=(f"the condition of the trigger on {tried.column}",))
        return verdict if passes else replace(verdict, takes=(cell_of(tried),))

    def still_written(self, leak: ShownLeak, after: Seen) -> list[str]:
        """The further columns of a leak that its caller still writes, and that who adds a row gives
        it: they have no default, and are no flag or time, which others set later.
        """
        tried = self._trials.shown_by(leak)
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

    def unset(self, demand: Demand) -> Iterator[str]:
        """A question about each number that new rows then have by default, and that nothing of the
        project sets: the app may compute it, as the total of an order.
        """
        if demand.defaults is None:
            return
        relation, names = demand.defaults
        usage = self._trials.before.plan.usage
        given = usage.triggers.computed.union(*usage.bodies.sets.values())
        is_added = any(relation.oid in tables for tables in usage.bodies.adds.values())
        for name in sorted(names):
            is_number = relation.by_name[name].category == "N"
            if is_number and not is_added and (relation.oid, name) not in given:
                yield (
                    f"New rows of {relation.label} then have the default of {name}, which nothing"
                    " of the project sets. Does the backend?"
                )

    def left_in_new_rows(
        self, leak: ShownLeak, known: Seen, after: Seen, text: str
    ) -> tuple[str, ...]:
        """A sentence if who writes a column no more, by which somebody decides about a row, gives a
        new one the same value, and no other finding says so.
        """
        tried = self._trials.shown_by(leak)
        if leak.kind is not service_column.KIND or tried.action != UPDATE:
            return ()
        told = (tried.relation.label, INSERT, tried.column)
        for one in (*self._trials.before.leaks, *after.faults.values()):
            about = one.tried if isinstance(one, ShownLeak) else None
            if about and (about.table.label, about.action, about.column) == told:
                return ()
        own = [one for one in gone(known, after) if isinstance(one, Attempt) and one.whose == OWN]
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


def _shown_to(one: Bypass) -> Hashable:
    return one.label, one.action, one.caller.role


def new_questions(before: Seen, after: Seen) -> tuple[str, ...]:
    """The questions that are open after a change only."""
    known = {leak.id for leak in before.leaks}
    return tuple(one.finding.message for one in after.questions if one.id not in known)


def unseen_writes(seen: Seen, function: Function) -> Iterator[str]:
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
