"""Privileges that no policy limits: TRUNCATE of tables, and UPDATE of sequences.

The API has no request that uses them, but a function that runs statements of its caller does.
"""

from collections.abc import Iterable, Iterator

from psycopg import sql

from supabase_jobs.audit.catalog import Catalog, Relation
from supabase_jobs.findings import AuditFinding, Severity

_ROLES = ("anon", "authenticated")


def find(catalog: Catalog, relations: Iterable[Relation]) -> Iterator[AuditFinding]:
    """One finding for each schema and privilege."""
    tables = [
        (r.schema, r.name, tuple(role for role in _ROLES if r.may(role, "TRUNCATE")))
        for r in relations if r.is_table and not r.is_storage
    ]  # fmt: skip
    sequences = [(s.schema, s.name, s.roles) for s in catalog.sequences if s.schema in catalog.served]
    yield from _findings("truncate", "empty", "table", tables)
    yield from _findings("sequence", "set", "sequence", sequences)


def _findings(
    kind: str, verb: str, noun: str, objects: Iterable[tuple[str, str, tuple[str, ...]]]
) -> Iterator[AuditFinding]:
    schemas: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for schema, name, roles in objects:
        if roles:
            schemas.setdefault(schema, []).append((name, roles))
    for schema, found in schemas.items():
        able = [role for role in _ROLES if any(role in roles for _, roles in found)]
        some = ", ".join(name for name, _ in found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        message = f"{' and '.join(able)} may {verb} {noun}s without a policy: {some}; the API has no request for it"
        revoke = "revoke truncate on all tables in schema {} from {};"
        if kind == "sequence":
            revoke = "revoke update on all sequences in schema {} from {};"
        fix = sql.SQL(revoke).format(sql.Identifier(schema), sql.SQL(", ").join(map(sql.Identifier, able)))
        cause = "a grant, probably by the default privileges of the schema"
        yield AuditFinding(f"{kind}:{schema}", Severity.INFO, schema, message, fix.as_string(None), cause)
