"""The faults that a run plants: those of the operators that faults.toml names, the most dangerous
first.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Fault
from supabase_jobs.mutation.mutate import derive
from supabase_jobs.settings import read_toml

KINDS = ("policies", "privileges", "functions")

_HERE = Path(__file__).parent
_OBJECTS = _HERE / "sql" / "objects.sql"
# in patterns, and in the ids that they match
_OBJECT = "<object>"
_CALLERS = {"anon": "anyone", "authenticated": "every signed-in user"}
_ACTIONS = {
    "select": "read",
    "insert": "insert rows into",
    "update": "update",
    "delete": "delete from",
}


@dataclass(frozen=True)
class SuiteFault:
    """A fault with its kind, its rank (0 is the most dangerous), and what no test fails for if it
    survives.
    """

    fault: Fault
    kind: str
    rank: int
    sentence: str

    @property
    def object(self) -> str:
        """The table, view or function."""
        return self.fault.object


def project_objects(connection: Connection) -> list[str]:
    """The tables, views and functions of the project, as the operators name them."""
    return [name for (name,) in sql_file(_OBJECTS).rows(connection)]


def derive_suite_faults(
    connection: Connection, names: Sequence[str], kinds: Iterable[str]
) -> list[SuiteFault]:
    """The faults of these objects, the most dangerous first. Reads catalogs, in a transaction of
    its own.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = ''")
        derived = derive(connection, names)
    wanted = set(kinds)
    found = [
        found for fault in derived if (found := _ranked(fault)) is not None and found.kind in wanted
    ]
    ids = {one.fault.id for one in found}
    kept = [one for one in found if not _is_redundant(one.fault, ids)]
    return sorted(kept, key=lambda f: (f.rank, f.fault.id))


def sample(faults: Sequence[SuiteFault], number: int | None, seed: int) -> list[SuiteFault]:
    """A random choice of faults, in their order."""
    if number is None or number >= len(faults):
        return list(faults)
    chosen = random.Random(seed).sample(range(len(faults)), number)  # noqa: S311  no secret
    return [faults[index] for index in sorted(chosen)]


def parse_kinds(text: str | None) -> tuple[str, ...]:
    """The kinds of `--only`. Raises ConfigError for an unknown one."""
    if text is None:
        return KINDS
    given = [part.strip() for part in text.split(",") if part.strip()]
    if not given or set(given) - set(KINDS):
        unknown = min(set(given) - set(KINDS), default=text)
        raise ConfigError(
            f"--only: unknown kind {unknown!r}",
            hint=f"With --run the kinds are: {', '.join(KINDS)}.",
        )
    return tuple(kind for kind in KINDS if kind in given)


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[str]
    kind: str
    says: str


@cache
def _rules() -> tuple[_Rule, ...]:
    entries = read_toml(_HERE / "faults.toml")["fault"]
    return tuple(_Rule(_pattern(entry["id"]), entry["kind"], entry["says"]) for entry in entries)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace("{object}", _OBJECT))


def _masked(fault: Fault) -> str:
    """The id of a fault with a mark for the object, whose name may contain what separates the
    parts.
    """
    return fault.id.replace(fault.object, _OBJECT, 1)


def _ranked(fault: Fault) -> SuiteFault | None:
    for rank, rule in enumerate(_rules()):
        if (match := rule.pattern.fullmatch(_masked(fault))) is not None:
            return SuiteFault(fault, rule.kind, rank, _sentence(rule, match.groupdict(), fault))
    return None


def _sentence(rule: _Rule, groups: dict[str, str], fault: Fault) -> str:
    who, action = groups.get("who", ""), groups.get("action", "")
    words = groups | {
        "object": fault.object.removeprefix("public."),
        "change": fault.change or fault.description,
        "who": _CALLERS.get(who, who),
        "action": _ACTIONS.get(action, action),  # in lower case; privileges are in upper case
    }
    return f"No test fails when {rule.says.format_map(words)}"


_COLUMN = _pattern(r"grants:(grant|revoke)-column:{object}:.+:(?P<privilege>[A-Z]+):(?P<role>\w+)")


def _is_redundant(fault: Fault, ids: set[str]) -> bool:
    """Whether a column privilege is granted to a role without any: the privilege on the whole table
    is a fault too.
    """
    match = _COLUMN.fullmatch(_masked(fault))
    if match is None or match[1] == "revoke":
        return False
    target, privilege, role = fault.object, match["privilege"], match["role"]
    whole = f"grants:grant:{target}:{privilege}:{role}" in ids
    columns = any(
        other.startswith(f"grants:revoke-column:{target}:")
        and other.endswith(f":{privilege}:{role}")
        for other in ids
    )
    return whole and not columns
