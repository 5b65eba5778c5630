"""Rows of the project that put the first two users of the fixture into the same groups.

Policies let members change the rows of each other: of an organisation, a team, a household. In
every user table, both users have a row, and what else the rows refer to is the same for both.
Values that a policy compares with, such as the name of a role, are in all rows of the first user.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from supabase_jobs.verify.access.reach.values import insert_of, is_text, qualified, value_of

_USERS = "auth.users"
# more tables than this are left out: each takes several statements
_MOST_TABLES = 40


@dataclass(frozen=True)
class Member:
    """A user table: its columns with their types, whether they need a value, and the tables that
    they refer to; its key if that is one column, and the texts of its policies.
    """

    name: str
    columns: Sequence[tuple[str, str, bool, str]]
    key: str


@dataclass(frozen=True)
class Groups:
    """The rows of two users in the same groups."""

    members: Sequence[Member]
    group: uuid.UUID

    def statements(self, own: uuid.UUID, other: uuid.UUID, literal: str = "") -> Iterator[str]:
        """The statements that insert the rows; each may fail. Those of the first user have the
        literal in each column of text. Where it has no default, both have it: it may be the name of
        the group.
        """
        for member in self._in_order:
            for person, is_own in ((own, True), (other, False)):
                values = self._values(member, person, literal, is_own=is_own)
                if not values:
                    continue
                insert = insert_of(member.name, values, overriding=True)
                yield (insert + sql.SQL(" on conflict do nothing")).as_string(None)
                # a sign-up may have inserted the row
                yield from self._updated(member, person, values)

    def changes(self, member: Member, other: uuid.UUID, literals: Sequence[str]) -> list[str]:
        """Statements of a member on the rows of its groups: delete them all, or those of the other
        user, and change a column of all.
        """
        table = qualified(member.name)
        found = [sql.SQL("delete from {} where true").format(table)]
        for column in self._persons(member):
            found.append(
                sql.SQL("delete from {} where {} = {}").format(
                    table, qualified(column), sql.Literal(str(other))
                )
            )
        for column, type, _, refers in member.columns:
            if refers or column == member.key:
                continue
            for value in _new_values(column, type, literals):
                found.append(
                    sql.SQL("update {} set {} = {} where true").format(
                        table, qualified(column), value
                    )
                )
        return [one.as_string(None) for one in found]

    @property
    def _in_order(self) -> list[Member]:
        """The tables behind those that they refer to."""
        found: list[Member] = []
        rest = list(self.members)[:_MOST_TABLES]
        while rest:
            waiting = {member.name for member in rest}
            ready = [member for member in rest if not self._needs(member) & waiting]
            found += ready or rest
            rest = [member for member in rest if ready and member not in ready]
        return found

    def _needs(self, member: Member) -> set[str]:
        return {refers for _, _, _, refers in member.columns} - {member.name}

    @cached_property
    def _by_name(self) -> Mapping[str, Member]:
        return {member.name: member for member in self.members}

    def _persons(self, member: Member, depth: int = 5) -> list[str]:
        """The columns that say whose row it is: they refer to users, if need be through the key of
        another table; else those that could hold an id.
        """
        found = []
        for column, _, _, refers in member.columns:
            parent = self._by_name.get(refers)
            through = (
                parent is not None and depth and parent.key in self._persons(parent, depth - 1)
            )
            if refers == _USERS or through:
                found.append(column)
        return (
            found
            or [
                column
                for column, type, required, refers in member.columns
                if type == "uuid" and required and not refers and column != member.key
            ][:1]
        )

    def _values(
        self, member: Member, person: uuid.UUID, literal: str, *, is_own: bool
    ) -> dict[str, sql.Composable]:
        persons = self._persons(member)
        common = sql.Literal(literal or "verify")
        values: dict[str, sql.Composable] = {}
        for column, type, required, refers in member.columns:
            is_key = column == member.key and not refers
            if column in persons:
                values[column] = sql.Literal(str(person))
            elif is_key and persons:
                if required:
                    values[column] = value_of(type, iter([common]), sql.Literal(1), person)
            elif required or refers or type == "uuid" or is_key:
                values[column] = value_of(type, iter([common]), sql.Literal(1), self.group)
            elif literal and is_own and is_text(type):
                values[column] = common
        return values

    def _updated(
        self, member: Member, person: uuid.UUID, values: Mapping[str, sql.Composable]
    ) -> Iterator[str]:
        persons = self._persons(member)
        rest = {
            column: value
            for column, value in values.items()
            if column not in persons and column != member.key
        }
        if not (persons and rest):
            return
        assignments = [
            sql.SQL("{} = {}").format(qualified(column), value) for column, value in rest.items()
        ]
        yield (
            sql.SQL("update {} set {} where {} = {}")
            .format(
                qualified(member.name),
                sql.SQL(", ").join(assignments),
                qualified(persons[0]),
                sql.Literal(str(person)),
            )
            .as_string(None)
        )


def _new_values(column: str, type: str, literals: Sequence[str]) -> list[sql.Composable]:
    if type == "boolean":
        return [sql.SQL("{} is not true").format(qualified(column))]
    if type.startswith(("timestamp", "date")):
        return [sql.SQL("now()")]
    if is_text(type):
        return [sql.Literal(one) for one in literals]
    return []
