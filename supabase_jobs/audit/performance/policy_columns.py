"""Columns that policies compare, without an index: a request reads the whole table."""

from collections.abc import Iterator

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.performance.context import Context, Index
from supabase_jobs.audit.performance.plans import Query
from supabase_jobs.audit.performance.suggestion import Effect, Suggestion
from supabase_jobs.audit.policies import expressions, parse_trees
from supabase_jobs.audit.policies.expressions import USER_ID, Comparison, Literal, Reference
from supabase_jobs.audit.probes.attempt import DELETE, SELECT, UPDATE
from supabase_jobs.findings import Severity

KIND = "policy-column"
_Columns = tuple[Relation, tuple[str, ...]]


def find(context: Context) -> Iterator[Suggestion]:
    """A suggestion for each missing index that the plan of a caller's statement uses."""
    wanted: dict[_Columns, Policy] = {}
    queries: dict[Query, None] = {}
    for relation in context.tables:
        for policy in relation.policies if relation.rls else ():
            reads = context.reads(relation, (SELECT, UPDATE, DELETE), policy)
            queries |= dict.fromkeys(reads)
            for columns in _compared(context, relation, policy):
                wanted.setdefault(columns, policy)
    created = context.missing(list(wanted))
    for index in context.used(created, list(queries)):
        yield _suggestion(index, wanted[index.relation, index.columns])


def _compared(context: Context, relation: Relation, policy: Policy) -> Iterator[_Columns]:
    """The columns that a policy compares for equality with another value than a constant."""
    texts = [text for text in (policy.visible, policy.checked) if text]
    trees = [parse_trees.expression_tree(text) for text in texts]
    # any function stands for a value of the caller
    for found in expressions.comparisons(trees, lambda _name: USER_ID):
        if found.operator != "=":
            continue
        for side, other in ((found.left, found.right), (found.right, found.left)):
            if isinstance(side, Reference) and not isinstance(other, Literal):
                table = _table(context, relation, side, found)
                if table is not None:
                    yield table, (side.column,)


def _table(
    context: Context, relation: Relation, column: Reference, found: Comparison
) -> Relation | None:
    """The table of a column: one of a sub-select, or that of the policy."""
    if column.table is None or column.table not in found.scopes:
        return relation if column.column in relation.by_name else None
    label = found.scopes[column.table]
    tables = (table for table in context.tables if table.label == label)
    return next((table for table in tables if column.column in table.by_name), None)


def _suggestion(index: Index, policy: Policy) -> Suggestion:
    columns = ", ".join(index.columns)
    return Suggestion(
        kind=KIND,
        severity=Severity.WARNING,
        relation=index.relation,
        name=columns,
        message=f"no index for {columns}, which a policy compares: a request reads the whole table",
        cause=f'policy "{policy.name}"',
        gain="the plans of callers use the index",
        rewrite=(index.statement,),
        effect=Effect.BETTER,
        policies=(policy,) if policy in index.relation.policies else (),
    )
