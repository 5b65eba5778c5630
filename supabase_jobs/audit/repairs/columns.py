"""Demands that take the writing of columns from a role, or limit it to some rows."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from psycopg import sql

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.policies import printed
from supabase_jobs.audit.probes.attempt import INSERT, UPDATE
from supabase_jobs.audit.repairs import guards
from supabase_jobs.audit.repairs.causes import Caused
from supabase_jobs.audit.repairs.conditions import names_column
from supabase_jobs.audit.repairs.demand import Demand, Grant, Guard, Script
from supabase_jobs.audit.repairs.owners import readable_parents
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.findings import as_comment


def question_of_columns(relation: Relation, role: str) -> str:
    """The grant of the columns that the app lets its users change, which nothing else knows."""
    revoke = sql.SQL("revoke update on {0} from {1};\ngrant update (…) on {0} to {1};").format(
        relation.identifier, sql.Identifier(role)
    )
    ask = "Which columns does the app let its users change? Grant only these:"
    return as_comment(f"{ask}\n{revoke.as_string(None)}")


def keeping(
    plan: Plan, relation: Relation, role: str, action: str, columns: frozenset[str]
) -> Iterator[Demand]:
    """Columns that a role may write no more, or only in rows that it changes by another condition:
    the staff decides about what users may not.
    """
    further = [*_of_other_roles(relation, role, action, columns)]
    further += [*_by_views(plan, relation, action, columns)]
    if action == INSERT and not any(one.relation is not relation for one in further):
        yield _with_defaults(relation, columns)
    grant = Grant(relation, role, action, columns)
    yield Demand(grants=[grant, *further])
    if action == UPDATE:
        for condition in guards.conditions(relation, role):
            yield from _guarded(grant, condition)


def _with_defaults(relation: Relation, columns: Collection[str]) -> Demand:
    """A further policy by which new rows have the defaults of columns, which requests may still
    name, as an app does.
    """
    tests = []
    for name in sorted(columns):
        column = relation.by_name[name]
        default = sql.SQL(column.default or "null")
        tests.append(sql.SQL("{} is not distinct from {}").format(column.identifier, default))
    text = sql.SQL(
        "create policy {} on {} as restrictive for insert to anon, authenticated with check ({});"
    ).format(
        sql.Identifier(f"{relation.name}: new rows with the default {', '.join(sorted(columns))}"),
        relation.identifier,
        sql.SQL(" and ").join(tests),
    )
    script = Script(
        text=text.as_string(None),
        tables=frozenset({relation.oid}),
        actions=frozenset({(relation.oid, INSERT)}),
    )
    return Demand(script=script, defaults=(relation, frozenset(columns)))


def _of_other_roles(
    relation: Relation, role: str, action: str, columns: frozenset[str]
) -> Iterator[Grant]:
    """The same columns of the other role of the API, if a policy lets it write rows, too: guests
    have orders as well.
    """
    other = "anon" if role == "authenticated" else "authenticated"
    policies = [p for p in relation.policies if p.permissive and p.applies_to(other)]
    may = any(relation.may(other, action.upper(), name) for name in columns)
    if may and any(policy.governs(action) for policy in policies):
        yield Grant(relation, other, action, columns)


def _by_views(
    plan: Plan, relation: Relation, action: str, columns: frozenset[str]
) -> Iterator[Grant]:
    """The columns of these names of views by which roles write the table as its owner."""
    for view in plan.catalog.relations:
        reads = plan.usage.reads.get(view.oid, set())
        if view.kind != "v" or view.invoker or relation.oid not in reads:
            continue
        named = frozenset(columns & view.by_name.keys())
        for role in ("anon", "authenticated"):
            if any(view.may(role, action.upper(), name) for name in named):
                yield Grant(view, role, action, named)


def with_readable_new_parent(
    plan: Plan, relation: Relation, role: str, column: str
) -> Iterator[Demand]:
    """A reference that changes only to a row that the caller can read; the row may stay below one
    that it cannot read.
    """
    keys = tuple(key for key in relation.foreign_keys if column in key.columns)
    moved = replace(relation, constraints=keys)
    asked = asked_of_new(relation, role, column)
    for condition in readable_parents(plan, moved, required=False):
        grant = Grant(relation, role, UPDATE, frozenset({column}))
        guard = f"{condition.as_string(None)} and {asked}" if asked else condition.as_string(None)
        yield from _guarded(grant, guard, of_new_rows=True)


def _guarded(grant: Grant, condition: str, *, of_new_rows: bool = False) -> Iterator[Demand]:
    """A trigger that finds what has a schema in its text; then one for conditions whose functions
    find tables by the search_path of the request.
    """
    for path in (guards.NO_PATH, guards.PATH):
        yield Demand(grants=[grant], guard=Guard(condition, of_new_rows, path))


def asked_of_new(relation: Relation, role: str, column: str) -> str:
    """The conditions of policies for new rows on the row to which a column refers, such as that a
    meeting is not over; '' if one of them has none.
    """
    found = []
    for policy in relation.policies:
        if policy.permissive and policy.applies_to(role) and policy.governs(INSERT):
            text = policy.checked or policy.visible or "true"
            parts = [p for p in printed.operands(text, "AND") if names_column(p, column)]
            found.append(" and ".join(f"({part})" for part in parts))
    return f"({' or '.join(found)})" if found and all(found) else ""


def is_set_elsewhere(plan: Plan, one: Caused) -> bool:
    """Whether a function sets the columns that a leak is about, or others may by another condition:
    then somebody else decides about them.
    """
    keys = {(one.relation.oid, name) for name in one.leak.columns}
    if any(keys <= found for found in plan.usage.bodies.sets.values()):
        return True
    return len(guards.alternatives(one.relation, one.attempt.caller.role)) > 1
