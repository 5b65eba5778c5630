"""What the catalogs alone show of tables: no row level security, and policies that let everyone
pass.

Probes show more, but need a row. A table without one is not silently passed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from psycopg import sql

from supabase_jobs.audit import expressions, repairs
from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.leaks.leak import DOES
from supabase_jobs.audit.leaks.tables import is_sensitive
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.findings import AuditFinding, Severity

# the ids of findings that need no row, so that an audit without a row of the table has them too
FROM_CATALOGS = ("rls-disabled:", "open-policy:")
_ACTIONS = (SELECT, INSERT, UPDATE, DELETE)
# from the more to the less general
_WHO = {"anon": "Anyone can", "authenticated": "Any signed-in user can"}


def find(
    plan: Plan, relations: Iterable[Relation], probed: set[int], reported: Iterable[AuditFinding]
) -> Iterator[AuditFinding]:
    """Findings of these relations. `probed` are the oids of those with an attempt, `reported` the
    leaks of attempts.
    """
    open_tables = {f.object for f in reported if f.id.startswith("rls-disabled:")}
    for relation in relations:
        if relation.kind == "f":
            yield from _without_security(plan, relation)
        elif relation.is_table and relation.partition_of is None and not relation.is_storage:
            if not relation.rls and relation.label not in open_tables:
                yield from _without_security(plan, relation)
            elif relation.rls and relation.oid not in probed:
                yield from _open_policies(plan, relation)


def _without_security(plan: Plan, relation: Relation) -> Iterator[AuditFinding]:
    """Every privilege on the table applies to every row; the role that may write most counts."""
    able = {role: [a for a in _ACTIONS if _may(plan, relation, role, a)] for role in _WHO}
    role = max(_WHO, key=lambda role: (bool(set(able[role]) - {SELECT}), bool(able[role])))
    actions = able[role]
    if not actions:
        return
    verbs = ", ".join(DOES[action] for action in actions)
    severity = Severity.WARNING if actions == [SELECT] else Severity.ERROR
    message = f"Row level security is disabled: {_WHO[role].lower()} {verbs} every row"
    cause, fix = (
        "row level security is disabled",
        sql.SQL("alter table {} enable row level security;"),
    )
    if relation.kind == "f":
        message = (
            f"A foreign table has no row level security: {_WHO[role].lower()} {verbs} every row"
        )
        cause, fix = (
            "a grant on a foreign table",
            sql.SQL("revoke all on {} from anon, authenticated;"),
        )
    yield AuditFinding(
        f"rls-disabled:{relation.label}:{actions[0]}",
        severity,
        relation.label,
        message,
        fix.format(relation.identifier).as_string(None),
        cause,
    )


def _open_policies(plan: Plan, relation: Relation) -> Iterator[AuditFinding]:
    """Actions that a policy allows on every row. A trigger may still refuse them, so a write is a
    warning.
    """
    found: list[tuple[AuditFinding, repairs.Demand]] = []
    for action in _ACTIONS:
        for role, who in _WHO.items():
            policies = (
                _passing(relation, role, action) if _may(plan, relation, role, action) else []
            )
            if not policies:
                continue
            message = f"{who} {DOES[action]} every row, by a policy that lets everyone pass; no row could be tested"
            sensitive = [c.name for c in relation.columns if is_sensitive(c.name)]
            severity = Severity.WARNING
            if action == SELECT:
                severity = Severity.WARNING if sensitive else Severity.INFO
                message += f"; it has {', '.join(sensitive)}" if sensitive else ""
            cause = ", ".join(f'policy "{p.name}"' for p in policies)
            id_ = f"open-policy:{relation.label}:{action}"
            finding = AuditFinding(
                id=id_,
                severity=severity,
                object=relation.label,
                message=message,
                fix="",
                cause=cause,
                policies=tuple(p.name for p in policies),
            )
            found.append((finding, repairs.restriction(plan, relation, policies, action, role)))
            break
    closed = [
        (finding, demand) for finding, demand in found if finding.severity is not Severity.INFO
    ]
    made = repairs.Repairs(plan, [demand for _, demand in closed])
    for finding, demand in found:
        yield replace(finding, fix=made.text(demand)) if (finding, demand) in closed else finding


def _may(plan: Plan, relation: Relation, role: str, action: str) -> bool:
    return plan.catalog.reaches(relation, role) and relation.may(role, action.upper())


def _passing(relation: Relation, role: str, action: str) -> Sequence[Policy]:
    """The permissive policies that let every row of a role pass; none if a restrictive policy may
    refuse it.
    """
    applying = [
        p
        for p in relation.policies
        if p.applies_to(role) and p.command in ("*", repairs.COMMANDS[action])
    ]
    if not all(p.permissive for p in applying):
        return []
    texts = {id(p): (p.checked or p.visible) if action == INSERT else p.visible for p in applying}
    return [
        p
        for p in applying
        if (text := texts[id(p)]) is not None
        and expressions.always_true(expressions.expression_tree(text), role)
    ]
