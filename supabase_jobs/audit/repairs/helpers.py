"""Helper functions of policies that read memberships and ask too little: not for the person who
calls, or not for the group that an argument names. All policies that call one are mended with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from supabase_jobs.audit.catalog import Function, Policy, Relation
from supabase_jobs.audit.policies import parse_trees, queries
from supabase_jobs.audit.rows.memberships import Membership
from supabase_jobs.audit.rows.plan import Plan

_CALLER = "(select auth.uid())"


@dataclass(frozen=True)
class Missing:
    """A comparison of a column that a query of a table lacks: with the caller, or an argument."""

    relation: Relation
    column: str
    value: str

    @property
    def condition(self) -> sql.Composable:
        """The comparison."""
        column = self.relation.by_name[self.column]
        text = "::text" if self.value == _CALLER and column.base != "uuid" else ""
        return sql.SQL(f"{{}} = {self.value}{text}").format(column.identifier)

    @property
    def advice(self) -> str:
        """Which rows a function must read, and by which condition."""
        return f"read rows of {self.relation.label} with {self.condition.as_string(None)} only"


def missing(
    plan: Plan, relation: Relation, policies: Sequence[Policy]
) -> Iterator[tuple[Function, Missing]]:
    """The functions that policies of a table call, each with a comparison that it may lack."""
    called = plan.usage.policies.policy_functions
    signatures = {s for p in policies for s in called.get((relation.oid, p.name), ())}
    for function in plan.catalog.functions:
        if function.signature in signatures and function.language in ("sql", "plpgsql"):
            for oid in sorted(plan.usage.bodies.function_reads.get(function.oid, ())):
                if (membership := plan.memberships.get(oid)) is not None:
                    yield from _of_membership(plan, function, membership)


def _of_membership(
    plan: Plan, function: Function, membership: Membership
) -> Iterator[tuple[Function, Missing]]:
    table = membership.relation
    if function.oid not in plan.usage.conditions.asking:
        yield function, Missing(table, membership.user, _CALLER)
    used = queries.references(parse_trees.body_trees(function.language, function.body))
    # a column goes before an argument with its name
    named = {one.column for one in used} - table.by_name.keys()
    for at, type_ in enumerate(function.argument_types):
        number = f"${at + 1}"
        is_used = number in function.body or not named.isdisjoint(function.argument_names[at:][:1])
        for group in () if is_used else membership.groups:
            if table.by_name[group].type == type_:
                yield function, Missing(table, group, number)
