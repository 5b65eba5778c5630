"""Access that policies permit and that nobody has: a missing privilege, a policy that queries its
own table, or a policy that nobody can pass.
"""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import DOES, BrokenAccess, Kind, Question
from supabase_jobs.audit.policies.refusals import Reason, Refusal
from supabase_jobs.findings import Explanation, Severity, as_comment

KIND = Kind(
    code="broken-access",
    order=650,
    severities=(Severity.ERROR, Severity.WARNING, Severity.QUESTION),
    sentence="Policies permit an action, and every request for it fails or reaches no row.",
)
_SEVERITIES = {
    Reason.PRIVILEGE: Severity.WARNING,
    Reason.NEED: Severity.ERROR,
    Reason.RECURSION: Severity.ERROR,
    Reason.UNREADABLE: Severity.WARNING,
    Reason.NEVER: Severity.WARNING,
}


def find(facts: Facts) -> Iterator[BrokenAccess | Question]:
    """One leak for each table and reason, and one question for all tables without any grant."""
    for refusal in facts.refusals:
        if refusal.reason is Reason.NO_GRANT:
            yield _question(refusal)
        else:
            yield _leak(refusal)


def _question(refusal: Refusal) -> Question:
    [grant] = refusal.repairs
    message = (
        "No role of the API has a privilege on {}, not even service_role. Is that intended?"
        f" Otherwise: {grant}"
    )
    return Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=refusal.table,
        message=message,
        decides=refusal.table,
        topics=(refusal.table,),
    )


def _leak(refusal: Refusal) -> BrokenAccess:
    severity = _SEVERITIES[refusal.reason]
    if refusal.roles == ("anon",):  # guests may be refused on purpose
        severity = Severity.WARNING
    fix = refusal.repairs[0] if refusal.repairs else as_comment(_ADVICE)
    if refusal.reason is Reason.NEVER and refusal.repairs:
        fix = as_comment(f"{_DECIDE}\n{fix}")
    return BrokenAccess(
        kind=KIND,
        severity=severity,
        object=refusal.table,
        message=_message(refusal),
        name=f"{refusal.table}:{refusal.reason}",
        explanation=Explanation(
            cause=_cause(refusal), fix=fix, policies=refusal.policies, origin=refusal.origin
        ),
        refusal=refusal,
    )


_DECIDE = "Not tried, because no caller has the claim. If the app sets it in app_metadata, run:"
_ADVICE = "Compare the row with auth.uid(), or with a claim of app_metadata."


def _cause(refusal: Refusal) -> str:
    names = ", ".join(f'policy "{name}"' for name in refusal.policies)
    if refusal.reason is Reason.PRIVILEGE:
        return f"no grant of {', '.join(refusal.missing)} beside {names}"
    if refusal.reason is Reason.NEED:
        return f"{names}, without {', '.join(refusal.missing)}"
    return names


def _message(refusal: Refusal) -> str:
    does = " and ".join(DOES[action] for action in refusal.actions)
    roles = " and ".join(refusal.roles)
    if refusal.reason is Reason.PRIVILEGE:
        return f"Policies let {roles} {does} rows, and each request fails with 42501: no privilege"
    if refusal.reason is Reason.NEED:
        missing = " and ".join(refusal.missing)
        return f"No request of {roles} can {does} rows (42501): the policies need {missing}"
    if refusal.reason is Reason.RECURSION:
        return f"No request of {roles} can {does} rows (42P17): a policy queries its own table"
    if refusal.reason is Reason.UNREADABLE:
        return (
            f"No request of {roles} can {does} rows, though policies permit it: it reads them"
            " first, and no policy for SELECT applies"
        )
    return f"Nobody can {does} rows by policies whose condition is true for no request"
