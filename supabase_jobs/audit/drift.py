"""Tables of a database that are not as its migrations create them."""

from collections.abc import Iterator
from itertools import chain

from supabase_jobs.audit.catalog import Catalog, Policy, Relation
from supabase_jobs.findings import NotCompared


def unlike(database: Catalog, built: Catalog) -> tuple[NotCompared, ...]:
    """The reachable tables and views whose columns, privileges or policies differ from those of the
    built database.

    Expressions are not compared: versions of PostgreSQL print them differently.
    """
    found, expected = ({r.label: r for r in c.reachable} for c in (database, built))
    return tuple(
        chain.from_iterable(
            _differences(n, found.get(n), expected.get(n)) for n in sorted(found | expected)
        )
    )


def _differences(
    name: str, database: Relation | None, built: Relation | None
) -> Iterator[NotCompared]:
    if database is None or built is None:
        why = (
            "only the database has it"
            if built is None
            else "the database lacks it, or no request reaches it there"
        )
        yield NotCompared(name, "", "before", "", why)
        return
    parts: dict[str, tuple[object, object]] = {
        "policies": ({_key(p) for p in database.policies}, {_key(p) for p in built.policies}),
        "row level security": (database.rls, built.rls),
    }
    if not built.is_storage:  # the platform has changed that table in its releases
        parts["columns"] = set(database.by_name), set(built.by_name)
        parts["privileges"] = _privileges(database), _privileges(built)
    differing = [part for part, (one, other) in parts.items() if one != other]
    if differing:
        why = f"the database has other {' and '.join(differing)} than its applied migrations create"
        yield NotCompared(name, "", "before", "", why)


def _privileges(relation: Relation) -> set[str]:
    columns = (f"{grant} ({c.name})" for c in relation.columns for grant in c.granted)
    return {grant for grant in (*relation.granted, *columns) if not grant.endswith(" TRUNCATE")}


def _key(policy: Policy) -> tuple[object, ...]:
    return policy.name, policy.command, policy.permissive, tuple(sorted(policy.roles))
