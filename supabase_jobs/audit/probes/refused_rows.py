"""The rows of tenant A that views and functions may reach, and which of them the tables refuse."""

from collections.abc import Collection, Iterable, Sequence

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import (
    VAULT_SCHEMA,
    VAULT_VIEW,
    Constraint,
    Function,
    Relation,
    plain_column,
)
from supabase_jobs.audit.probes.attempt import INSERT, UPDATE, Attempt
from supabase_jobs.audit.probes.effects import Watch
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row, User
from supabase_jobs.database.batch import Statement
from supabase_jobs.session.impersonation import Impersonation, own_role


class RefusedRows:
    """The rows of tenant A, users and secrets among them, that views and functions may reach.

    `reached` are caller, row and action, by their id(), that the tables permit, `updated` the
    columns that they let a caller update, and `inserted` are the tables to which a caller may add
    rows. `restored` are the columns of tables that a trigger sets.
    """

    def __init__(
        self, impersonation: Impersonation, world: World, probes: Probes, *, compares: bool
    ) -> None:
        self.impersonation, self.world = impersonation, world
        self._plan, self._catalog = world.plan, world.plan.catalog
        self.restored = probes.restored
        self.reached = {(id(a.caller), id(a.row), a.action) for a in probes.attempts if a.reached}
        self.inserted = {
            (id(a.caller), a.relation.oid)
            for a in probes.attempts
            if a.action == INSERT and a.reached
        }
        self.updated = _updated(probes.attempts)
        users = [_user_row(self._catalog.users, u) for t in (world.a, world.b) for u in t.users]
        self.users = [row for row in users if row is not None]
        self.secrets = [_secret_row(value) for value in world.secrets]
        self.worlds = Worlds(world, self.users, probes.prober, compares=compares)

    def user_row(self, user: User) -> Row | None:
        """The row of a user in auth.users."""
        return _user_row(self._catalog.users, user)

    def hidden(self, caller: Persona, oids: Collection[int]) -> list[Row]:
        """Rows of tenant A, of these tables, that are refused to the caller; and secrets."""
        return [*self.worlds.refused(caller).of(oids).rows, *self.secrets]

    def of_tables(self, oids: Collection[int]) -> list[Row]:
        """The rows of tenant A's owner of these tables, and its row of auth.users."""
        owner = self.world.a.owner
        rows = [*(owner.rows[oid] for oid in sorted(oids) if oid in owner.rows)]
        rows += self.world.a.states
        return [row for row in (*rows, *self.users[:1]) if row.relation.oid in oids]

    def tables_of(self, view: Relation) -> set[int]:
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

    def shows_only_tables(self, view: Relation) -> bool:
        """Whether a view has only the rights of its caller, so that it says nothing that the
        policies of its tables do not say.
        """
        if view.is_table:
            return True
        read = [self._catalog.by_oid.get(oid) for oid in view.reads]
        is_plain = view.invoker and not view.calls
        return is_plain and all(r is not None and self.shows_only_tables(r) for r in read)

    def reads_of(self, function: Function) -> set[int]:
        """The tables that a function reads, directly or by functions and views."""
        named = self._plan.usage.bodies.function_reads.get(function.oid, set())
        found = set(named)
        for oid in named:
            if oid in self._catalog.by_oid:
                found |= self.tables_of(self._catalog.by_oid[oid])
        if function.oid in self._plan.usage.bodies.user_functions and self._catalog.users:
            found.add(self._catalog.users)
        return found

    def watch(
        self, function: Function, caller: Persona, own: Sequence[Row], tables: Collection[int]
    ) -> Watch:
        """The rows that a function may change, and those in whose person's name it may add others:
        tables whose policies for INSERT compare the person with the caller. To the groups of
        memberships that it adds, an outsider may add somebody, and a row to other tables.
        """
        rows = [row for row in own if row.relation.oid in tables]
        firsts = [row for row in rows if row is self.world.a.rows.get(row.relation.oid)]
        names = [
            (row, column)
            for row in firsts
            for column in row.relation.by_name
            if self._is_forged(caller, row, column)
        ]
        permitted = {id(row): self.updated.get((id(caller), id(row)), ()) for row in rows}
        groups = [
            (row, column)
            for row in (firsts if caller.is_outsider else ())
            if row.relation.oid in self._plan.usage.bodies.adds[function.oid]
            for column in self._groups_of(caller, row)
        ]
        closed = [row for row in firsts if self._is_closed(function, caller, row)]
        return Watch(
            rows=rows,
            names=names,
            restored=self.restored,
            permitted=permitted,
            groups=groups,
            closed=closed,
        )

    def _is_closed(self, function: Function, caller: Persona, row: Row) -> bool:
        """Whether a function adds rows to the table of a row, to which an outsider may add none: no
        profile, group or membership, as one founds or joins by a function.
        """
        plan, oid = self._plan, row.relation.oid
        founded = plan.per_user | plan.staff | plan.groups | plan.memberships.keys()
        is_added = oid in plan.usage.bodies.adds[function.oid] - founded
        is_asked = function.definer and caller.is_outsider
        return is_asked and is_added and (id(caller), oid) not in self.inserted

    def _groups_of(self, caller: Persona, row: Row) -> Sequence[str]:
        """The first column of a membership that names its group, if the caller may not add one."""
        membership = self._plan.memberships.get(row.relation.oid)
        if membership is None or (id(caller), id(row), INSERT) in self.reached:
            return ()
        return [name for name in membership.groups[:1] if row.values.get(name) is not None]

    def _is_forged(self, caller: Persona, row: Row, column: str) -> bool:
        """Whether a column names tenant A's owner, and no INSERT of the caller may."""
        is_checked = (row.relation.oid, column) in self._plan.usage.persons.checked
        is_owner = row.values.get(column) == self.world.a.owner.id
        may_insert = (id(caller), id(row), INSERT) in self.reached
        return is_checked and is_owner and not may_insert

    def showing(self, watch: Watch) -> list[Statement]:
        """The statements that show what is watched; none if nothing is."""
        statement = watch.statement
        return [] if statement is None else [own_role(self.impersonation), statement]


