"""Attempts like those of an audit, with other values in the row that they write."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from psycopg import sql

from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions
from supabase_jobs.audit.policies.expressions import Literal
from supabase_jobs.audit.policies.parse_trees import expression_tree
from supabase_jobs.audit.probes.attempt import INSERT, OWN, Attempt
from supabase_jobs.audit.repairs.causes import alone
from supabase_jobs.audit.repairs.seen import Seen
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.states import identity
from supabase_jobs.audit.rows.tenants import User
from supabase_jobs.session.action import Constant, Insert, Update


def _is_own_new_row(one: Attempt, relation: Relation) -> bool:
    """Whether who has signed in adds a row of their own to a table."""
    is_own = (one.action, one.whose) == (INSERT, OWN) and one.reached and not one.is_state
    return is_own and one.relation is relation and one.caller.role != "anon"


def writing(write: Attempt, value: str | None) -> Attempt:
    """An update that gives the same column another value."""
    column, sent = write.relation.by_name[write.column], write.sent
    if isinstance(sent, Update):
        sent = replace(sent, values={column.name: Constant(value, column.type)})
    return replace(alone(write), sent=sent, value=value)


def assigned(write: Attempt, name: str, value: str | None) -> str:
    """The statement that gives a column of the row of an attempt a value, as the owner."""
    column, row = write.relation.by_name[name], write.row
    text = sql.SQL("update {} set {} = {} where {};").format(
        row.relation.identifier, column.identifier, Constant(value, column.type), row.condition
    )
    return text.as_string(None)


class Variants:
    """Attempts like those `before`, with other values of the same world."""

    def __init__(self, world: World, before: Seen) -> None:
        self._world, self._before = world, before

    def in_states(self, write: Attempt) -> list[str]:
        """The statements that give other columns of the row of an update another label."""
        relation, words = write.relation, self._world.plan.usage.mentions.words
        given = [
            (column, label)
            for column in relation.columns
            if column.name != write.column and column.name in words
            for label in self._labels(column, relation)
        ]
        return [
            assigned(write, column.name, label)
            for column, label in given[: LIMITS.values]
            if label != write.row.values.get(column.name)
        ]

    def with_other_labels(self, write: Attempt) -> Iterator[Attempt]:
        """A new row with each of the labels that a column of it may have."""
        sent = write.sent
        if not isinstance(sent, Insert):
            return
        for name in write.written:
            column = write.relation.by_name[name]
            for label in self._labels(column, write.relation):
                if label != write.written[name]:
                    values = {**sent.assigned, name: Constant(label, column.type)}
                    yield replace(alone(write), sent=replace(sent, values=values))

    def in_own_name(self, relation: Relation) -> dict[str, Attempt]:
        """New rows of somebody, each with one of the columns that name their owner; the others name
        a stranger. None if no more than one column does.
        """
        usage, per_user = self._world.plan.usage, self._world.plan.per_user
        own = next((a for a in self._before.attempts if _is_own_new_row(a, relation)), None)
        if own is None or own.caller.user is None or not isinstance(own.sent, Insert):
            return {}
        is_of_a = own.caller.tenant is self._world.a
        stranger = (self._world.b if is_of_a else self._world.a).users[0]
        others = {
            name: Constant(identity(relation, name, stranger), relation.by_name[name].type)
            for name in user_columns(relation, usage, per_user)
            if own.written.get(name) == identity(relation, name, own.caller.user)
        }
        found = {}
        for name in others if len(others) > 1 else ():
            named = {other: value for other, value in others.items() if other != name}
            found[name] = replace(
                alone(own), sent=replace(own.sent, values={**own.sent.assigned, **named})
            )
        return found

    def with_values(self, write: Attempt, *, with_labels: bool) -> Iterator[Attempt]:
        """A new row with the default of the column that it chooses, if that is a constant, and with
        each label that the column may have.
        """
        if not isinstance(sent := write.sent, Insert):
            return
        column = write.relation.by_name[write.column]
        labels = self._labels(column, write.relation) if with_labels else ()
        start = expressions.value(expression_tree(column.default or "null"))
        default = [start.text] if isinstance(start, Literal) else []
        for value in list(dict.fromkeys([*default, *labels]))[: LIMITS.values]:
            given = {**sent.assigned, column.name: Constant(value, column.type)}
            yield replace(alone(write), sent=replace(sent, values=given), value=value)

    def with_defaults(self, one: Attempt, names: Collection[str]) -> Attempt:
        """A new row of one's own without these columns; another attempt as it is."""
        sent = one.sent
        if not isinstance(sent, Insert) or one.whose != OWN or one.column in names:
            return one
        left = {name: value for name, value in sent.assigned.items() if name not in names}
        return replace(alone(one), sent=replace(sent, values=left))

    def given(self, one: Attempt, names: Sequence[str], user: User) -> str:
        """The statements that put a person's name into these columns of the row of an attempt."""
        values = {name: identity(one.relation, name, user) for name in names}
        return "\n".join(assigned(one, name, value) for name, value in values.items())

    def _labels(self, column: Column, relation: Relation) -> Sequence[str]:
        """The values that a column may have, if they are few."""
        limits = self._world.plan.limits.get(relation.oid, {})
        known = limits[column.name].allowed if column.name in limits else ()
        return known or column.labels
