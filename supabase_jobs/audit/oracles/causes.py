"""The policy or grant that a leak depends on, and the SQL that closes it.

On a local database, each candidate policy is removed in a savepoint and the attempt is repeated. Removing a policy
locks its table, so on a remote database the candidates are only read from the catalogs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from supabase_jobs.audit.catalog import Column, Policy, Relation
from supabase_jobs.audit.fixtures.plan import Plan, user_columns
from supabase_jobs.audit.oracles.leak import Leak
from supabase_jobs.audit.probes.attempt import DELETE, GROUP, INSERT, JOIN, OWN, SELECT, UPDATE
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.findings import AuditFinding
from supabase_jobs.verify.impersonation import Impersonation, identity_statements

COMMANDS = {SELECT: "r", INSERT: "a", UPDATE: "w", DELETE: "d"}
_SAVEPOINT, _UNDO = Statement("savepoint audit_cause"), Statement("rollback to savepoint audit_cause")


def explain(
    impersonation: Impersonation,
    plan: Plan,
    leaks: Sequence[Leak],
    cursors: Sequence[Statement],
    *,
    intended: Collection[str],
    may_lock: bool,
) -> list[AuditFinding]:
    """The findings for leaks, with cause and fix. `cursors` open again what the attempts need.

    Fixes for columns of one table do not undo each other, and leave those open whose leaks are `intended`, by id.
    """
    candidates = [(leak, policy) for leak in leaks for policy in _applicable(leak)]
    needed: dict[int, list[Policy]] = {}
    if may_lock and candidates:
        groups = [
            [
                _UNDO,
                Statement(_drop(leak.relation, policy).as_string(None)),
                *cursors,
                *identity_statements(impersonation, leak.attempt.caller.identity),
                leak.attempt.statement,
            ]
            for leak, policy in candidates
            if len(_applicable(leak)) > 1
        ]
        tested = [(leak, policy) for leak, policy in candidates if len(_applicable(leak)) > 1]
        _, *results = run_groups(impersonation.connection, [[Statement("close all"), _SAVEPOINT], *groups, [_UNDO]])
        for (leak, policy), result in zip(tested, results, strict=False):
            if not _reaches(leak, result):
                needed.setdefault(id(leak), []).append(policy)
    unsafe: dict[tuple[int, str], set[str]] = {}
    for leak in leaks:
        if _is_of_column(leak) and leak.id not in intended:
            unsafe.setdefault((leak.relation.oid, leak.attempt.caller.role), set()).add(leak.attempt.column)
    return [_finding(plan, leak, needed.get(id(leak)) or _applicable(leak), unsafe) for leak in leaks]


def _reaches(leak: Leak, result: GroupResult) -> bool:
    """Whether the repeated attempt still reaches its target."""
    again = replace(leak.attempt, statements=[leak.attempt.statement], effect=None, at=0)
    again.read(GroupResult(result.answers[-2:] if result.error is None else (), result.error))
    return again.reached


def _applicable(leak: Leak) -> list[Policy]:
    """The permissive policies that may have let an attempt pass."""
    attempt = leak.attempt
    return [
        p for p in leak.relation.policies
        if p.permissive and p.applies_to(attempt.caller.role) and p.command in ("*", COMMANDS[attempt.action])
    ]  # fmt: skip


def _drop(relation: Relation, policy: Policy) -> sql.Composed:
    return sql.SQL("drop policy {} on {}").format(sql.Identifier(policy.name), relation.identifier)


def _is_of_column(leak: Leak) -> bool:
    """Whether a leak is closed if the caller's role may not update the column."""
    return leak.attempt.action == UPDATE and (
        leak.kind in ("privileged-column", "escalation", "give-away")
        or (leak.kind == "deviation" and leak.attempt.whose in (OWN, GROUP))
    )


def _finding(
    plan: Plan, leak: Leak, policies: Sequence[Policy], unsafe: Mapping[tuple[int, str], Collection[str]]
) -> AuditFinding:
    """The finding. `unsafe` are the columns that leaks of the same table and role require to revoke."""
    relation = leak.relation
    if leak.kind == "rls-disabled":
        cause, fix = (
            "row level security is disabled",
            _text(sql.SQL("alter table {} enable row level security;").format(relation.identifier)),
        )
    elif leak.kind == "view":
        cause = "the view runs with the privileges of its owner"
        fix = _text(sql.SQL("alter view {} set (security_invoker = true);").format(relation.identifier))
    elif _is_of_column(leak):
        cause = _named(plan, relation, policies) or f"a grant of UPDATE ({leak.attempt.column})"
        role = leak.attempt.caller.role
        columns = {leak.attempt.column, *unsafe.get((relation.oid, role), ())}
        fix = _text(_without_columns(relation, columns, role))
    elif leak.kind == "escalation" and policies:
        cause, fix = _named(plan, relation, policies), _text(_drop(relation, policies[0]) + sql.SQL(";"))
    elif (leak.kind == "unreadable-parent" or leak.attempt.name == JOIN) and policies:
        cause = _named(plan, relation, policies)
        fix = _text(_with_readable_parent(plan, relation, policies[0]))
    elif leak.kind == "forged-claim" and (trusting := _trusting(policies)):
        cause = _named(plan, relation, policies)
        fix = _text(_with_app_metadata(relation, trusting[0]))
    else:
        cause = _named(plan, relation, policies) or "a grant"
        fix = _text(restricted(plan, relation, policies, leak.attempt.action, leak.attempt.caller.role))
    return AuditFinding(leak.id, leak.severity, leak.attempt.label, leak.message, fix, cause)


