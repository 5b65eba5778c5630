"""Catalogs for tests without a database: only what a test is about differs from the defaults."""

from collections.abc import Mapping, Sequence

from supabase_jobs.audit.catalog import Catalog, Column, Constraint, Function, Policy, Relation

SELECT, INSERT, UPDATE, DELETE, ALL = "r", "a", "w", "d", "*"


def column(name: str, type_: str = "text", *, not_null: bool = True) -> Column:
    """A column; its type is given by the name of its base type."""
    return Column(
        name=name,
        type=type_,
        base=type_,
        typtype="b",
        category="",
        typmod=-1,
        element=None,
        element_typtype="",
        not_null=not_null,
        default=None,
        identity="",
        generated="",
        labels=(),
        checks=(),
        granted=frozenset(),
    )


def policy(text: str, command: str = SELECT, *, checked: str | None = None) -> Policy:
    """A permissive policy; its text is that of USING, of a policy for INSERT that of WITH CHECK."""
    is_insert = command == INSERT
    return Policy(
        name=f"policy {command}",
        command=command,
        permissive=True,
        roles=("public",),
        visible=None if is_insert else text,
        checked=text if is_insert else checked,
    )


def foreign_key(name: str, target: Relation | str, at: str = "id") -> Constraint:
    """A foreign key of one column, to a table or to auth.users."""
    return Constraint(
        name=f"{name}_fkey",
        kind="f",
        columns=(name,),
        target=None if isinstance(target, str) else target.oid,
        target_name=target if isinstance(target, str) else target.label,
        target_columns=(at,),
        definition=None,
        deferrable=False,
    )


def table(
    name: str,
    *columns: Column | str,
    oid: int = 1,
    policies: Sequence[Policy] = (),
    constraints: Sequence[Constraint] = (),
) -> Relation:
    """A table in public with row level security; a column that is only named is a text."""
    schema, _, own = name.rpartition(".")
    return Relation(
        oid=oid,
        schema=schema or "public",
        name=own,
        kind="r",
        rls=True,
        owner="postgres",
        invoker=False,
        updatable=0,
        partition_of=None,
        partition_key=None,
        granted=frozenset(),
        triggers=(),
        reads=(),
        columns=tuple(column(one) if isinstance(one, str) else one for one in columns),
        constraints=tuple(constraints),
        policies=tuple(policies),
    )


def function(
    name: str, body: str, *, oid: int = 100, language: str = "sql", arguments: Sequence[str] = ()
) -> Function:
    """A function in public; its arguments are texts."""
    return Function(
        oid=oid,
        schema="public",
        name=name,
        signature=f"public.{name}({','.join('text' for _ in arguments)})",
        language=language,
        body=body,
        definer=False,
        volatility="s",
        kind="f",
        returns_set=False,
        result="text",
        argument_names=tuple(arguments),
        argument_types=tuple("text" for _ in arguments),
        argument_labels=tuple("" for _ in arguments),
        argument_relations=tuple(0 for _ in arguments),
        defaults=0,
        callers=("anon",),
    )


def catalog(
    *relations: Relation,
    functions: Sequence[Function] = (),
    buckets: Mapping[str, bool] | None = None,
) -> Catalog:
    """A project with these objects."""
    return Catalog(
        own_role="postgres",
        bypasses=True,
        roles=("anon", "authenticated", "service_role"),
        users=None,
        has_storage=False,
        is_read_only=False,
        served=("public",),
        relations=relations,
        functions=tuple(functions),
        schema_users={"public": ("anon", "authenticated")},
        sequences=(),
        buckets=buckets or {},
        topic_policies=(),
    )
