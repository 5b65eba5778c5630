"""The effects of a call: rows of others that it changes or deletes, and rows that it adds in
another's name.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement

# instead of a column: the number of all rows of a table
_ALL = "*"
# a row by its id(), and what it or the number of rows like it was
Snapshot = Mapping[tuple[int, str], Any]


@dataclass(frozen=True, eq=False)
class Effects:
    """The rows of tenant A that a call `changed` or deleted; in those `recounted` only numbers are
    others, and in those `raised` all of these are larger. Of the rows `forged`, it added one in the
    name of the same person; of those `addressed`, one whose person may be a receiver; to the group
    of those `joined`, a member; and to the table of those `added`, one that the caller may not add.
    The caller reads those `opened` afterwards.
    """

    changed: Sequence[Row] = ()
    recounted: Sequence[Row] = ()
    raised: Sequence[Row] = ()
    forged: Sequence[Row] = ()
    addressed: Sequence[Row] = ()
    joined: Sequence[Row] = ()
    added: Sequence[Row] = ()
    opened: Sequence[Row] = ()

    @property
    def rows(self) -> list[Row]:
        """All of them."""
        written = (*self.changed, *self.recounted, *self.forged, *self.addressed)
        return [*written, *self.joined, *self.added, *self.opened]


@dataclass(frozen=True, eq=False)
class Watch:
    """The rows that a call may change, and the rows of tenant A with the columns that name a person
    in whose name it may add another one. `restored` are the columns of tables that a trigger sets.
    `permitted` are the columns of rows, by their id(), that the tables let the caller update.
    `groups` are memberships with the column of the group to which the call may add a member.
    `closed` are rows of tables to which the caller may add none: their number is watched.
    """

    rows: Sequence[Row] = ()
    names: Sequence[tuple[Row, str]] = ()
    restored: Mapping[int, Collection[str]] = field(default_factory=dict)
    permitted: Mapping[int, Collection[str]] = field(default_factory=dict)
    groups: Sequence[tuple[Row, str]] = ()
    closed: Sequence[Row] = ()

    @property
    def _keys(self) -> list[tuple[int, str]]:
        rows = [(id(row), "") for row in self.rows]
        named = [(id(row), column) for row, column in (*self.names, *self.groups)]
        return [*rows, *named, *((id(row), _ALL) for row in self.closed)]

    def together(self, other: "Watch") -> "Watch":
        """One watch for this and another one."""
        rows = {id(row): row for row in (*self.rows, *other.rows)}
        names = {(id(row), column): row for row, column in (*self.names, *other.names)}
        named = [(row, key[1]) for key, row in names.items()]
        joined = {(id(row), column): row for row, column in (*self.groups, *other.groups)}
        groups = [(row, key[1]) for key, row in joined.items()]
        restored = {**self.restored, **other.restored}
        closed = list({id(row): row for row in (*self.closed, *other.closed)}.values())
        return Watch(
            rows=list(rows.values()), names=named, restored=restored, groups=groups, closed=closed
        )

    @property
    def statement(self) -> Statement | None:
        """The query of the owner that shows them; None if nothing is watched."""
        parts = [_version(row) for row in self.rows]
        parts += [_number(row, column) for row, column in (*self.names, *self.groups)]
        parts += [_number_of_all(row) for row in self.closed]
        if not parts:
            return None
        return Statement(sql.SQL("select {}").format(sql.SQL(", ").join(parts)).as_string(None))

    def snapshot(self, shown: Sequence[Any]) -> Snapshot:
        """The row of the statement's answer by what is watched."""
        return dict(zip(self._keys, shown, strict=True))

    def effects(self, before: Snapshot, after: Snapshot) -> Effects:
        """The effects of what has happened between two snapshots."""
        changed = [
            row
            for row in self.rows
            if before[id(row), ""] != after[id(row), ""]
            and not self._is_permitted(row, before[id(row), ""], after[id(row), ""])
        ]
        recounted = [
            row
            for row in changed
            if _are_numbers(
                before[id(row), ""],
                after[id(row), ""],
                self.restored.get(row.relation.oid, ()),
            )
        ]
        added = [(row, c) for row, c in self.names if after[id(row), c] > before[id(row), c]]
        return Effects(
            changed=changed,
            recounted=recounted,
            raised=[row for row in recounted if not self._is_lower(row, before, after)],
            forged=[row for row, column in added if _is_author(row, column)],
            addressed=[row for row, column in added if not _is_author(row, column)],
            joined=[row for row, c in self.groups if after[id(row), c] > before[id(row), c]],
            added=[row for row in self.closed if after[id(row), _ALL] > before[id(row), _ALL]],
        )

    def changes(self, before: Snapshot, after: Snapshot) -> set[str]:
        """The columns of rows that differ between two snapshots, and rows that are gone or new."""
        found = set[str]()
        for row in self.rows:
            was, now = before[id(row), ""], after[id(row), ""]
            name = f"{row.relation.label} {row.token}"
            if was is not None and now is None:
                found.add(f"{name} deleted")
            found |= {f"{name} {column}" for column in _changed(was, now, ())}
        for row, column in self.names:
            if after[id(row), column] > before[id(row), column]:
                found.add(f"{row.relation.label} {row.token} added by {column}")
        return found

    def _is_lower(self, row: Row, before: Snapshot, after: Snapshot) -> bool:
        """Whether a number of a row is smaller in the later snapshot."""
        was, now = (_columns(seen[id(row), ""]) for seen in (before, after))
        numbers = {name: old for name, old in was.items() if _is_number(old)}
        return any(_is_number(now.get(name)) and now[name] < old for name, old in numbers.items())

    def raised(self, before: Snapshot, after: Snapshot) -> set[tuple[int, str]]:
        """The columns with numbers, and their tables, that are larger in the later snapshot."""
        found = set[tuple[int, str]]()
        for row in self.rows:
            was, now = (_columns(seen[id(row), ""]) for seen in (before, after))
            for name, value in now.items():
                old = was.get(name)
                if _is_number(value) and _is_number(old) and value > old:
                    found.add((row.relation.oid, name))
        return found

    def differing(self, before: Snapshot, after: Snapshot) -> set[tuple[int, str]]:
        """The columns, and their tables, in which a row differs between two snapshots."""
        found = set[tuple[int, str]]()
        for row in self.rows:
            changed = _changed(before[id(row), ""], after[id(row), ""], ())
            found |= {(row.relation.oid, name) for name in changed}
        return found

    def _is_permitted(self, row: Row, before: str | None, after: str | None) -> bool:
        """Whether the tables let the caller change all that differs between two versions of a row,
        besides what a trigger sets; anything at all, if nothing differs.
        """
        permitted = set(self.permitted.get(id(row), ()))
        changed = _changed(before, after, self.restored.get(row.relation.oid, ()))
        return after is not None and bool(permitted) and changed.keys() <= permitted


