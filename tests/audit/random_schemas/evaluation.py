"""The truth about a schema: who may do what with a row, evaluated without PostgreSQL and without
the audit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from tests.audit.random_schemas.schema import (
    DEFINER,
    DELETE,
    INSERT,
    LABELS,
    ORGANIZATION,
    SELECT,
    UPDATE,
    Both,
    Claim,
    Either,
    Equals,
    Everyone,
    Expression,
    Member,
    Owner,
    Parent,
    Policy,
    Schema,
    Table,
    Tenant,
)

Row = Mapping[str, str | None]


@dataclass(frozen=True)
class Person:
    """A caller, as policies see it: the role of the request, the id, and the role and the
    organization that the project has set.
    """

    role: str
    id: str | None = None
    claim: str | None = None
    organization: str | None = None


class Truth:
    """The access to rows: `rows` are all of each table, with values as text."""

    def __init__(self, schema: Schema, rows: Mapping[str, Sequence[Row]]) -> None:
        self._schema = schema
        self._tables = {table.name: table for table in schema.all}
        self._rows = rows

    def may_read(self, person: Person, table: Table, row: Row) -> bool:
        """Whether a request sees a row: it may read some column, and a policy lets it pass."""
        has_column = any(self._may(person, SELECT, table, [name]) for name in table.names)
        return has_column and self._passes(person, table, SELECT, row)

    def may_insert(self, person: Person, table: Table, assigned: Row) -> bool:
        """Whether a new row with these columns is accepted, constraints aside."""
        new = self.new_row(person, table, assigned)
        return self._may(person, INSERT, table, assigned) and self._passes(
            person, table, INSERT, new, is_new=True
        )

    def new_row(self, person: Person, table: Table, assigned: Row) -> Row:
        """The row that an INSERT of these columns makes."""
        return {**self._defaults(person, table), **assigned}

    def after_insert(self, person: Person, table: Table, assigned: Row) -> "Truth":
        """The access once a row with these columns is there: it may make its writer a member."""
        new = self.new_row(person, table, assigned)
        rows = {**self._rows, table.name: [*self._rows[table.name], new]}
        return Truth(self._schema, rows)

    def may_update(self, person: Person, table: Table, row: Row, assigned: Row) -> bool:
        """Whether columns of a row can be set, by a statement that reads none."""
        return (
            self._may(person, UPDATE, table, assigned)
            and self._passes(person, table, UPDATE, row)
            and self._passes(person, table, UPDATE, {**row, **assigned}, is_new=True)
        )

    def may_delete(self, person: Person, table: Table, row: Row) -> bool:
        """Whether a row can be deleted, by a statement that reads no column."""
        return self._may(person, DELETE, table, ()) and self._passes(person, table, DELETE, row)

    def reach(self, people: Iterable[Person], table: Table, command: str) -> str:
        """The widest group of people of whom one may do something with a row: all, users, inside or
        none.

        A claim that the project sets counts only if its holder does something with own rows, and
        not with others.
        """
        found = {"none"}
        for person in people:
            reached = {
                self._place(person, table, row)
                for row in self._rows[table.name]
                if self._may_do(person, table, command, row)
            }
            if person.claim is None or reached == {"inside"}:
                found |= reached
        return next(one for one in ("all", "users", "inside", "none") if one in found)

    def _place(self, person: Person, table: Table, row: Row) -> str:
        if self._is_inside(person, table, row):
            return "inside"
        return "all" if person.id is None else "users"

    def _may_do(self, person: Person, table: Table, command: str, row: Row) -> bool:
        """Whether somebody may do something with a row, or insert one like it."""
        if command == SELECT:
            return self.may_read(person, table, row)
        if command == DELETE:
            return self.may_delete(person, table, row)
        if command == UPDATE:
            changes = self._changes(person, table, row)
            return any(self.may_update(person, table, row, change) for change in changes)
        copied = {
            name: row[name]
            for name in table.names
            if name != "id" and self._may(person, INSERT, table, [name])
        }
        return self.may_insert(person, table, copied)

    def _changes(self, person: Person, table: Table, row: Row) -> Iterator[Row]:
        """Updates: a label becomes another, any other content decides nothing, and the row becomes
        one of the caller.
        """
        for name in table.plain:
            for value in LABELS.get(name, (row[name],)):
                if name not in LABELS or value != row[name]:
                    yield {name: value}
        own = [one for one in self._own_values(person, table) if one[1] != row[one[0]]]
        yield from ({name: value} for name, value in own)
        by_name = {name: [value for other, value in own if other == name] for name, _ in own}
        for values in product(*by_name.values()):
            if len(values) > 1:
                yield dict(zip(by_name, values, strict=True))

    def _own_values(self, person: Person, table: Table) -> Iterator[tuple[str, str | None]]:
        """The columns that say whose a row is, with values that make it the caller's."""
        if person.id is None:
            return
        if table.owner:
            yield table.owner, person.id
        if person.organization is not None and ORGANIZATION in table.names:
            yield ORGANIZATION, person.organization
        if table.group and table.group != "id":
            for one in self._rows["members"]:
                if one["user_id"] == person.id:
                    yield table.group, one["group_id"]
        if table.parent is not None:
            for above in self._rows[table.parent.name]:
                if self._is_inside(person, table.parent, above):
                    yield "parent_id", above["id"]

    def _is_inside(self, person: Person, table: Table, row: Row) -> bool:
        """Whether a row belongs to somebody, or to a group or a row of theirs."""
        if person.id is None:
            return False
        if table.owner and row[table.owner] == person.id:
            return True
        if self._is_of_organization(person, row):
            return True
        if table.group:
            return any(
                (one["group_id"], one["user_id"]) == (row[table.group], person.id)
                for one in self._rows["members"]
            )
        if table.parent is None:
            return False
        above = [one for one in self._rows[table.parent.name] if one["id"] == row["parent_id"]]
        return any(self._is_inside(person, table.parent, one) for one in above)

    def _is_of_organization(self, person: Person, row: Row) -> bool:
        return person.organization is not None and row.get(ORGANIZATION) == person.organization

    def has_content(self, role: str, table: Table) -> bool:
        """Whether a role may update a column that says nothing about whose a row is, or none."""
        may = {name for name in table.names if self._may(Person(role), UPDATE, table, [name])}
        content = may & set(table.plain)
        if any((role, UPDATE) == granted[:2] for granted in table.granted) and may - content:
            content -= LABELS.keys()  # a policy may fix them, and the owner is changed instead
        return not may or bool(content)

    def _may(
        self, person: Person, privilege: str, table: Table, columns: Sequence[str] | Row
    ) -> bool:
        """Whether a role has a privilege on columns."""
        if (person.role, privilege) in table.revoked:
            return False
        for role, granted, names in table.granted:
            if (role, granted) == (person.role, privilege):
                return set(columns) <= set(names)
        return True

    def _defaults(self, person: Person, table: Table) -> dict[str, str | None]:
        defaults = {name: value for name, _, value in table.columns}
        if table.owner_default:
            defaults[table.owner or ""] = person.id
        return dict.fromkeys(table.names) | defaults

    def _passes(
        self, person: Person, table: Table, command: str, row: Row, *, is_new: bool = False
    ) -> bool:
        """Whether the policies for a command let a row pass."""
        if not table.rls or person.role == "service_role":
            return True
        applied = [
            policy
            for policy in table.policies
            if policy.command in ("all", command)
            and (not policy.roles or person.role in policy.roles)
        ]
        permissive = [
            self._holds(_condition(policy, is_new=is_new), person, table, row)
            for policy in applied
            if policy.permissive
        ]
        restrictive = [
            self._holds(_condition(policy, is_new=is_new), person, table, row)
            for policy in applied
            if not policy.permissive
        ]
        return any(permissive) and all(restrictive)

    def _holds(self, expression: Expression, person: Person, table: Table, row: Row) -> bool:
        match expression:
            case Everyone(value):
                return value
            case Owner():
                return person.id is not None and row[table.owner or ""] == person.id
            case Equals(column, value):
                return row[column] == value
            case Claim(value):
                return person.claim == value
            case Tenant():
                return self._is_of_organization(person, row)
            case Both(left, right):
                return self._holds(left, person, table, row) and self._holds(
                    right, person, table, row
                )
            case Either(left, right):
                return self._holds(left, person, table, row) or self._holds(
                    right, person, table, row
                )
            case Member():
                return self._is_member(expression, person, row[table.group or ""])
            case Parent(owned):
                return self._has_parent(person, table, row, owned=owned)

    def _is_member(self, asked: Member, person: Person, group: str | None) -> bool:
        members = self._tables["members"]
        for row in self._rows["members"]:
            is_asked = row["group_id"] == group and row["user_id"] == person.id
            is_asked &= asked.role in (None, row["role"])
            is_asked &= not asked.active or row["state"] == "active"
            is_seen = asked.how == DEFINER or self._passes(person, members, SELECT, row)
            if is_asked and is_seen:
                return True
        return False

    def _has_parent(self, person: Person, table: Table, row: Row, *, owned: bool) -> bool:
        parent = table.parent
        assert parent is not None
        for above in self._rows[parent.name]:
            if above["id"] != row["parent_id"]:
                continue
            if owned and (person.id is None or above[parent.owner or ""] != person.id):
                continue
            if self._passes(person, parent, SELECT, above):
                return True
        return False


def _condition(policy: Policy, *, is_new: bool) -> Expression:
    """The expression for rows that exist, or for new ones."""
    found = policy.check if is_new and policy.check is not None else policy.using
    assert found is not None
    return found
