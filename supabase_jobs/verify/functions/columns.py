"""Which columns of the watched rows are compared: those that the migrations create and no user
trigger changes.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from supabase_jobs.findings import Finding, Id, Severity
from supabase_jobs.verify.functions import AREA

# the key of a watched row that names its table
TABLE = "."

Row = Mapping[str, Any]
Rows = Mapping[str, Row]


class ComparedColumns:
    """Selects the columns to compare. `managed` are the columns of each managed table; other tables
    have all.

    `user_columns` and `changed_by_triggers` are the columns that were left out so far, by table.
    `compared_by_policies` are the tables and columns that decide whose a row is.
    """

    def __init__(self, managed: Mapping[str, Collection[str]]) -> None:
        self._managed = managed
        self.user_columns: dict[str, set[str]] = {}
        self.changed_by_triggers: dict[str, set[str]] = {}
        self.compared_by_policies: Collection[tuple[str, str]] = ()
        self._tables: dict[str, str] = {}

    def of(self, row: Row) -> Row:
        """A watched row without its table and the columns that are not compared."""
        table = row.get(TABLE)
        managed = self._managed.get(table) if isinstance(table, str) else None
        if table is None or managed is None:
            return {column: value for column, value in row.items() if column != TABLE}
        compared = {}
        for column, value in row.items():
            if column == TABLE:
                continue
            # also a key of a JSON column (metadata.server_id) and a column of another managed table
            # (private.t.column)
            if column.partition(".")[0] in managed or column.rpartition(".")[0] in self._managed:
                compared[column] = value
            else:
                self.user_columns.setdefault(table, set()).add(column)
        return compared

    def leave_out_changed(self, before: Rows, after: Rows, triggers: Sequence[str]) -> None:
        """Leave out what differs between `before` and `after`, if a user trigger names it.

        Between them, statements ran that change no value, except through triggers. `triggers` are
        the texts of the user triggers.
        """
        named = {word for text in triggers for word in re.findall(r"\w+", text)}
        for name, row in before.items():
            table = str(row.get(TABLE))
            changed = {
                c for c, value in self.of(row).items() if after.get(name, {}).get(c) != value
            }
            if table in self._managed and changed & named:
                self.changed_by_triggers.setdefault(table, set()).update(changed & named)
            self._tables[name] = table

    def is_left_out(self, name: str, column: str) -> bool:
        """Whether triggers change a column of a watched row; a scenario that declares the change
        compares it still.
        """
        return column in self.changed_by_triggers.get(self._tables.get(name, ""), ())

    def findings(self) -> list[Finding]:
        """An info for each table about the columns that are not compared; an error about those that
        decide whose a row is.
        """
        return [
            *(
                _owner_changed(table, columns)
                for table in sorted(self.changed_by_triggers)
                if (columns := self._given_away(table))
            ),
            *(
                _info(table, "user columns", "no migration creates them", columns)
                for table, columns in sorted(self.user_columns.items())
            ),
            *(
                _info(table, "columns changed by triggers", "a user trigger changes them", columns)
                for table, columns in sorted(self.changed_by_triggers.items())
            ),
        ]

    def _given_away(self, table: str) -> list[str]:
        changed = self.changed_by_triggers[table]
        return sorted(c for c in changed if (table, c) in self.compared_by_policies)


def _owner_changed(table: str, columns: Collection[str]) -> Finding:
    names = ", ".join(columns)
    return Finding(
        id=Id(AREA, table, "owner changed by triggers"),
        area=AREA,
        severity=Severity.ERROR,
        object=table,
        message=f"a statement that changes no value changes {names}, by which policies tell whose"
        " a row is: a user trigger gives rows to somebody else",
        fix=f"Let the triggers of {table} leave {names} as they are.",
    )


def _info(table: str, kind: str, why: str, columns: Collection[str]) -> Finding:
    message = (
        f"{kind} that the scenarios do not compare, because {why}: {', '.join(sorted(columns))}"
    )
    return Finding(
        id=Id(AREA, table, kind),
        area=AREA,
        severity=Severity.INFO,
        object=table,
        message=message,
        fix="",
    )