def all_of(watches: Iterable[Watch]) -> Watch:
    """One watch for all that any of them watches."""
    found = Watch()
    for watch in {id(watch): watch for watch in watches}.values():
        found = found.together(watch)
    return found


def _is_author(row: Row, column: str) -> bool:
    """Whether the table itself names the caller in a column."""
    return "uid()" in (row.relation.by_name[column].default or "")


def _version(row: Row) -> sql.Composable:
    """The version of a row and its columns, as JSON; null once it is deleted."""
    text = (
        "(select jsonb_build_array(watched.ctid::text, to_jsonb(watched))::text"
        " from {} as watched where {})"
    )
    return sql.SQL(text).format(row.relation.identifier, row.condition)


def _number(row: Row, column: str) -> sql.Composable:
    """The number of rows in which a column has the value that it has in this row."""
    return sql.SQL("(select count(*) from {} where {} = {})").format(
        row.relation.identifier, sql.Identifier(column), row.literal(column)
    )


def _number_of_all(row: Row) -> sql.Composable:
    """The number of rows in the table of a row."""
    return sql.SQL("(select count(*) from {})").format(row.relation.identifier)


def _changed(before: str | None, after: str | None, restored: Collection[str]) -> Mapping[str, Any]:
    """The columns in which two versions of a row differ, besides what a trigger sets, with their
    new values; none if the row was deleted.
    """
    old, new = _columns(before), _columns(after)
    if before is None or after is None:
        return {}
    return {
        name: value
        for name, value in new.items()
        if value != old.get(name) and name not in restored
    }


def _columns(version: str | None) -> Mapping[str, Any]:
    """The columns of a version of a row; none if it is deleted."""
    if version is None:
        return {}
    [_, columns] = json.loads(version)
    return dict(columns)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(before: str | None, after: str | None, restored: Collection[str]) -> bool:
    """Whether two versions of a row differ in numbers only, besides what a trigger sets."""
    changed = _changed(before, after, restored).values()
    return bool(changed) and all(map(_is_number, changed))
