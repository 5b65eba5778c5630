"""Flags by which a policy hides rows from those without a role, and that they set in new rows: the
member who writes in the channel of the officers.
"""

from collections.abc import Iterator
from itertools import product

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import printed
from supabase_jobs.audit.policies.tested import conjuncts, naming, tests
from supabase_jobs.audit.policies.uneven_writes import Uneven, UnevenWrite
from supabase_jobs.audit.policies.uses import Usage

_USER = "authenticated"
_SELECT, _INSERT = "select", "insert"

# a policy, and the conditions that suffice together
_Alternative = tuple[str, frozenset[str]]


def find(usage: Usage, relation: Relation) -> Iterator[UnevenWrite]:
    """Those of a table; none if persons read rows of their own, whatever these say."""
    owners = [name for name in relation.by_name if (relation.oid, name) in usage.persons.owners]
    readers = list(_alternatives(relation, _SELECT))
    adding = list(_alternatives(relation, _INSERT))
    if any(naming(relation, tests(relation, " AND ".join(all_)), owners) for _, all_ in readers):
        return
    for (name, hidden), (_, shown), (policy, new) in product(readers, readers, adding):
        for part in hidden - shown:
            further, flag = shown - hidden, _hiding(relation, part)
            is_wider = bool(flag) and bool(further) and hidden - {part} <= shown
            named = {column for one in new for column in tests(relation, one).mentioned}
            is_free = hidden - {part} <= new and not further & new and flag not in named
            if is_wider and is_free and relation.may(_USER, "INSERT", flag):
                yield UnevenWrite(
                    what=Uneven.UNSEEN,
                    table=relation.label,
                    columns=(flag,),
                    policy=policy,
                    other=name,
                )


def _alternatives(relation: Relation, command: str) -> Iterator[_Alternative]:
    for policy in relation.policies:
        if policy.permissive and policy.governs(command) and policy.applies_to(_USER):
            for text in printed.alternatives(_text(policy, command), LIMITS.alternatives):
                yield policy.name, frozenset(conjuncts(text))


def _text(policy: Policy, command: str) -> str:
    text = policy.checked or policy.visible if command == _INSERT else policy.visible
    return text or "true"


def _hiding(relation: Relation, condition: str) -> str:
    """The flag that a condition demands not to be set, or ''."""
    for name, demand in tests(relation, condition).demands.items():
        if relation.by_name[name].base == "bool" and "false" in demand.values:
            return name
    return ""