def _named(plan: Plan, relation: Relation, policies: Sequence[Policy]) -> str:
    return ", ".join(f'policy "{policy.name}"{_calls(plan, relation, policy)}' for policy in policies)


def _calls(plan: Plan, relation: Relation, policy: Policy) -> str:
    called = plan.usage.policy_functions.get((relation.oid, policy.name), [])
    return f" with {', '.join(called)}" if called else ""


def _without_columns(relation: Relation, columns: Collection[str], role: str) -> sql.Composable:
    """Leave columns out of those that a role may update: a grant on the table includes every column."""
    others = [
        c for c in relation.columns
        if c.name not in columns and relation.may(role, "UPDATE", c.name) and not c.generated
    ]  # fmt: skip
    revoke = sql.SQL("revoke update on {} from {};").format(relation.identifier, sql.Identifier(role))
    if not others:
        return revoke
    return revoke + sql.SQL(" grant update ({}) on {} to {};").format(
        sql.SQL(", ").join(c.identifier for c in others), relation.identifier, sql.Identifier(role)
    )


def restricted(plan: Plan, relation: Relation, policies: Sequence[Policy], action: str, role: str) -> sql.Composable:
    """Restrict the first policy to the tenant or owner of a row; remove it if no column names one, or others remain."""
    if not policies:
        return sql.SQL("revoke {} on {} from {};").format(
            sql.SQL(action),
            relation.identifier,
            sql.Identifier(role),
        )
    policy = policies[0]
    remaining = [
        p for p in relation.policies
        if p.permissive and p not in policies and p.applies_to(role) and p.command in ("*", policy.command)
    ]  # fmt: skip
    if remaining and policy.command != "*":
        return _drop(relation, policy) + sql.SQL(";")
    direct = [c.name for c in relation.columns if (relation.oid, c.name) in plan.usage.users]
    users = direct or user_columns(relation, plan.usage, plan.per_user)
    claimed = [c for c in relation.columns if (relation.oid, c.name) in plan.usage.claim_columns]
    if claimed:
        owner = _claim_of(claimed[0], plan.usage.claim_columns[relation.oid, claimed[0].name])
    elif users:
        owner = sql.SQL("{} = (select auth.uid())").format(sql.Identifier(users[0]))
    else:
        return _drop(relation, policy) + sql.SQL(";")
    clauses = []
    if policy.command != "a":
        clauses.append(sql.SQL("using ({})").format(owner))
    if policy.command in ("a", "w", "*"):
        clauses.append(sql.SQL("with check ({})").format(owner))
    return sql.SQL("alter policy {} on {} {};").format(
        sql.Identifier(policy.name), relation.identifier, sql.SQL(" ").join(clauses)
    )


def _trusting(policies: Sequence[Policy]) -> list[Policy]:
    """The policies that read user_metadata themselves, not by a function."""
    return [p for p in policies if "'user_metadata'" in f"{p.visible} {p.checked}"]


def _with_app_metadata(relation: Relation, policy: Policy) -> sql.Composable:
    """Read the claim from app_metadata, which only the project can change."""
    clauses = [
        sql.SQL("{} ({})").format(sql.SQL(word), sql.SQL(text.replace("'user_metadata'", "'app_metadata'")))
        for word, text in (("using", policy.visible), ("with check", policy.checked)) if text is not None
    ]  # fmt: skip
    return sql.SQL("alter policy {} on {} {};").format(
        sql.Identifier(policy.name), relation.identifier, sql.SQL(" ").join(clauses)
    )


def _claim_of(column: Column, path: Sequence[str]) -> sql.Composable:
    """Compare a column with a claim; user_metadata is no claim that the project controls."""
    names = ["app_metadata" if name == "user_metadata" else name for name in path]
    claim: sql.Composable = sql.SQL("(select auth.jwt())")
    for name in names[:-1]:
        claim += sql.SQL(" -> {}").format(sql.Literal(name))
    claim += sql.SQL(" ->> {}").format(sql.Literal(names[-1]))
    return sql.SQL("{} = ({})::{}").format(column.identifier, claim, sql.SQL(column.type))


def _with_readable_parent(plan: Plan, relation: Relation, policy: Policy) -> sql.Composable:
    """Require that the caller can read the parent: its policies apply inside the subquery."""
    parents = [
        (key, parent) for key in relation.foreign_keys
        if (parent := plan.catalog.by_oid.get(key.target or 0)) is not None
        and plan.owned(parent) and parent.oid not in plan.per_user and parent is not relation
    ]  # fmt: skip
    check = sql.SQL("({})").format(sql.SQL(policy.checked or policy.visible or "true"))
    for key, parent in parents:
        same = sql.SQL(" and ").join(
            sql.SQL("parent.{} = {}.{}").format(sql.Identifier(at), sql.Identifier(relation.name), sql.Identifier(own))
            for own, at in zip(key.columns, key.target_columns, strict=True)
        )
        check += sql.SQL(" and exists (select 1 from {} as parent where {})").format(parent.identifier, same)
    return sql.SQL("alter policy {} on {} with check ({});").format(
        sql.Identifier(policy.name), relation.identifier, check
    )


def _text(composed: sql.Composable) -> str:
    return composed.as_string(None)
