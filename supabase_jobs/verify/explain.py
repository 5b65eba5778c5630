"""`verify --explain ID`: how one case was asked, as a script for psql.

What is declared is explained from the declarations, without a database. Anything else (an object that is in no
migration, an area whose cases come from the database) is looked for among what `verify` asks and finds there.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from difflib import get_close_matches

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Case, Finding, Verification
from supabase_jobs.verify import run, script
from supabase_jobs.verify.expectations import Expectations

_NEAREST = 5
_CUTOFF = 0.5  # of difflib's 0 to 1; below it, ids have little in common


@dataclass(frozen=True)
class Explanation:
    """How a case was asked: `sql` is a whole script for psql, which undoes itself."""

    id: str
    area: str
    object: str
    name: str
    sql: str

    def as_dict(self) -> dict[str, str]:
        """What `--json` prints."""
        return asdict(self)


def explain(
    id: str, expectations: Expectations, connect: Callable[[], AbstractContextManager[Connection]]
) -> Explanation:
    """The explanation of a case's or a finding's id; `connect` is called only where the declarations lack it.

    Raises ConfigError (2), with the nearest ids, where nothing has this id, and what `connect` and `verify` raise.
    """
    declared = run.declared_cases(expectations)
    if (found := _find(declared, id)) is not None:
        return found
    area = id.partition(":")[0]
    if area not in run.AREAS:
        raise _unknown(id, declared)
    with connect() as connection:
        asked = run.verify(connection, expectations, (area,))
    if (found := _find(asked, id)) is None:
        raise _unknown(id, asked)
    return found


def _find(result: Verification, id: str) -> Explanation | None:
    cases = {case.id: case for case in (*result.unexpected, *result.cases)}
    finding = next((f for f in result.findings if f.id == id), None)
    if (case := cases.get(id)) is not None:
        return Explanation(id, case.area, case.object, case.name, result.script(case) or _unscripted(case))
    return None if finding is None else _of_finding(finding, result)


def _of_finding(finding: Finding, result: Verification) -> Explanation:
    """A finding that is about no case: the area could not be asked at all."""
    opening = result.preambles.get(finding.area, "")
    told = script.comment(f"{finding.object}: {finding.message}", f"What to do: {finding.fix}" if finding.fix else "")
    sql = told + (f"-- This is where it starts.\n{opening}rollback;\n" if opening else "")
    return Explanation(finding.id, finding.area, finding.object, finding.message, sql)


def _unscripted(case: Case) -> str:
    return script.comment(f"{case.object}: {case.name}", "No single statement shows this.")


def _unknown(id: str, result: Verification) -> ConfigError:
    ids = [*(case.id for case in result.cases), *(finding.id for finding in result.findings)]
    near = get_close_matches(id, ids, _NEAREST, _CUTOFF)
    hint = f"Did you mean {' or '.join(repr(name) for name in near)}?" if near else None
    return ConfigError(
        f"--explain: nothing has the id {id!r}",
        hint=hint or "Ids stand in the findings of `supabase-jobs verify --json`.",
    )
