"""Memberships: the tables that join users to groups, their roles and their states."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from supabase_jobs.audit.catalog import USERS, Column, Relation
from supabase_jobs.audit.policies import expressions, parse_trees
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.compared_values import (
    FUTURE,
    PAST,
    compared_values,
    ended_if_mentioned,
    ended_value,
    invited_value,
    is_acceptance,
    mark_of,
)
from supabase_jobs.audit.rows.persons import is_told_apart, user_columns
from supabase_jobs.audit.words import Words


@dataclass(frozen=True)
class Membership:
    """A table that joins a user to a group: its columns, the roles that it knows, and how it marks
    a former member and an invited person.

    `roles` are in the order of their power, as far as their names tell. `weakest` is the last of
    them that a policy or function compares, or the last one: an unused label changes nothing.
    `former` is the column and the value that mark a membership as ended, `invited` those that mark
    it as not accepted; None if no column does. `states` are the columns that may say whether a
    membership is valid, other than the role, with each of their values.
    """

    relation: Relation
    user: str
    groups: tuple[str, ...]
    role: str | None
    roles: tuple[str, ...]
    weakest: str | None
    former: tuple[str, str] | None
    invited: tuple[str, str | None] | None
    states: tuple[tuple[str, str | None], ...] = ()

    def starts(self, column: str) -> str | None:
        """The constant with which a column starts; None if it has none."""
        default = self.relation.by_name[column].default
        start = expressions.value(parse_trees.expression_tree(default or "null"))
        return start.text if isinstance(start, expressions.Literal) else None

    def state(self, column: str, value: str | None) -> str:
        """A state of the membership in words: `status = paused`, `left_on is in the past`."""
        if value is None:
            return f"{column} is null"
        if self.relation.by_name[column].base in values.TIMES:
            return f"{column} is in the {'past' if value == PAST else 'future'}"
        if self.relation.by_name[column].base in values.RANGES:
            return f"{column} is {values.side_of_range(value)}"
        return f"{column} = {value}"


def membership_of(
    relation: Relation,
    usage: Usage,
    per_user: frozenset[int],
    words: Words,
    *,
    opens: bool,
    joins: bool = False,
) -> Membership | None:
    """The membership that a table is; None if it is none."""
    if relation.oid in per_user:
        return None
    users = user_columns(relation, usage, per_user)
    groups = tuple(
        c
        for key in relation.foreign_keys
        if key.target_name != USERS and key.target not in per_user and key.target != relation.oid
        for c in key.columns
        if c not in users
    )
    claimed = tuple(
        c.name for c in relation.columns if (relation.oid, c.name) in usage.claim_columns
    )
    groups = (
        groups or tuple(c for c in claimed if c not in users) or _followed(relation, users, usage)
    )
    if not users or not groups:
        return None
    keys = [key for key in relation.unique_keys if not set(groups).isdisjoint(key)]
    paired = set(chain.from_iterable(keys)).difference(groups)
    user = next((user for user in users if user in paired), None)
    role = _role(relation, usage, groups, words, opens=opens)
    if user is None:
        is_named = role is not None and words.membership_tables.matches(relation.name)
        if not joins and not is_named:
            return None
        user = next(u for u in users if u not in groups)
    roles = _roles(relation, role, usage, words) if role is not None else ()
    ended = partial(ended_value, relation, usage, words)
    if joins:  # only what decides: other columns may say what happens by itself
        ended = partial(ended_if_mentioned, relation, usage, words)
    return Membership(
        relation=relation,
        user=user,
        groups=groups,
        role=role.name if role else None,
        roles=roles,
        weakest=_weakest(relation, role, roles, usage, words) if role is not None else None,
        former=mark_of(relation, role, ended),
        invited=_invited(relation, role, usage, words),
        states=_states(relation, role, usage, per_user) if opens else (),
    )


def _states(
    relation: Relation, role: Column | None, usage: Usage, per_user: frozenset[int]
) -> tuple[tuple[str, str | None], ...]:
    """The columns that tell memberships apart, with their values: of a list, of a flag that is set
    by default, and both sides of a time.
    """
    found: list[tuple[str, str | None]] = []
    for column in relation.columns:
        if role is not None and column.name == role.name:
            continue
        if is_told_apart(usage, relation, column, per_user):
            found += [(column.name, value) for value in _sides(relation, column, usage)]
    return tuple(found)


def _sides(relation: Relation, column: Column, usage: Usage) -> list[str | None]:
    """The values of a column that may say whether a row is valid; none if it cannot."""
    if column.base == "bool":
        return ["true", "false"] if column.is_on_at_first else []
    if column.base in values.TIMES:
        if column.default is not None:
            return []  # when the row began
        return [FUTURE if column.not_null else None, PAST]
    if column.base in values.RANGES:
        return [values.CURRENT, values.ENDED, values.COMING]
    known = compared_values(relation, column, usage)
    return [*known] if len(known) > 1 else []


def _roles(relation: Relation, role: Column, usage: Usage, words: Words) -> tuple[str, ...]:
    """The roles of a membership, the most powerful one first."""
    known = compared_values(relation, role, usage)
    if (relation.oid, role.name) in usage.constants.ascending:
        return tuple(label for label in reversed(role.labels) if label in known)
    by_rank = partial(
        _rank_of_role, words, usage.constants.inserted.get((relation.oid, role.name), ())
    )
    return tuple(sorted(known, key=by_rank))


def _weakest(
    relation: Relation, role: Column, roles: Sequence[str], usage: Usage, words: Words
) -> str | None:
    """The role with the least rights: the last of those that are compared, or the last one."""
    key = relation.oid, role.name
    if not roles or key in usage.constants.ascending:
        return roles[-1] if roles else None
    compared, inserted = (
        usage.constants.literals.get(key, []),
        usage.constants.inserted.get(key, ()),
    )
    by_rank = partial(_rank_of_role, words, inserted)
    return max(reversed(roles), key=lambda name: (by_rank(name)[0], name in compared))


def _rank_of_role(words: Words, inserted: Collection[str], role: str) -> tuple[int, bool]:
    """The lower, the more powerful a role is: one that functions of the project insert, as for who
    founds a group, is at least as powerful as the last role that is known by its name.
    """
    rank = words.powerful_roles.rank(role)
    if role in inserted:
        rank = min(rank, len(words.powerful_roles.words) - 1)
    return rank, role not in inserted


def _followed(relation: Relation, users: Sequence[str], usage: Usage) -> tuple[str, ...]:
    """The column of the other user, where a user may only insert rows of their own: a follower, a
    friend.
    """
    own = [c for c in users if (relation.oid, c) in usage.persons.checked]
    return tuple(c for c in users if c not in own) if len(own) == 1 and len(users) == 2 else ()


def _role(
    relation: Relation, usage: Usage, groups: Sequence[str], words: Words, *, opens: bool
) -> Column | None:
    others = [c for c in relation.columns if c.name not in groups]
    listed = [c for c in others if compared_values(relation, c, usage)]
    named = [c for c in listed if words.role_columns.matches(c.name)]
    compared = [c for c in listed if opens and _tells_members_apart(relation, c, usage, words)]
    return next(iter((*named, *compared)), None)


def _tells_members_apart(relation: Relation, column: Column, usage: Usage, words: Words) -> bool:
    """Whether policies or functions ask for one of several values of a column: a role, whatever it
    is called, where the table decides about rows of others.
    """
    is_state = column.base == "bool" or words.state_columns.matches(column.name)
    key = relation.oid, column.name
    is_asked = key in usage.constants.equal or (
        key in usage.looked_up and key in usage.constants.literals
    )
    return is_asked and not is_state and len(compared_values(relation, column, usage)) > 1


def _invited(
    relation: Relation, role: Column | None, usage: Usage, words: Words
) -> tuple[str, str | None] | None:
    """The column and the value that mark a membership as not accepted; the time of an acceptance
    only if policies or functions read it.
    """
    marked = mark_of(relation, role, partial(invited_value, relation, usage, words))
    if marked is not None:
        return marked
    accepted = [c.name for c in relation.columns if is_acceptance(relation, c, usage, words)]
    return next(((name, None) for name in accepted if name in usage.mentions.words), None)
