"""New rows: each caller inserts copies of its own rows and of those of others."""

from collections.abc import Iterator, Mapping

from supabase_jobs.audit.callers import NEWCOMER, OWNER, STRANGER, Persona
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes import probed_rows
from supabase_jobs.audit.probes.attempt import (
    FORGE,
    GROUP,
    INSERT,
    JOIN,
    NONE,
    OPEN,
    OTHER,
    OWN,
    Attempt,
)
from supabase_jobs.audit.probes.new_values import NewValues
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Writes
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.storage import compares_two_segments
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.outcomes import VIOLATES


class NewRows:
    """The rows that callers insert."""

    def __init__(self, world: World, values: NewValues, writes: Writes, record: Record) -> None:
        self._world, self._plan = world, world.plan
        self._values, self._writes, self._record = values, writes, record

    def of_table(self, caller: Persona, relation: Relation) -> Iterator[Attempt]:
        """Copies of rows: of the caller's own, of another's, and of another's with the caller as
        its owner.

        Also in other states, such as a ticket that is paid, and below rows in other states, such as
        a closed topic.
        """
        memberships = self._plan.memberships  # who manages a group adds others
        for whose, row in probed_rows.of(self._world, caller, relation):
            if relation.is_storage:  # the service writes the caller's id into the row
                if "/" not in (row.values["name"] or "") and whose != OWN:
                    continue  # no folder of another
                user = caller.user.id if caller.user else None
                for name in self._paths(caller, whose, row):
                    new = {**row.values, "name": name, "owner": user, "owner_id": user}
                    yield self._writes.insert(caller, whose, row, new)
                continue
            yield self._writes.insert(caller, whose, row, row.values)
            author = whose == OWN and caller.kind == STRANGER
            author = author and relation.oid not in memberships
            if author and (authors := self._authors(row)):
                yield self._writes.insert(caller, OTHER, row, {**row.values, **authors}, name=FORGE)
            opening = whose == NONE and relation.oid in self._plan.opening and caller.kind != OWNER
            if opening and (new := self._values.as_own(row, caller, through_parents=True)):
                yield self._writes.insert(caller, whose, row, {**row.values, **new}, name=JOIN)
            if whose in (OTHER, GROUP) and caller.user is not None and caller.kind != OWNER:
                new = self._values.as_own(row, caller, through_parents=False)
                if new and (self._has_parent(row) or relation.oid in memberships):
                    for values_ in self._granting(row):
                        yield self._writes.insert(caller, GROUP, row, {**values_, **new}, name=JOIN)
                elif (
                    new
                    and caller.kind in (NEWCOMER, STRANGER)
                    and relation.oid in self._plan.opening
                ):
                    for own in self._each_alone(relation, new):
                        for values_ in self._in_states(row):
                            own_row = {**values_, **own}
                            yield self._writes.insert(caller, OWN, row, own_row, name=OPEN)

    def _each_alone(
        self, relation: Relation, new: Mapping[str, str | None]
    ) -> list[Mapping[str, str | None]]:
        """The columns that name the caller: all of them, and each alone, as of the guardian of
        another's child.
        """
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        alone = [{name: value} for name, value in new.items() if name in persons]
        return [new, *(alone if len(alone) > 1 else ())]

    def without_decisions(self) -> Iterator[Attempt]:
        """Rows of one's own that a policy refuses, without the values that some policy compares
        with null: what others decide later is not set yet.
        """
        inserts = [a for a in self._record.attempts if a.action == INSERT]
        for attempt in [a for a in inserts if a.outcome == VIOLATES]:
            is_own = attempt.whose == OWN and attempt.name == ""
            if not (is_own or attempt.name == JOIN) or attempt.relation.is_storage:
                continue
            names = [
                n for n in self._values.unset_columns(attempt.relation) if n in attempt.written
            ]
            if names:
                row = {**attempt.row.values, **attempt.written, **dict.fromkeys(names)}
                yield self._writes.insert(
                    attempt.caller, attempt.whose, attempt.row, row, name=attempt.name
                )

    def _paths(self, caller: Persona, whose: str, row: Row) -> Iterator[str]:
        """The path of a file, and for a stranger one with the own id behind another's folder."""
        path = row.values["name"] or ""
        yield path
        folder, _, file = path.rpartition("/")
        if whose == OTHER and caller.kind == STRANGER and folder and caller.user is not None:
            yield f"{folder}/{caller.user.id}/{file}"
            if caller.user is self._world.b.owner and "/" not in folder:
                yield from (f"{folder}/{own}/{file}" for own in self._own_below(row, folder))

    def _own_below(self, row: Row, folder: str) -> Iterator[str]:
        """The stranger's own second segments behind a folder: the keys of rows that, for the
        victim, are below the row of the folder, as the episodes of a show.
        """
        if not compares_two_segments(row.relation, row.values["bucket_id"] or ""):
            return
        above = {
            one.relation.oid
            for one in self._world.a.rows.values()
            if len(one.key) == 1 and one.values[one.key[0]] == folder
        }
        for oid in sorted(self._plan.usage.reads.get(row.relation.oid, ())):
            own = self._world.b.rows.get(oid)
            if own is not None and len(own.key) == 1:
                targets = {key.target for key in own.relation.foreign_keys}
                value = own.values[own.key[0]]
                if value is not None and targets & above:
                    yield value

    def _granting(self, row: Row) -> list[Mapping[str, str | None]]:
        """The values of memberships that may grant something: the owner's, and as a former or
        future member has them.

        Roles on the whole project and rows about another user are those of a member: the owner's
        grants nothing.
        """
        oid, membership = row.relation.oid, self._plan.memberships.get(row.relation.oid)
        if membership is None:
            return [row.values]
        users = [u for u in self._world.a.users if u.membership is membership and oid in u.rows]
        users.sort(key=lambda user: user.is_inactive)
        rows = [u.rows[oid].values for u in users]
        inactive = [u for u in users if u.is_inactive]
        role = any(k.target in self._plan.roles for k in row.relation.foreign_keys)
        about_user = set(membership.groups) & set(
            user_columns(row.relation, self._plan.usage, self._plan.per_user)
        )
        if rows and (role or about_user):
            return [rows[0], *(u.rows[oid].values for u in inactive)]
        return [row.values, *(u.rows[oid].values for u in inactive)]

    def _in_states(self, row: Row) -> list[Mapping[str, str | None]]:
        """Copies of a row with other keys, and with each constant that policies and functions
        compare a column with.
        """
        relation, copy = row.relation, self._values.copy(row)
        literals = self._plan.usage.constants.literals
        changed = [
            {**copy, c.name: value}
            for c in relation.columns
            for value in literals.get((relation.oid, c.name), ())
            if value != copy.get(c.name) and not c.filled_by_server
        ]
        return [copy, *changed[: LIMITS.values]]

    def _authors(self, row: Row) -> dict[str, str | None]:
        """The columns that name the author of a row, with the owner of the other tenant in them."""
        usage, relation = self._plan.usage, row.relation
        columns = [
            c
            for c in relation.columns
            if (relation.oid, c.name) in usage.persons.users | usage.persons.owners
        ]
        chosen = [c for c in columns if (relation.oid, c.name) in usage.persons.owners]
        chosen = chosen or [
            c
            for c in columns
            if "uid()" in (c.default or "") or self._plan.words.author_columns.matches(c.name)
        ]
        return {
            c.name: self._world.a.owner.id for c in chosen if c.base in ("uuid", "text", "varchar")
        }

    def _has_parent(self, row: Row) -> bool:
        """Whether a row belongs to the row of another table, and not only to a user."""
        relation = row.relation
        users = user_columns(relation, self._plan.usage, self._plan.per_user)
        for key in relation.foreign_keys:
            parent = self._plan.catalog.by_oid.get(key.target or 0)
            if parent is None or parent is relation or not self._plan.owned(parent):
                continue
            refers = all(row.values.get(column) is not None for column in key.columns)
            if refers and not set(key.columns) <= set(users):
                return True
        return False
