"""Foreign keys without an index: each deleted or changed row above reads the whole table below."""

from collections.abc import Iterator

from psycopg import sql

from supabase_jobs.audit.catalog import Constraint, Relation
from supabase_jobs.audit.performance.context import Context, Index
from supabase_jobs.audit.performance.plans import Query
from supabase_jobs.audit.performance.suggestion import Effect, Suggestion
from supabase_jobs.findings import Severity

KIND = "foreign-key"


def find(context: Context) -> Iterator[Suggestion]:
    """A suggestion for each key of which no index has the columns first."""
    keys: dict[tuple[Relation, tuple[str, ...]], Constraint] = {}
    for relation in context.tables:
        for key in relation.foreign_keys:
            if key.kind == "f":
                keys.setdefault((relation, key.columns), key)
    created = context.missing(list(keys))
    below = [_rows_below(index.relation, keys[index.relation, index.columns]) for index in created]
    used = context.used(created, [Query(statement) for statement in below])
    for index in created:
        key = keys[index.relation, index.columns]
        effect = Effect.BETTER if index in used else Effect.EQUAL
        yield _suggestion(index, key, effect)


def _suggestion(index: Index, key: Constraint, effect: Effect) -> Suggestion:
    columns, label = ", ".join(index.columns), index.relation.label
    reads = f"to delete a row of {key.target_name}, PostgreSQL reads all of {label}"
    return Suggestion(
        kind=KIND,
        severity=Severity.INFO,
        relation=index.relation,
        name=key.name,
        message=f"no index for the foreign key {key.name} ({columns}): {reads}",
        cause=f"foreign key {key.name}",
        gain="the plan of its check uses the index",
        rewrite=(index.statement,),
        effect=effect,
    )


def _rows_below(relation: Relation, key: Constraint) -> str:
    """The statement by which PostgreSQL finds the rows that refer to one; sub-selects stand for the
    values of its key.
    """
    row = sql.SQL("{} = (select {} from {} limit 1)")
    above = sql.SQL(key.target_name or "")
    conditions = [
        row.format(sql.Identifier(column), sql.Identifier(target), above)
        for column, target in zip(key.columns, key.target_columns, strict=True)
    ]
    select = sql.SQL("select from {} where {}")
    return select.format(relation.identifier, sql.SQL(" and ").join(conditions)).as_string(None)
