"""Helpers in policies that run for each row, because they get a column of it."""

from collections.abc import Iterator, Mapping, Sequence

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.performance.context import Context
from supabase_jobs.audit.performance.plans import Planning, Query
from supabase_jobs.audit.performance.suggestion import Suggestion
from supabase_jobs.audit.policies import parse_trees
from supabase_jobs.audit.probes.attempt import DELETE, SELECT, UPDATE
from supabase_jobs.database.query_plan import repeated_calls
from supabase_jobs.findings import Severity

KIND = "row-function"


def find(context: Context) -> Iterator[Suggestion]:
    """A suggestion for each such helper of a table, if a plan of its callers has the call."""
    helpers: dict[Relation, dict[str, list[Policy]]] = {}
    for relation in context.tables:
        called: dict[str, list[Policy]] = {}
        for policy in relation.policies if relation.rls else ():
            for name in _called(context, policy):
                called.setdefault(name, []).append(policy)
        helpers[relation] = called
    repeated = _repeated(context, helpers)
    for relation, called in helpers.items():
        for name in called.keys() & repeated[relation]:
            yield _suggestion(relation, name, called[name])


def _called(context: Context, policy: Policy) -> set[str]:
    """The project's functions whose arguments have a column, as plans name them."""
    texts = [text for text in (policy.visible, policy.checked) if text]
    trees = [parse_trees.expression_tree(text) for text in texts]
    found = set()
    for call in parse_trees.nodes(trees, "FuncCall"):
        name = parse_trees.name_of(call)
        if context.functions.is_own(name) and any(parse_trees.nodes(call, "ColumnRef")):
            found.add(".".join(name))
    return found


def _repeated(
    context: Context, helpers: Mapping[Relation, Mapping[str, Sequence[Policy]]]
) -> dict[Relation, set[str]]:
    """Table → the calls that the plans of callers repeat."""
    queries: dict[Query, Relation] = {}
    for relation, called in helpers.items():
        for policy in dict.fromkeys(policy for some in called.values() for policy in some):
            reads = context.reads(relation, (SELECT, UPDATE, DELETE), policy)
            queries |= dict.fromkeys(reads, relation)
    found: dict[Relation, set[str]] = {relation: set() for relation in helpers}
    plans = context.planner.plans(list(queries), Planning.ROW_BY_ROW)
    for relation, plan in zip(queries.values(), plans, strict=True):
        calls = () if plan is None else repeated_calls(plan)
        found[relation] |= {call.removesuffix("()").replace('"', "") for call in calls}
    return found


def _suggestion(relation: Relation, name: str, policies: list[Policy]) -> Suggestion:
    count = "a policy calls" if len(policies) == 1 else f"{len(policies)} policies call"
    return Suggestion(
        kind=KIND,
        severity=Severity.INFO,
        relation=relation,
        name=name,
        message=f"{count} {name}() with a column of each row",
        cause=", ".join(f'policy "{policy.name}"' for policy in policies),
        gain="No rewrite is known. A function that returns the ids of all rows of the caller runs"
        " once: column in (select private.ids_of_the_caller()).",
        policies=tuple(policies),
    )
