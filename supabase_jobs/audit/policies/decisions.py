"""The columns about which a project may decide elsewhere, and which a policy leaves to the person
whom a row names: a state, a flag, an amount, or the time of an event.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.policies.tested import Tests, naming, tests, untested, written

_COMMANDS = ("insert", "update")


class Meaning(Enum):
    """The meaning of a column that holds a decision: one of few values, a number, a time that is
    null before its event. A writer has to state the number of each new row that has no default.
    """

    STATE = auto()
    AMOUNT = auto()
    STATED = auto()
    TIME = auto()


@dataclass(frozen=True, kw_only=True)
class Free:
    """The columns that the persons in a row choose: `columns` maps them to the commands by which
    they do. By the policies `deciders`, others change such rows.
    """

    persons: Sequence[str]
    columns: Mapping[str, Collection[str]]
    deciders: Sequence[str]


@dataclass(frozen=True)
class _Own:
    """A policy for writes of the person in a row, with its conditions on the new and old row."""

    policy: Policy
    new: Tests
    old: Tests


def free(
    relation: Relation, role: str, owners: Collection[str], meanings: Mapping[str, Meaning]
) -> Free | None:
    """The columns with a meaning that no policy tests when their person writes a row, although by
    another policy somebody else changes it; None without such a policy.

    An amount is left out that belongs to who adds the row and changes it as they like, such as the
    price of a seller. A column in which others sign what they change is theirs, too.
    """
    applying = [policy for policy in relation.policies if policy.applies_to(role)]
    own, deciders, persons = list[_Own](), list[str](), set[str]()
    signed = set[str]()
    for policy in (p for p in applying if p.permissive):
        one = _Own(policy, written(relation, policy), tests(relation, policy.visible))
        writes = any(policy.governs(command) for command in _COMMANDS)
        before = naming(relation, one.old, owners)
        signs = policy.governs("update") and not before and bool(one.old.others)
        named = before | naming(relation, one.new, owners)
        if writes and named and not signs:
            own.append(one)
            persons |= named
        elif policy.governs("update") and one.old.others:
            deciders.append(policy.name)
            signed |= named
    if not own or not deciders:
        return None
    adds = any(one.policy.governs("insert") for one in own)
    adds |= not any(p.permissive and p.governs("insert") for p in applying)
    manages = adds and any(
        p.policy.governs("update") and not (p.new.demands or p.old.demands) for p in own
    )
    theirs = {Meaning.AMOUNT: manages, Meaning.STATED: adds}
    free_ = {name for name, meaning in meanings.items() if not theirs.get(meaning)}
    free_ |= signed - persons
    columns: dict[str, list[str]] = {}
    for command in _COMMANDS:
        kept = _kept(relation, applying, command)
        for one in (one for one in own if one.policy.governs(command)):
            for name in _unnamed(relation, role, one, command, free_ - kept):
                columns.setdefault(name, []).append(command)
    return Free(persons=_in_order(relation, persons), columns=columns, deciders=deciders)


def loosened(relation: Relation, role: str, sides: Collection[str]) -> Free | None:
    """The columns that a policy tests in the new rows of one side, such as the branch that asks,
    and none when both sides change them. `sides` are the columns that name groups.
    """
    columns = untested(relation, role, sides)
    applying = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    inserting = [written(relation, p).mentioned for p in applying if p.governs("insert")]
    persons = {name for names in inserting for name in names if name in sides}
    deciders = [
        policy.name
        for policy in applying
        if policy.governs("update")
        if len({*tests(relation, policy.visible).mentioned} & {*sides} | persons) > len(persons)
    ]
    if not columns or not persons or not deciders:
        return None
    return Free(
        persons=_in_order(relation, persons),
        columns={name: ["update"] for name in columns},
        deciders=deciders,
    )


def unended(
    relation: Relation, role: str, owners: Collection[str], times: Collection[str]
) -> list[str]:
    """The times of an event after which the person in a row changes it all the same: no policy by
    which they do looks at them.
    """
    applying = [policy for policy in relation.policies if policy.applies_to(role)]
    updating = [p for p in applying if p.governs("update")]
    own = [
        p for p in updating if p.permissive and naming(relation, tests(relation, p.visible), owners)
    ]
    looked_at = _kept(relation, applying, "update")
    for policy in own:
        looked_at |= {*written(relation, policy).mentioned}
        looked_at |= {*tests(relation, policy.visible).mentioned}
    return [name for name in times if own and name not in looked_at]


def _in_order(relation: Relation, names: Collection[str]) -> list[str]:
    return [name for name in relation.by_name if name in names]


def _unnamed(
    relation: Relation, role: str, own: _Own, command: str, names: Collection[str]
) -> Iterator[str]:
    """The columns that a role may write and a policy does not name."""
    for name in relation.by_name:
        may = relation.may(role, command.upper(), name)
        if name in names and may and name not in own.new.mentioned:
            yield name


def _kept(relation: Relation, policies: Sequence[Policy], command: str) -> set[str]:
    """The columns that restrictive policies name."""
    restrictive = [p for p in policies if not p.permissive and p.governs(command)]
    return {name for policy in restrictive for name in written(relation, policy).mentioned}
