"""The columns that say whose a row is, and that a policy for writes leaves free: the author of a
new row, or another person in one that somebody named in it changes.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees, printed
from supabase_jobs.audit.policies.expressions import Reference
from supabase_jobs.audit.policies.tested import naming, tests

_ROLE = "authenticated"
_INSERT, _UPDATE, _DELETE = "insert", "update", "delete"
_COMMANDS = ("select", _INSERT, _UPDATE, _DELETE)


@dataclass(frozen=True)
class _Alternative:
    """A condition that suffices for a write: the columns of the row in it, and those that it
    compares with the caller.
    """

    mentioned: Collection[str]
    named: Collection[str]


def find(
    relation: Relation,
    persons: Sequence[str],
    *,
    bound: Collection[str],
    given: Collection[str],
    frozen: Collection[str],
) -> Iterator[tuple[str, list[str]]]:
    """Each of the `persons` that says whose a row is, with the commands that leave it free.

    `bound` are the names of columns that policies of the project compare with the caller in new
    rows, also of other tables; `given` those that a trigger sets in new rows, `frozen` those that
    one guards in changed ones.
    """
    applying = [policy for policy in relation.policies if policy.applies_to(_ROLE)]
    does = {command: _alternatives(relation, applying, persons, command) for command in _COMMANDS}
    rights = {name: _rights(name, does) for name in persons}
    adding = [one for one in does[_INSERT] if one.mentioned]
    for name in persons:
        commands, rules = list[str](), bool(rights[name] & {_UPDATE, _DELETE})
        asked = adding or (does[_INSERT] if rules else [])
        if name not in bound:
            asked = [*_of_weaker(name, asked, rights)] if rules else []
        if name not in given and any(name not in one.mentioned for one in asked):
            commands.append(_INSERT)
        by_persons = [one for one in does[_UPDATE] if one.named]
        weaker = _of_weaker(name, by_persons, rights)
        if name not in frozen and any(name not in one.mentioned for one in weaker):
            commands.append(_UPDATE)
        commands = [one for one in commands if relation.may(_ROLE, one.upper(), name)]
        if commands and not _is_kept(relation, applying, name):
            yield name, commands


def _rights(column: str, does: Mapping[str, Sequence[_Alternative]]) -> set[str]:
    """The commands in which a policy compares a column with the caller."""
    found = set[str]()
    for command, alternatives in does.items():
        if any(column in one.named for one in alternatives):
            found.add(command)
    return found


def _of_weaker(
    column: str, alternatives: Collection[_Alternative], rights: Mapping[str, set[str]]
) -> Iterator[_Alternative]:
    """Those of callers who may do less than the person in a column: who may do the same only shares
    the row.
    """
    for one in alternatives:
        if not any(rights[column] <= rights[other] for other in one.named):
            yield one


def _is_kept(relation: Relation, applying: Sequence[Policy], column: str) -> bool:
    """Whether a restrictive policy names the column."""
    texts = [p.checked or p.visible or "true" for p in applying if not p.permissive]
    return any(column in _mentioned(relation, text) for text in texts)


def _alternatives(
    relation: Relation, applying: Sequence[Policy], persons: Sequence[str], command: str
) -> list[_Alternative]:
    """Those of the policies that accept a row."""
    governing = [p for p in applying if p.permissive and p.governs(command)]
    texts = [policy.checked or policy.visible or "true" for policy in governing]
    found = [one for text in texts for one in printed.alternatives(text, LIMITS.alternatives)]
    return [
        _Alternative(_mentioned(relation, one), naming(relation, tests(relation, one), persons))
        for one in found
    ]


def _mentioned(relation: Relation, text: str) -> set[str]:
    """The columns of the row that a condition names; in a query they have the name of its table."""
    found = set[str]()
    for fields in parse_trees.nodes(parse_trees.expression_tree(text), "ColumnRef"):
        named = expressions.value({"ColumnRef": fields})
        if isinstance(named, Reference) and named.table in (None, relation.name):
            found.add(named.column)
    return found & {*relation.by_name}
