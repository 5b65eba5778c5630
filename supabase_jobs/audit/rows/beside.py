"""Rows that need something beside the others: another row above, where both ends of a link must
differ, or somebody else, where each user has one kind of profile.

Nothing is read for this: the row was refused, and the same one with another row above or of a new
user is not.
"""

import uuid
from collections.abc import Callable, Sequence

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.rows.choices import Choices
from supabase_jobs.audit.rows.insertion import Insertion
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.retries import Retries
from supabase_jobs.audit.rows.steps import Step
from supabase_jobs.audit.rows.tenants import OtherKind, Row, Tenant, User
from supabase_jobs.database.batch import run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import RowState
from supabase_jobs.session import sign_up
from supabase_jobs.session.savepoint import AFTER_STEPS, BEFORE_STEPS
from supabase_jobs.session.sign_up import NewUser, SignUpRejectedError

# the tenant and the label of a user → the user
NewUserOf = Callable[[Tenant, str], User]

_ANOTHER = RowState.remark("another")


class Beside:
    """Inserts rows that were refused for the owner with another parent, or for somebody else."""

    def __init__(
        self,
        connection: Connection,
        plan: Plan,
        choices: Choices,
        retries: Retries,
        user_of: NewUserOf,
    ) -> None:
        self._connection, self._plan = connection, plan
        self._choices, self._retries, self._user_of = choices, retries, user_of

    def insert(self, refused: Insertion, step: Step) -> None:
        """Insert a row that was refused for the owner of a tenant."""
        self._insert_link(refused)
        if refused.row is None:
            self._insert_for_another(refused, step)

    def _insert_link(self, refused: Insertion) -> None:
        """Insert a row that refers twice to the same one with another one at its second end."""
        ends: dict[int, str] = {}
        for key in refused.relation.foreign_keys:
            target = self._plan.catalog.by_oid.get(key.target or 0)
            if target is None or len(key.columns) != 1 or target is refused.relation:
                continue
            [column], [at] = key.columns, key.target_columns
            first = ends.setdefault(target.oid, column)
            if first == column or refused.chosen.get(first) != refused.chosen.get(column):
                continue
            other = self._another(target, refused.tenant)
            if other is not None:
                refused.choices[column] = [other.values[at]]
                refused.chosen = {**refused.chosen, column: other.values[at]}
                self._retries.insert_all([refused])
                return

    def _another(self, relation: Relation, tenant: Tenant) -> Row | None:
        """A further row of the owner, which nothing but a link refers to."""
        insertion = self._choices.prepare(relation, tenant, tenant.owner, (), _ANOTHER)
        if insertion is None:
            return None
        self._retries.insert_all([insertion])
        if insertion.row is not None:
            tenant.owner.extra.remove(insertion.row)
        return insertion.row

    def _insert_for_another(self, refused: Insertion, step: Step) -> None:
        """Insert a row as that of a new user, who has nothing but the rows above it and, after it,
        the others that each user may have.
        """
        relation, tenant = refused.relation, refused.tenant
        done = self._plan.steps[: self._plan.steps.index(step)]
        column = self._named(relation, tenant)
        if column is None or not self._plan.catalog.has_auth:
            return
        person = self._user_of(tenant, f"{column} of {relation.name}")
        person.place = OtherKind(relation)
        if not self._sign_up(person):
            return
        above = self._above(relation)
        for before in done:
            self._insert_own(before, tenant, person, [r for r in before.relations if r in above])
        self._insert_own(step, tenant, person, [relation])
        row = person.rows.get(relation.oid)
        if row is None:
            return
        tenant.users.append(person)
        tenant.rows[relation.oid] = refused.row = row
        for before in (*done, step):
            free = [
                r
                for r in before.relations
                if r.oid in self._plan.per_user - self._plan.staff and r.oid not in person.rows
            ]
            self._insert_own(before, tenant, person, free)

    def _insert_own(
        self, step: Step, tenant: Tenant, person: User, relations: Sequence[Relation]
    ) -> None:
        """Insert rows of a person, as far as the database accepts them."""
        prepared = [
            self._choices.prepare(relation, tenant, person, step.later.get(relation.oid, ()))
            for relation in relations
        ]
        insertions = [insertion for insertion in prepared if insertion is not None]
        self._retries.insert_all(insertions)
        self._retries.add_tokens([one for one in insertions if one.found_by])

    def _named(self, relation: Relation, tenant: Tenant) -> str | None:
        """The column that names the user of a row, if the owner has another row of this kind."""
        usage, per_user = self._plan.usage, self._plan.per_user
        names = user_columns(relation, usage, per_user)
        others = per_user & tenant.rows.keys() - {relation.oid}
        return names[0] if names and others else None

    def _above(self, relation: Relation) -> list[Relation]:
        """The tables with a row for each user to which a table refers, directly or not."""
        found, waiting = list[Relation](), [relation]
        while waiting:
            for key in waiting.pop().foreign_keys:
                target = self._plan.catalog.by_oid.get(key.target or 0)
                if target is not None and target not in found and target is not relation:
                    found.append(target)
                    waiting.append(target)
        return [one for one in found if one.oid in self._plan.per_user]

    def _sign_up(self, person: User) -> bool:
        """Whether the project lets this person sign up."""
        new = NewUser(id=uuid.UUID(person.id), name=person.name)
        run_groups(self._connection, [[AFTER_STEPS]])[0].answer()
        try:
            [row] = sign_up.run(self._connection, [new]).rows
        except SignUpRejectedError:
            return False
        run_groups(self._connection, [[BEFORE_STEPS]])[0].answer()
        person.email = row["email"]
        return True


def share(tenants: Sequence[Tenant], step: Step) -> None:
    """The rows of a tenant below that of such a person are also the person's."""
    for tenant in tenants:
        for person in tenant.users:
            if person.beside is None:
                continue
            for relation in step.relations:
                row = tenant.rows.get(relation.oid)
                if row is not None and relation.oid not in person.rows and _is_below(row, person):
                    person.rows[relation.oid] = row


def _is_below(row: Row, person: User) -> bool:
    """Whether a row refers to one of a person."""
    for key in row.relation.foreign_keys:
        parent = person.rows.get(key.target or 0)
        if parent is not None and all(
            row.values[own] == parent.values[at]
            for own, at in zip(key.columns, key.target_columns, strict=True)
        ):
            return True
    return False
