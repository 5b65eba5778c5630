"""The tables that list the staff of a project, or appoint it."""

import re

from supabase_jobs.audit.catalog import USERS, Catalog, Constraint, Policy, Relation
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.audit.rows.compared_values import compared_values
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.words import Words


def lists_staff(relation: Relation, usage: Usage, per_user: frozenset[int], words: Words) -> bool:
    """Whether a table such as `moderators` lists users, who belong to no group by it."""
    of_users = all(
        key.target_name == USERS or key.target in per_user for key in relation.foreign_keys
    )
    return (
        words.staff_tables.matches(relation.name)
        and of_users
        and bool(user_columns(relation, usage, per_user))
    )


def is_appointed(
    relation: Relation, catalog: Catalog, usage: Usage, per_user: frozenset[int]
) -> bool:
    """Whether only the project adds users to a table, such as `doctors`, to which no other rows
    belong by what policies and functions compare.
    """
    refers = any(
        key.target_name != USERS and key.target not in per_user for key in relation.foreign_keys
    )
    referred = any(
        key.target == relation.oid and _finds_rows(r, key, usage)
        for r in catalog.tables
        for key in r.foreign_keys
    )
    inserted = any(
        policy.command in ("a", "*")
        and policy.permissive
        and policy.applies_to(role)
        and relation.may(role, "INSERT")
        and not _is_for_listed(relation, policy, catalog, usage)
        for role in ("anon", "authenticated")
        for policy in relation.policies
    )
    filled = any(
        relation.oid in usage.bodies.function_reads.get(f.oid, ())
        for f in catalog.functions
        if f.result == "trigger"
    )
    return relation.rls and not (refers or referred or inserted or filled)


def _finds_rows(relation: Relation, key: Constraint, usage: Usage) -> bool:
    """Whether a policy or a function compares the columns of a foreign key with the caller, or with
    the caller's row.
    """
    named = {(relation.oid, column) for column in key.columns}
    return not named.isdisjoint(usage.persons.compared | usage.policies.through.keys())


def _is_for_listed(relation: Relation, policy: Policy, catalog: Catalog, usage: Usage) -> bool:
    """Whether a policy lets only users add rows to a table who are in it, as a function says that
    reads the table: nobody adds their own first row.
    """
    condition = policy.checked or policy.visible or ""
    words = {*re.findall(r"\w+", condition)}
    if any(oid == relation.oid and name in words for oid, name in usage.persons.checked):
        return False
    called = usage.policies.policy_functions.get((relation.oid, policy.name), ())
    return any(
        function.signature in called
        and re.search(rf"\b{re.escape(function.name)}\b", condition) is not None
        and relation.oid in usage.bodies.function_reads.get(function.oid, ())
        for function in catalog.functions
    )


def lists_roles(relation: Relation, usage: Usage, words: Words) -> bool:
    """Whether a table has a column with roles that the project compares."""
    named = [c for c in relation.columns if words.role_tables.matches(c.name)]
    return any(compared_values(relation, column, usage) for column in named)
