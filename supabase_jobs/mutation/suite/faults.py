"""The faults that a run plants: those of the operators that faults.toml names, the most dangerous
first.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Fault
from supabase_jobs.mutation.mutate import derive
from supabase_jobs.mutation.suite.objects import ProjectObject
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.settings import read_toml

KINDS = ("policies", "privileges", "functions")

_HERE = Path(__file__).parent
_GRANT, _GRANT_COLUMN, _REVOKE_COLUMN = (
    "grants:grant",
    "grants:grant-column",
    "grants:revoke-column",
)
_CALLERS = {"anon": "anyone", "authenticated": "every signed-in user"}
_ACTIONS = {
    "select": "read",
    "insert": "insert rows into",
    "update": "update",
    "delete": "delete from",
}


@dataclass(frozen=True)
class SuiteFault:
    """A fault with the object that it changes, its kind, its rank (0 is the most dangerous), and
    what no test fails for if it survives.
    """

    fault: Fault
    target: ProjectObject
    kind: str
    rank: int
    sentence: str


def derive_suite_faults(
    connection: Connection, objects: Sequence[ProjectObject], kinds: Iterable[str]
) -> list[SuiteFault]:
    """The faults of these objects, the most dangerous first. Reads catalogs, in a transaction of
    its own.
    """
    with rolled_back(connection, Statement("set local search_path = ''")):
        derived = derive(connection, [one.name for one in objects])
    by_name = {one.name: one for one in objects}
    ranked = (_ranked(fault, by_name[fault.object]) for fault in derived)
    wanted = set(kinds)
    found = [one for one in ranked if one is not None and one.kind in wanted]
    held = [one.fault for one in found if one.fault.operator in (_GRANT, _REVOKE_COLUMN)]
    kept = [one for one in found if not _is_redundant(one.fault, held)]
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
    """An entry of faults.toml: `operators` with the names that their braces stand for, `details`
    with the names of a fault's, and the values that a name may have.
    """

    operators: Mapping[str, Mapping[str, str]]
    details: tuple[str, ...]
    values: Mapping[str, Sequence[str]]
    kind: str
    says: str

    def names(self, fault: Fault) -> Mapping[str, str] | None:
        """The names with their values of a fault that it matches."""
        found = self.operators.get(fault.operator, self.operators.get(f"{fault.family}:*"))
        if found is None or len(fault.details) != len(self.details):
            return None
        names = dict(zip(self.details, fault.details, strict=True))
        if any(value not in self.values.get(name, (value,)) for name, value in names.items()):
            return None
        return {**found, **names}


@cache
def _rules() -> tuple[_Rule, ...]:
    return tuple(_rule(**entry) for entry in read_toml(_HERE / "faults.toml")["fault"])


def _rule(
    operators: Sequence[str],
    kind: str,
    says: str,
    details: Sequence[str] = (),
    **values: Sequence[str],
) -> _Rule:
    chosen = {name: value for name, value in values.items() if name not in details}
    combinations = [dict(zip(chosen, each, strict=True)) for each in product(*chosen.values())]
    named = {operator.format_map(names): names for operator in operators for names in combinations}
    return _Rule(operators=named, details=tuple(details), values=values, kind=kind, says=says)


def _ranked(fault: Fault, target: ProjectObject) -> SuiteFault | None:
    for rank, rule in enumerate(_rules()):
        if (names := rule.names(fault)) is not None:
            return SuiteFault(
                fault=fault,
                target=target,
                kind=rule.kind,
                rank=rank,
                sentence=_sentence(rule, names, fault),
            )
    return None


def _sentence(rule: _Rule, names: Mapping[str, str], fault: Fault) -> str:
    who, action = names.get("who", ""), names.get("action", "")
    words = {
        **names,
        "object": fault.object.removeprefix("public."),
        "change": fault.change or fault.description,
        "who": _CALLERS.get(who, who),
        "action": _ACTIONS.get(action, action),  # in lower case; privileges are in upper case
    }
    return f"No test fails when {rule.says.format_map(words)}"


def _is_redundant(fault: Fault, held: Iterable[Fault]) -> bool:
    """Whether a column privilege is granted to a role without any: the privilege on the whole table
    is a fault too.
    """
    if fault.operator != _GRANT_COLUMN:
        return False
    _, *granted = fault.details
    same = {
        one.operator
        for one in held
        if one.object == fault.object and list(one.details[-len(granted) :]) == granted
    }
    return _GRANT in same and _REVOKE_COLUMN not in same
