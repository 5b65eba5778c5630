"""Privileges that no policy limits: TRUNCATE of tables, UPDATE of sequences, and SELECT of columns.

The API has no request that uses the first two, but a function that runs statements of its caller
does.
"""

from collections.abc import Collection, Iterable, Iterator

from psycopg import sql

from supabase_jobs.audit.catalog import Catalog, Relation
from supabase_jobs.findings import AuditFinding, Severity

_ROLES = ("anon", "authenticated")


def find(catalog: Catalog, relations: Iterable[Relation]) -> Iterator[AuditFinding]:
    """One finding for each schema and privilege."""
    tables = [
        (r.schema, r.name, tuple(role for role in _ROLES if r.may(role, "TRUNCATE")))
        for r in relations
        if r.is_table and not r.is_storage
    ]
    sequences = [
        (s.schema, s.name, s.roles) for s in catalog.sequences if s.schema in catalog.served
    ]
    yield from _findings("truncate", "empty", "table", tables)
    yield from _findings("sequence", "set", "sequence", sequences)


def of_columns(
    relation: Relation, role: str, action: str, accepted: Collection[str]
) -> tuple[str, str] | None:
    """Cause and fix of a read of more columns than before; None if a policy opens the access, not a
    grant.
    """
    known = {a.partition("(")[2].rstrip(")") for a in accepted if a.startswith("read(")}
    if not known or action.partition("(")[0] != "read":
        return None
    target, to = relation.identifier, sql.Identifier(role)
    if column := action.partition("(")[2].rstrip(")"):
        revoke = sql.SQL("revoke select ({}) on {} from {};").format(
            sql.Identifier(column), target, to
        )
        return f"a grant of SELECT ({column})", revoke.as_string(None)
    columns = sql.SQL(", ").join(c.identifier for c in relation.columns if c.name in known)
    fix = sql.SQL("revoke select on {0} from {1}; grant select ({2}) on {0} to {1};").format(
        target, to, columns
    )
    return "a grant of SELECT", fix.as_string(None)


def _findings(
    kind: str, verb: str, noun: str, objects: Iterable[tuple[str, str, tuple[str, ...]]]
) -> Iterator[AuditFinding]:
    schemas: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for schema, name, roles in objects:
        if roles:
            schemas.setdefault(schema, []).append((name, roles))
    for schema, found in schemas.items():
        able = [role for role in _ROLES if any(role in roles for _, roles in found)]
        some = ", ".join(name for name, _ in found[:3]) + (
            f" and {len(found) - 3} more" if len(found) > 3 else ""
        )
        message = f"{' and '.join(able)} may {verb} {noun}s without a policy: {some}; the API has no request for it"
        revoke = "revoke truncate on all tables in schema {} from {};"
        if kind == "sequence":
            revoke = "revoke update on all sequences in schema {} from {};"
        fix = sql.SQL(revoke).format(
            sql.Identifier(schema), sql.SQL(", ").join(map(sql.Identifier, able))
        )
        cause = "a grant, probably by the default privileges of the schema"
        yield AuditFinding(
            f"{kind}:{schema}", Severity.INFO, schema, message, fix.as_string(None), cause
        )
