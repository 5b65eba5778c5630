"""`verify --explain ID`: the script for psql that repeats one case.

Declared cases are explained without a database. For other ids (an object that no migration creates,
an area whose cases depend on the database), `verify` runs and its cases are searched.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from difflib import get_close_matches

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Case, Finding, Verification
from supabase_jobs.session import script
from supabase_jobs.verify.access import check as access_check
from supabase_jobs.verify.access import http
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.structure import check as structure_check
from supabase_jobs.verify.verify import verify

_SUGGESTIONS = 5
_CUTOFF = 0.5  # similarity according to difflib, from 0 to 1


@dataclass(frozen=True)
class Explanation:
    """A case and its script for psql (`sql`), which ends with a rollback."""

    id: str
    area: str
    object: str
    name: str
    sql: str

    def as_dict(self) -> dict[str, str]:
        """The JSON document of `--explain --json`."""
        return asdict(self)


def explain(
    id: str, expectations: Expectations, connect: Callable[[], AbstractContextManager[Connection]]
) -> Explanation:
    """Explain the case or finding with this id; `connect` is called only for an id that is not
    declared.

    Raises ConfigError (2), which suggests similar ids, if the id is unknown, and what `connect` and
    `verify` raise.
    """
    declared = declared_cases(expectations)
    if (explanation := _find(declared, id)) is not None:
        return explanation
    area = id.partition(":")[0]
    if area not in AREAS:
        raise _unknown(id, declared)
    with connect() as connection:
        verification = verify(connection, expectations, (area,))
    if (explanation := _find(verification, id)) is None:
        raise _unknown(id, verification)
    return explanation


def declared_cases(expectations: Expectations) -> Verification:
    """The cases that are known without a database, with their scripts, including those through the
    API; none is run.
    """
    context = Context()
    for area in (structure_check, access_check, http):
        area.declared_cases(expectations, context)
    return Verification(
        findings=(), cases=tuple(context.cases), milliseconds=0.0, preambles=context.preambles
    )


def _find(verification: Verification, id: str) -> Explanation | None:
    cases: dict[str, Case] = {
        case.id: case for case in (*verification.unexpected, *verification.cases)
    }
    if (case := cases.get(id)) is not None:
        return Explanation(
            id=id,
            area=case.area,
            object=case.object,
            name=case.name,
            sql=verification.script(case) or _without_script(case),
        )
    finding = next((finding for finding in verification.findings if finding.id == id), None)
    return None if finding is None else _of_finding(finding, verification)


def _of_finding(finding: Finding, verification: Verification) -> Explanation:
    """Explain a finding that belongs to no case, because its area could not be checked."""
    preamble = verification.preambles.get(finding.area, "")
    comment = script.comment(
        f"{finding.object}: {finding.message}", f"Fix: {finding.fix}" if finding.fix else ""
    )
    sql = comment + (
        f"-- The statements before the cases of {finding.area}:\n{preamble}rollback;\n"
        if preamble
        else ""
    )
    return Explanation(
        id=finding.id, area=finding.area, object=finding.object, name=finding.message, sql=sql
    )


def _without_script(case: Case) -> str:
    return script.comment(f"{case.object}: {case.name}", "No single statement shows this.")


def _unknown(id: str, verification: Verification) -> ConfigError:
    ids = [
        *(case.id for case in verification.cases),
        *(finding.id for finding in verification.findings),
    ]
    similar = get_close_matches(id, ids, _SUGGESTIONS, _CUTOFF)
    hint = f"Did you mean {' or '.join(repr(name) for name in similar)}?" if similar else None
    return ConfigError(
        f"--explain: no case or finding has the id {id!r}",
        hint=hint or "`supabase-jobs verify --json` prints the ids of its findings.",
    )