def _updated(attempts: Iterable[Attempt]) -> dict[tuple[int, int], set[str]]:
    """Caller and row → the columns that the tables let the caller update. Of a row in another
    state, one column is tried: what is updated of other rows of the group stands for the rest.
    """
    updates = [attempt for attempt in attempts if attempt.action == UPDATE and attempt.reached]
    alike: dict[tuple[int, int, str], set[str]] = {}
    for attempt in updates:
        key = id(attempt.caller), attempt.relation.oid, attempt.whose
        alike.setdefault(key, set()).add(attempt.column)
    found: dict[tuple[int, int], set[str]] = {}
    for attempt in updates:
        key = id(attempt.caller), attempt.relation.oid, attempt.whose
        columns = alike[key] if attempt.is_state else {attempt.column}
        found.setdefault((id(attempt.caller), id(attempt.row)), set()).update(columns)
    return found


def _user_row(users: int | None, user: User) -> Row | None:
    """The row of a user in auth.users, which nobody else may read. Its e-mail address marks it."""
    if users is None or not user.email:
        return None
    relation = _platform_table(users, "auth", "users")
    return Row(
        relation=relation, values={"id": user.id, "email": user.email}, ctid="", token=user.email
    )


def _secret_row(value: str) -> Row:
    """The row of a secret of Vault, which requests may not read. Its value marks it."""
    relation = _platform_table(0, VAULT_SCHEMA, VAULT_VIEW)
    return Row(relation=relation, values={"id": None, "secret": value}, ctid="", token=value)


def _platform_table(oid: int, schema: str, name: str) -> Relation:
    """A table of the platform, which the catalog leaves out, with the column of its key."""
    id_ = plain_column(name="id", type="uuid", base="uuid", category="U")
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        kind="r",
        rls=True,
        owner="",
        invoker=False,
        updatable=0,
        partition_of=None,
        partition_key=None,
        granted=frozenset(),
        triggers=(),
        reads=(),
        columns=(id_,),
        constraints=(
            Constraint(
                name="key",
                kind="p",
                columns=("id",),
                target=None,
                target_name=None,
                target_columns=(),
                definition=None,
                deferrable=False,
            ),
        ),
        policies=(),
    )
