"""The values of a column that a project compares, lists or begins with."""

from collections.abc import Callable

from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.policies import check_constraints, expressions, parse_trees
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.words import WordList, Words

# times on both sides of each audit
PAST, FUTURE = "2020-01-01", "2100-01-01"


def compared_values(relation: Relation, column: Column, usage: Usage) -> list[str]:
    """All values that a constraint or the type of a column lists, or else those that are compared,
    and the one that a text has at first: a member is no admin, though only admins are asked for.
    """
    known = usage.constants.literals.get((relation.oid, column.name), [])
    start = default_of(column) if column.category == "S" else None
    others = [] if start is None or start in known or not known else [start]
    return listed_values(relation, column.name) or [*known, *others]


def listed_values(relation: Relation, column: str) -> list[str]:
    """All values that a column may have, if a constraint or its type lists them."""
    allowed = limits_of(relation).get(column, check_constraints.Limits()).allowed
    return allowed or list(relation.by_name[column].labels)


def mark_of(
    relation: Relation, role: Column | None, value_of: Callable[[Column], str | None]
) -> tuple[str, str] | None:
    """The first column with a value that marks a membership, and that value."""
    for column in relation.columns:
        if role is not None and column.name == role.name:
            continue
        value = value_of(column)
        if value is not None:
            return column.name, value
    return None


def is_acceptance(relation: Relation, column: Column, usage: Usage, words: Words) -> bool:
    """Whether a column of a membership holds the time from which it is valid: by its name, such as
    `accepted_at`, or because a policy or function asks that it is set, and its name is not that of
    an end.
    """
    if values.is_acceptance(column, words):
        return True
    is_asked = (relation.oid, column.name) in usage.mentions.presences
    return (
        is_asked and values.may_be_unset(column) and not words.ending_columns.matches(column.name)
    )


def ended_value(relation: Relation, usage: Usage, words: Words, column: Column) -> str | None:
    """The value by which a column marks a membership as ended; None if it does not."""
    if is_acceptance(relation, column, usage, words):
        return None
    is_ending = words.ending_columns.matches(column.name)
    if values.may_be_unset(column) and (relation.oid, column.name) in usage.mentions.nulls:
        return PAST
    if is_ending and column.base in values.TIMES:
        return PAST
    if column.base in values.RANGES and (relation.oid, column.name) in usage.mentions.mentioned:
        return values.ENDED
    if column.base == "bool" and is_ending:
        return "true"
    if column.base == "bool" and words.valid_memberships.matches(column.name.removeprefix("is_")):
        return "false"
    return state_value(relation, usage, words, column, words.ended_states)


def ended_if_mentioned(
    relation: Relation, usage: Usage, words: Words, column: Column
) -> str | None:
    """The same of a column that policies mention, or functions that they call."""
    is_mentioned = (relation.oid, column.name) in usage.mentions.mentioned
    return ended_value(relation, usage, words, column) if is_mentioned else None


def invited_value(relation: Relation, usage: Usage, words: Words, column: Column) -> str | None:
    """The value of a column that marks an invited person; None if it marks none."""
    name = column.name.removeprefix("is_")
    if column.base == "bool" and words.accepted_memberships.matches(name):
        return "false"
    return state_value(relation, usage, words, column, words.invited_states) or initial_value(
        relation, usage, words, column
    )


def initial_value(relation: Relation, usage: Usage, words: Words, column: Column) -> str | None:
    """The state in which a membership begins by default, if another one makes it valid."""
    known = compared_values(relation, column, usage)
    start = default_of(column)
    if not words.state_columns.matches(column.name) or start is None:
        return None
    is_valid = words.valid_states.matches(start) or words.ended_states.matches(start)
    becomes_valid = any(map(words.valid_states.matches, known))
    return start if start in known and becomes_valid and not is_valid else None


def state_value(
    relation: Relation, usage: Usage, words: Words, column: Column, states: WordList
) -> str | None:
    """The first of these states that a column with the state of a membership knows."""
    if not words.state_columns.matches(column.name):
        return None
    known = [value for value in compared_values(relation, column, usage) if states.matches(value)]
    return min(known, key=states.rank, default=None)


def limits_of(relation: Relation) -> dict[str, check_constraints.Limits]:
    """The limits of the columns of a table by its CHECK constraints."""
    found = check_constraints.limits(
        [c.definition for c in relation.constraints if c.kind == "c" and c.definition]
    )
    for column in relation.columns:
        if column.checks:
            domain = check_constraints.limits(column.checks, only="value_").get("value_")
            if domain is not None:
                found.setdefault(column.name, domain)
    return found


def default_of(column: Column) -> str | None:
    """The constant that a column has by default."""
    default = expressions.value(parse_trees.expression_tree(column.default or "null"))
    return default.text if isinstance(default, expressions.Literal) else None
