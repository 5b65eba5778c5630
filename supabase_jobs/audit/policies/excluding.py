"""Tables whose rows exclude the user that they name: policies and helpers demand that there is
none, as of a block between two users, or of a wall around a case.
"""

from collections.abc import Iterator
from typing import Any

from supabase_jobs.audit.catalog import Catalog
from supabase_jobs.audit.policies import parse_trees
from supabase_jobs.audit.policies.uses import Usage


def tables(catalog: Catalog, usage: Usage) -> set[int]:
    """The tables of which some condition demands that there is no row: NOT EXISTS, or NOT before a
    function that reads no other table.
    """
    names = {name: r.oid for r in catalog.tables for name in (r.label, r.name)}
    by_function = {
        function.name: usage.bodies.function_reads.get(function.oid, set())
        for function in catalog.functions
        if function.result == "boolean"
    }
    found = set[int]()
    for argument in _negated(catalog):
        found |= {names[name] for name in parse_trees.tables(argument) if name in names}
        for call in parse_trees.nodes(argument, "FuncCall"):
            read = by_function.get(parse_trees.name_of(call)[-1], set())
            found |= read if len(read) == 1 else set()
    return found


def _negated(catalog: Catalog) -> Iterator[Any]:
    """The negated parts of the conditions of policies, and of functions in SQL."""
    policies = [policy for relation in catalog.tables for policy in relation.policies]
    texts = [text for p in policies for text in (p.visible, p.checked) if text is not None]
    trees: list[Any] = [parse_trees.expression_tree(text) for text in texts]
    predicates = [function for function in catalog.functions if function.language == "sql"]
    trees += [parse_trees.body_trees(one.language, one.body) for one in predicates]
    for tree in trees:
        for negation in parse_trees.nodes(tree, "BoolExpr"):
            if negation["boolop"] == "NOT_EXPR":
                yield negation["args"][0]
