"""Several permissive policies for the same role and action: one is easier to read, and its plan is
the same.
"""

from collections.abc import Iterator, Sequence

from psycopg import sql

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.performance.context import Context
from supabase_jobs.audit.performance.suggestion import Suggestion
from supabase_jobs.audit.policies import printed
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE
from supabase_jobs.audit.probes.known import altered_by
from supabase_jobs.findings import Severity

KIND = "permissive-policies"
_ACTIONS = (SELECT, INSERT, UPDATE, DELETE)
_ROLES = ("anon", "authenticated")


def find(context: Context) -> Iterator[Suggestion]:
    """A suggestion for the policies of each table that apply to the same role and action. Each set
    of policies is one suggestion, whatever the number of its roles and actions.
    """
    for relation in context.tables:
        sets: dict[tuple[Policy, ...], list[str]] = {}
        for role in _ROLES if relation.rls else ():
            for action in _ACTIONS:
                together = tuple(
                    policy
                    for policy in relation.policies
                    if policy.permissive and policy.applies_to(role) and policy.governs(action)
                )
                if len(together) > 1:
                    sets.setdefault(together, []).append(f"{action} by {role}")
        for policies, uses in sets.items():
            yield _suggestion(context, relation, policies, uses)


def _suggestion(
    context: Context, relation: Relation, policies: Sequence[Policy], uses: Sequence[str]
) -> Suggestion:
    rewrite = _without_needless(relation, policies) or _merged(context, relation, policies)
    gain = "No plan is better with one policy: PostgreSQL joins them itself."
    gain += " The same in one:" if rewrite else " These have different roles or commands."
    return Suggestion(
        kind=KIND,
        severity=Severity.INFO,
        relation=relation,
        name=" + ".join(policy.name for policy in policies),
        message=f"{len(policies)} permissive policies apply to the same rows: {', '.join(uses)}",
        cause=", ".join(f'policy "{policy.name}"' for policy in policies),
        gain=gain,
        rewrite=tuple(rewrite),
        policies=tuple(policies),
        altered=frozenset().union(*(altered_by(relation, policy) for policy in policies)),
    )


def _without_needless(relation: Relation, policies: Sequence[Policy]) -> list[str]:
    """The statements that drop the policies which permit nothing that another one does not."""
    kept = list(policies)
    for one in policies:
        if any(other is not one and _is_within(one, other) for other in kept):
            kept.remove(one)
    return [_drop(relation, one) for one in policies if one not in kept]


def _is_within(one: Policy, other: Policy) -> bool:
    """Whether a policy permits nothing besides what another one does, as their texts tell."""
    is_for_all = "public" in other.roles or set(one.roles) <= set(other.roles)
    if not is_for_all or other.command not in ("*", one.command):
        return False
    pairs = []
    if one.command != "a":
        pairs.append((one.visible, other.visible))
    if one.command in ("a", "w", "*"):
        pairs.append((one.checked or one.visible, other.checked or other.visible))
    return all(_permits_less(text, wide) for text, wide in pairs)


def _permits_less(text: str | None, wide: str | None) -> bool:
    """Whether an expression is true for no row besides those of another one. A policy without one
    permits nothing.
    """
    if text is None or wide is None:
        return text is None
    return any_of([wide, text]) == any_of([wide])


def _drop(relation: Relation, policy: Policy) -> str:
    drop = sql.SQL("drop policy {} on {};")
    return drop.format(sql.Identifier(policy.name), relation.identifier).as_string(None)


def _merged(context: Context, relation: Relation, policies: Sequence[Policy]) -> list[str]:
    """The statements that make one policy of those with the same roles and the same command; none
    if these differ.
    """
    first, *others = (context.hoisted(policy) for policy in policies)
    if any((set(one.roles), one.command) != (set(first.roles), first.command) for one in others):
        return []
    clauses = []
    visible = [one.visible for one in (first, *others) if one.visible]
    if visible:
        clauses.append(sql.SQL("using ({})").format(sql.SQL(any_of(visible))))
    checked = [one.checked or one.visible for one in (first, *others)]
    if any(one.checked for one in (first, *others)):
        joined = any_of([text for text in checked if text])
        clauses.append(sql.SQL("with check ({})").format(sql.SQL(joined)))
    name = sql.Identifier(first.name)
    alter = sql.SQL("alter policy {} on {} {};").format(
        name, relation.identifier, sql.SQL(" ").join(clauses)
    )
    return [alter.as_string(None), *(_drop(relation, one) for one in others)]


def any_of(texts: Sequence[str]) -> str:
    """The OR of expressions, each of its operands once: `a or (a and b)` is `a`,
    and `true` or anything is `true`.
    """
    operands = [part for text in texts for part in printed.operands(text, "OR")]
    distinct = list(dict.fromkeys(operands))
    if "true" in distinct:
        return "(true)"
    conditions = {text: _conditions(text) for text in distinct}
    kept = []
    for text, needed in conditions.items():
        if not any(fewer < needed for fewer in conditions.values()):
            kept.append(f"({text})")
    return " or ".join(kept)


def _conditions(text: str) -> set[frozenset[str]]:
    """The operands of an AND, each as the operands of an OR."""
    return {frozenset(printed.operands(part, "OR")) for part in printed.operands(text, "AND")}
