"""Rows that refuse something to the person whom they name, such as a wall or a ban, and that this
person ends.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Function, Relation
from supabase_jobs.audit.policies import parse_trees
from supabase_jobs.audit.policies.uneven_writes import Uneven, UnevenWrite
from supabase_jobs.audit.policies.uses import ColumnKey, Usage

_USER = "authenticated"
_DELETE = "delete"


def locks(catalog: Catalog, usage: Usage) -> Mapping[ColumnKey, Function]:
    """The columns with the person whom a row refuses something, with the helper that finds the row:
    policies, and functions that only select, ask for none.
    """
    texts = [t for r in catalog.tables for p in r.policies for t in (p.visible, p.checked) if t]
    trees: list[Any] = [parse_trees.expression_tree(text) for text in dict.fromkeys(texts)]
    trees += [
        parse_trees.body_trees(f.language, f.body) for f in catalog.functions if f.language == "sql"
    ]
    negations = [n for n in parse_trees.nodes(trees, "BoolExpr") if n["boolop"] == "NOT_EXPR"]
    calls = [n["args"][0]["FuncCall"] for n in negations if "FuncCall" in n["args"][0]]
    names = {parse_trees.name_of(call)[-1] for call in calls}
    helpers = [f for f in catalog.functions if f.name in names]
    return {key: helper for helper in helpers for key in usage.conditions.own.get(helper.oid, ())}


def find(relation: Relation, found: Mapping[ColumnKey, Function]) -> Iterator[UnevenWrite]:
    """The policies by which somebody deletes such a row, and that do not look at whom it names."""
    for (oid, column), helper in found.items():
        for policy in relation.policies if oid == relation.oid else ():
            is_deleting = policy.permissive and policy.governs(_DELETE)
            words = {*re.findall(r"\w+", policy.visible or "")}
            is_open = words.isdisjoint([column, helper.name]) and relation.may(_USER, "DELETE")
            if is_deleting and policy.applies_to(_USER) and is_open:
                yield UnevenWrite(
                    what=Uneven.LOCK,
                    table=relation.label,
                    columns=(column,),
                    policy=policy.name,
                    other=helper.signature,
                )
