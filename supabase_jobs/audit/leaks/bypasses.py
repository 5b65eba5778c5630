"""Views and functions that return or change what the tables refuse to the same caller."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from supabase_jobs.audit.callers import MEMBER, Caller
from supabase_jobs.audit.catalog import USERS, Catalog, Function, Relation
from supabase_jobs.audit.ended import missing_condition
from supabase_jobs.audit.leaks.leak import rank, who
from supabase_jobs.audit.leaks.tables import is_sensitive
from supabase_jobs.audit.probes.attempt import DELETE, SELECT, UPDATE
from supabase_jobs.audit.probes.bypasses import SQL, Bypass
from supabase_jobs.findings import AuditFinding, Severity

_PRIVILEGES = {"SELECT": "read", "INSERT": "add", "UPDATE": "change", "DELETE": "delete"}
# columns of auth.users that users may change, and those that the server keeps
_CHOSEN = ("id", "raw_user_meta_data", "user_metadata", "created_at", "updated_at")
_DOES = {SELECT: "read", UPDATE: "change", DELETE: "delete"}


def find(bypasses: Sequence[Bypass]) -> list[AuditFinding]:
    """One finding for each view or function, and kind of effect."""
    found: dict[str, AuditFinding] = {}
    for bypass in sorted(bypasses, key=lambda b: rank(b.caller)):
        for finding in _findings(bypass):
            found.setdefault(finding.id, finding)
    # whoever reads a row, or its id, knows that it exists
    read = {finding.object for id_, finding in found.items() if id_.startswith("function-reads:")}
    known = {
        finding.object for id_, finding in found.items() if id_.startswith("function-ids:")
    } | read
    return [
        f
        for id_, f in found.items()
        if not (f.object in read and id_.startswith("function-ids:"))
        and not (f.object in known and id_.startswith("function-exists:"))
    ]


def partitions(catalog: Catalog) -> Iterator[AuditFinding]:
    """Partitions without row level security: a request that names one skips the policies of its
    table.
    """
    for relation in catalog.reachable:
        parent = catalog.by_oid.get(relation.partition_of or 0)
        if relation.rls or parent is None or not parent.rls:
            continue
        who_can = "Anyone can" if catalog.reaches(relation, "anon") else "Any signed-in user can"
        role = "anon" if catalog.reaches(relation, "anon") else "authenticated"
        actions = [verb for privilege, verb in _PRIVILEGES.items() if relation.may(role, privilege)]
        message = f"{who_can} {', '.join(actions)} every row of this partition, which {parent.label} refuses"
        fix = _text(
            sql.SQL("alter table {} enable row level security;").format(relation.identifier)
        )
        cause = "row level security is disabled"
        yield AuditFinding(
            f"rls-disabled:{relation.label}:select",
            Severity.ERROR,
            relation.label,
            message,
            fix,
            cause,
        )


def _findings(bypass: Bypass) -> Iterator[AuditFinding]:
    if isinstance(bypass.object, Relation):
        yield from _of_view(bypass, bypass.object)
    else:
        yield from _of_function(bypass, bypass.object)


def _of_view(bypass: Bypass, view: Relation) -> Iterator[AuditFinding]:
    rows = bypass.changed if bypass.action != SELECT else bypass.shown
    if bypass.is_own and rows:
        yield _of_own_user(bypass, view)
        return
    if bypass.identified and not rows:
        tables = ", ".join(dict.fromkeys(row.relation.label for row in bypass.identified))
        message = (
            f"{who(bypass.caller)} read the ids of others' rows by the view, which {tables} refuses"
        )
        cause, fix = _cause_of_view(bypass, view)
        yield AuditFinding(
            f"view-ids:{view.label}", Severity.WARNING, view.label, message, fix, cause
        )
    if not rows:
        return
    tables = ", ".join(dict.fromkeys(row.relation.label for row in rows))
    whole = any(
        {c.name for c in row.relation.columns} <= {c.name for c in view.columns} for row in rows
    )
    sensitive = any(is_sensitive(c.name) for c in view.columns)
    users = any(row.relation.label == USERS for row in rows)
    severity = (
        Severity.ERROR
        if whole or sensitive or users or bypass.action != SELECT
        else Severity.WARNING
    )
    if users and bypass.action == SELECT and bypass.caller.kind == MEMBER:
        severity = Severity.WARNING  # a group may show its members the addresses of the others
    message = f"{who(bypass.caller)} {_DOES[bypass.action]} rows of others by the view, which {tables} refuses"
    cause, fix = _cause_of_view(bypass, view)
    if users and view.kind != "m":
        cause, fix = f"the view reads {USERS} with the privileges of its owner", _revoke_all(view)
        if bypass.action != SELECT:
            fix = _revoke_writes(view)
    yield AuditFinding(
        f"view:{view.label}:{bypass.action}", severity, view.label, message, fix, cause
    )


def _of_own_user(bypass: Bypass, view: Relation) -> AuditFinding:
    """Writes to the caller's own row of auth.users: an e-mail address without a confirmation,
    roles, the end of a ban.

    The API of Auth lets users change user_metadata anyway, and a project may let them delete their
    account.
    """
    message = f"{who(bypass.caller)} {_DOES[bypass.action]} their own row of {USERS} by the view"
    chosen = all(
        c.name in _CHOSEN for c in view.columns if view.may(bypass.caller.role, "UPDATE", c.name)
    )
    severity = Severity.WARNING if chosen or bypass.action == DELETE else Severity.ERROR
    cause = f"the view changes {USERS} with the privileges of its owner"
    return AuditFinding(
        f"view:{view.label}:{bypass.action}",
        severity,
        view.label,
        message,
        _revoke_writes(view),
        cause,
    )


def _cause_of_view(bypass: Bypass, view: Relation) -> tuple[str, str]:
    """(cause, fix)."""
    if view.kind == "m":
        return "a materialized view has no row level security", _revoke(view, bypass.caller)
    if view.invoker:
        mark = bypass.caller.ended
        fix = _revoke(view, bypass.caller) if mark is None else missing_condition(view.label, mark)
        return "a function that the view calls", fix
    fix = _text(sql.SQL("alter view {} set (security_invoker = true);").format(view.identifier))
    return "the view runs with the privileges of its owner", fix


def _of_function(bypass: Bypass, function: Function) -> Iterator[AuditFinding]:
    cause = f"{'security definer' if function.definer else 'security invoker'} function {function.signature}"
    fix = f"revoke execute on function {function.signature} from public, anon, authenticated;"
    if bypass.caller.ended is not None:  # members keep their access
        fix = missing_condition(function.signature, bypass.caller.ended)
    if bypass.action == SQL and bypass.outcome == "rows":
        message = f"{who(bypass.caller)} run SQL of their own with the privileges of the owner of the function"
        yield AuditFinding(
            f"function-sql:{function.signature}",
            Severity.ERROR,
            function.signature,
            message,
            fix,
            cause,
        )
    revealed = [*bypass.hidden] if bypass.reveals else []
    effects = (
        (
            "function-ids",
            [] if bypass.shown else bypass.identified,
            "read the ids of others' rows",
            Severity.WARNING,
        ),
        (
            "function-exists",
            revealed,
            "find out by an id whether others have rows, or how many",
            Severity.WARNING,
        ),
        ("function-writes", bypass.changed, "change or delete rows of others", Severity.ERROR),
        ("function-opens", bypass.opened, "gain access to rows of others", Severity.ERROR),
        ("function-reads", bypass.shown, "read rows of others", Severity.ERROR),
    )
    for kind, rows, effect, severity in effects:
        if rows:
            users = all(row.relation.label == USERS for row in rows)
            if users and kind == "function-reads" and bypass.caller.kind == MEMBER:
                severity = Severity.WARNING  # a group may show its members these addresses
            tables = ", ".join(dict.fromkeys(row.relation.label for row in rows))
            message = f"{who(bypass.caller)} {effect} by a call, which {tables} refuses"
            yield AuditFinding(
                f"{kind}:{function.signature}", severity, function.signature, message, fix, cause
            )


def _revoke(view: Relation, caller: Caller) -> str:
    """The SQL that revokes SELECT from the role of a caller, and from authenticated too if anon has
    it.
    """
    roles = ("anon", "authenticated") if caller.role == "anon" else (caller.role,)
    names = sql.SQL(", ").join(map(sql.Identifier, roles))
    return _text(sql.SQL("revoke select on {} from {};").format(view.identifier, names))


def _revoke_writes(view: Relation) -> str:
    return _text(
        sql.SQL("revoke insert, update, delete on {} from public, anon, authenticated;").format(
            view.identifier
        )
    )


def _revoke_all(view: Relation) -> str:
    return _text(
        sql.SQL("revoke all on {} from public, anon, authenticated;").format(view.identifier)
    )


def _text(composed: sql.Composable) -> str:
    return composed.as_string(None)
