"""A REVOKE of the project that takes nothing from a role, which has the privilege by another grant.

From a role, it is void if everybody may execute the function, or if the role has the privilege on
the whole table. From PUBLIC, it leaves the roles to which default privileges grant it.
"""

from collections.abc import Iterator

from psycopg import sql

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind, Question, Repair
from supabase_jobs.audit.policies.void_revokes import VoidRevoke
from supabase_jobs.findings import Explanation, Severity, as_comment

KIND = Kind(
    code="void-revoke",
    order=690,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A REVOKE takes nothing: the role has the privilege by another grant.",
    repair=Repair.ADVICE,
    from_catalogs=True,
)


def find(facts: Facts) -> Iterator[ExplainedLeak | Question]:
    """One leak for each privilege that a REVOKE does not take; one question for all functions that
    are revoked from everybody.
    """
    for void in facts.void_revokes:
        if void.is_of_everybody and not void.privilege.columns:
            yield _question(void)
        else:
            yield _leak(void)


def _leak(void: VoidRevoke) -> ExplainedLeak:
    revoked = void.privilege
    others = f" from {' and '.join(void.roles)}" if void.is_of_everybody else ""
    privilege = revoked.privilege.upper()
    of_columns = f"({','.join(revoked.columns)})" if revoked.columns else ""
    if revoked.columns:
        what = f"{privilege} ({', '.join(revoked.columns)}) on {void.object}"
        why = "the privilege on the whole table is still there"
    else:
        what, why = f"{privilege} on {void.object}", "everybody has it, as PUBLIC"
    return ExplainedLeak(
        kind=KIND,
        severity=Severity.WARNING,
        object=void.object,
        message=f"REVOKE {what} from {revoked.role} takes nothing{others}: {why}",
        name=f"{void.object}:{revoked.role}:{revoked.privilege}{of_columns}",
        action=revoked.privilege,
        explanation=Explanation(cause=why, fix=as_comment(_repair(void))),
    )


def _repair(void: VoidRevoke) -> str:
    """The statement that takes the privilege: from others, or on other columns, too."""
    revoked = void.privilege
    if not revoked.columns:
        return (
            "Revoke it from PUBLIC, and grant it to those that need it:\n"
            f"revoke {revoked.privilege} on function {void.object} from public;"
        )
    text = sql.SQL("revoke {0} on {1} from {2}; grant {0} (…) on {1} to {2};").format(
        sql.SQL(revoked.privilege),
        sql.Identifier(revoked.schema, revoked.name),
        sql.SQL(", ").join(map(sql.Identifier, void.roles)),
    )
    return f"Revoke it on the table, and grant it on the other columns:\n{text.as_string(None)}"


def _question(void: VoidRevoke) -> Question:
    roles = " and ".join(void.roles)
    return Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=void.object,
        message=(
            f"{roles} may still call {{}}, which is revoked from PUBLIC: default privileges grant"
            " it to each API role. Are they meant to?"
        ),
        decides=f"functions:{'+'.join(void.roles)}",
        topics=(void.object,),
    )
