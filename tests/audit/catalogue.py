"""The example projects of tests/data/projects and their catalogues: faults that open a hole,
harmless changes, and what the app does.

A project has `supabase/migrations`, and `faults.toml`:

    users = { a = "…", b = "…" }       # ids of users that the proofs act as
    rows = "insert into …"             # rows of user a, inserted before a proof

    [callers.admin_of_b]               # other callers: anon without a user
    user = "b"
    claims = { tenant_id = "…" }       # further claims of the token
    headers = { x-api-key = "…" }      # headers of the request

    [faults."anyone signed in can join a team"]
    sql = "create policy …"            # opens the hole
    as = "b"                           # the caller of the proof: a user, another caller, or anon
    proof = "insert into …"            # reaches rows only with the fault; the last statement counts
    finds = "error escalation:public.team_members:insert"
    cause = "members: join"            # part of the cause that audit names
    effect = "select …"                # the owner's query that shows what the proof has changed
    other_rows = true                  # its repair mentions a column, so the next audit has other rows
    takes = true                       # its repair takes something, or may do so: the project decides
    alone = true                       # other faults hide it, because they open the same rows

    [harmless."a policy that says the same in other words"]
    sql = "alter policy …"

    [app."hosts admit who has asked"]
    as = "a"
    sql = "update …"                   # the last statement counts
    reaches = 2                        # rows that it reaches; 1 by default
    rows = "update …"                  # further rows, or changes of the rows, by the owner
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.database.connection import Connection

PROJECTS = Path(__file__).parents[1] / "data" / "projects"


@dataclass(frozen=True)
class Fault:
    """A change that opens a hole, the statements that prove it, and the finding that reports it."""

    name: str
    sql: str
    caller: str
    proof: str
    finds: str
    cause: str = ""
    alone: bool = False
    takes: bool = False
    effect: str = ""
    other_rows: bool = False

    @property
    def object(self) -> str:
        """The object of the finding."""
        return self.finds.split(":")[1]


@dataclass(frozen=True)
class Use:
    """Something that the app does: a test of the app."""

    name: str
    sql: str
    caller: str
    reaches: int = 1
    rows: str = ""


@dataclass(frozen=True)
class Project:
    """An example project with its catalogue."""

    name: str
    users: Mapping[str, str]
    callers: Mapping[str, Mapping[str, Any]]
    rows: str
    faults: tuple[Fault, ...]
    harmless: Mapping[str, str]
    app: tuple[Use, ...]

    def prove(self, connection: Connection, fault: Fault) -> int:
        """Run the proof of a fault as its caller, and undo it; the number of rows that the last
        statement reached.
        """
        return self._reached(connection, fault.caller, fault.proof, effect=fault.effect)

    def broken(self, connection: Connection) -> list[str]:
        """The names of what the app does, and that does not work in a database."""
        found = []
        for use in self.app:
            reached = self._reached(connection, use.caller, use.sql, rows=use.rows)
            if reached != use.reaches:
                found.append(use.name)
        return found

    def _reached(
        self,
        connection: Connection,
        name: str,
        statements: str,
        *,
        effect: str = "",
        rows: str = "",
    ) -> int:
        """Run statements as a caller, and undo them; the number of rows that the last one, or the
        owner's query for their effect, reached.
        """
        with connection.transaction(force_rollback=True):
            for user, id_ in self.users.items():
                connection.execute(
                    "insert into auth.users (id, email) values (%s, %s)",
                    (id_, f"{user}@example.com"),
                )
            connection.execute(self.rows.encode())
            connection.execute(rows.encode())
            caller = self.callers[name]
            role = "authenticated" if "user" in caller else "anon"
            claims = {"role": role, **caller.get("claims", {})}
            if "user" in caller:
                claims["sub"] = self.users[caller["user"]]
            settings = json.dumps(claims), json.dumps(caller.get("headers", {}))
            connection.execute(
                "select set_config('request.jwt.claims', %s, true), set_config('request.headers',"
                " %s, true)",
                settings,
            )
            connection.execute(f"set local role {role}".encode())
            try:
                cursor = connection.execute(statements.encode())
                while cursor.nextset():
                    pass
            except psycopg.Error:  # refused, or the proof uses what only the fault creates
                return 0
            if not effect:
                return cursor.rowcount
            connection.execute("reset role")
            return connection.execute(effect.encode()).rowcount


@cache
def project(name: str) -> Project:
    """Read the catalogue of a project."""
    with (PROJECTS / name / "faults.toml").open("rb") as file:
        table = tomllib.load(file)
    faults = tuple(
        Fault(
            fault,
            entry["sql"],
            entry["as"],
            entry["proof"],
            entry["finds"],
            entry.get("cause", ""),
            entry.get("alone", False),
            entry.get("takes", False),
            entry.get("effect", ""),
            entry.get("other_rows", False),
        )
        for fault, entry in table.get("faults", {}).items()
    )
    harmless = {change: entry["sql"] for change, entry in table.get("harmless", {}).items()}
    app = tuple(
        Use(
            name=use,
            sql=entry["sql"],
            caller=entry["as"],
            reaches=entry.get("reaches", 1),
            rows=entry.get("rows", ""),
        )
        for use, entry in table.get("app", {}).items()
    )
    callers = (
        {"anon": {}} | {user: {"user": user} for user in table["users"]} | table.get("callers", {})
    )
    return Project(
        name=name,
        users=table["users"],
        callers=callers,
        rows=table["rows"],
        faults=faults,
        harmless=harmless,
        app=app,
    )


def names() -> list[str]:
    """The example projects."""
    return sorted(path.parent.name for path in PROJECTS.glob("*/faults.toml"))


def groups(faults: Sequence[Fault]) -> list[list[Fault]]:
    """The faults in few groups: those of different objects share one, unless others hide them."""
    found: list[list[Fault]] = []
    for fault in (f for f in faults if not f.alone):
        group = next((g for g in found if fault.object not in {other.object for other in g}), None)
        if group is None:
            found.append([fault])
        else:
            group.append(fault)
    return [*found, *([f] for f in faults if f.alone)]
