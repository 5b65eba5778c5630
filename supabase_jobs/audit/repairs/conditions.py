"""Demands that limit policies by conditions of other ones, or by states of rows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from psycopg import sql

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.policies import parse_trees, printed, queries
from supabase_jobs.audit.policies.tested import shows_only
from supabase_jobs.audit.probes.attempt import INSERT, UPDATE, Attempt
from supabase_jobs.audit.repairs.demand import Demand, Edit, edited
from supabase_jobs.audit.repairs.owners import texts_of
from supabase_jobs.audit.repairs.statements import is_open
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.findings import Holds, RowState


def outside_of_state(
    relation: Relation, policies: Sequence[Policy], state: RowState
) -> Iterator[str]:
    """The conditions that a row is not in a state of its own; none if one of the policies demands
    that state: no row would be left.
    """
    for column in state.columns:
        if not column.is_own or column.name not in relation.by_name:
            continue
        if any(shows_only(relation, policy, column.name, column.value) for policy in policies):
            continue
        own = relation.by_name[column.name]
        if column.holds is Holds.NULL:
            yield sql.SQL("{} is not null").format(own.identifier).as_string(None)
        elif column.holds is Holds.EQUAL:
            text = sql.SQL("{} is distinct from {}::{}")
            literal = sql.Literal(column.value)
            yield text.format(own.identifier, literal, sql.SQL(own.type)).as_string(None)


def as_other_commands(
    relation: Relation, policies: Sequence[Policy], role: str
) -> Iterator[Demand]:
    """The policies with the conditions of those for the other commands that change rows."""
    others = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    for other in others:
        condition = other.checked or other.visible
        if other not in policies and other.command != "r" and condition:
            yield replace(edited(relation, policies, Edit.OWNER), owner=f"({condition})")


def as_changed(
    relation: Relation, policies: Sequence[Policy], role: str, columns: Sequence[str]
) -> Iterator[Demand]:
    """The policies for new rows with what those for changed ones demand of some columns."""
    changing = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    texts = [p.checked or p.visible or "" for p in changing if p.governs(UPDATE)]
    for part in dict.fromkeys(part for text in texts for part in printed.operands(text, "AND")):
        references = queries.references(parse_trees.expression_tree(part))
        if {one.column for one in references} & {*columns}:
            yield replace(edited(relation, policies, Edit.OWNER_OF_NEW_ROWS), owner=f"({part})")


def as_old_rows(
    relation: Relation, policies: Sequence[Policy], attempt: Attempt
) -> Iterator[Demand]:
    """The demands of a policy on a column of old rows that it does not make of new ones: an update
    that moves its row leaves them.
    """
    for policy in policies if len(policies) == 1 and attempt.action == UPDATE else ():
        known = printed.operands(policy.checked or "true", "AND")
        left_out = [
            f"({part})"
            for part in printed.operands(policy.visible or "true", "AND")
            if part not in known and names_column(part, attempt.column)
        ]
        if policy.checked and left_out:
            limited = edited(relation, policies, Edit.OWNER_OF_NEW_ROWS)
            yield replace(limited, owner=" and ".join(left_out))


def of_files(relation: Relation, policies: Sequence[Policy], role: str) -> list[str]:
    """The conditions on the path of a file of other policies of the same buckets."""
    texts = [text for policy in policies for text in texts_of(policy)]
    known = {part for text in texts for part in printed.operands(text, "AND")}
    buckets = {part for part in known if names_column(part, "bucket_id")}
    found = []
    for other in relation.policies:
        parts = printed.operands(other.visible or other.checked or "", "AND")
        is_same = bool(buckets.intersection(parts)) and other not in policies
        if is_same and other.permissive and other.applies_to(role):
            found += [f"({p})" for p in parts if names_column(p, "name") and p not in known]
    return list(dict.fromkeys(found))


def names_column(text: str, column: str) -> bool:
    """Whether a condition names a column."""
    found = queries.references(parse_trees.expression_tree(text))
    return any(one.column == column for one in found)


def fewer_alternatives(relation: Relation, policies: Sequence[Policy]) -> Iterator[Demand]:
    """The policies without one of the conditions that each suffice."""
    texts = [text for p in policies for text in (p.visible, p.checked) if text]
    for text in dict.fromkeys(texts):
        parts = printed.operands(text, "OR")
        for part in parts if len(parts) > 1 else ():
            yield replace(edited(relation, policies, Edit.WITHOUT_ALTERNATIVE), owner=part)


def with_other_labels(
    plan: Plan, relation: Relation, policies: Sequence[Policy], attempt: Attempt
) -> Iterator[Demand]:
    """New rows without a label of the one that opens something, such as the role of an
    administrator: people still add their own row as they sign up.
    """
    limits = plan.limits.get(relation.oid, {})
    for name, label in attempt.written.items() if attempt.action == INSERT else ():
        column = relation.by_name[name]
        known = (limits[name].allowed if name in limits else ()) or column.labels
        if label in known and name in plan.usage.mentions.words:
            text = sql.SQL("{} is distinct from {}::{}")
            condition = text.format(column.identifier, sql.Literal(label), sql.SQL(column.type))
            limited = edited(relation, policies, Edit.OWNER_OF_NEW_ROWS)
            yield replace(limited, owner=f"({condition.as_string(None)})")


def of_others(
    plan: Plan,
    relation: Relation,
    policies: Sequence[Policy],
    known: Sequence[str],
    *,
    is_write: bool = False,
) -> list[str]:
    """The conditions by which other policies let rows pass: those of this table, then those of
    tables below the same table, which may be valid here too. Who may read rows may not write them.
    """
    others = [p for p in relation.policies if p not in policies]
    targets = {key.target for key in relation.foreign_keys}
    for table in plan.catalog.tables:
        if table is not relation and targets & {key.target for key in table.foreign_keys}:
            others += table.policies
    if is_write:
        others = [p for p in others if p.command != "r"]
    texts = [p.visible or p.checked or "" for p in others if p.permissive]
    texts += [part for text in texts for part in printed.operands(text, "AND")]
    found = [f"({text})" for text in texts if text and not is_open(text)]
    return [text for text in dict.fromkeys(found) if text not in known]
