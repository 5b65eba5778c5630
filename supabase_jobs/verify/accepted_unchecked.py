"""Acceptance: what the project names in `[accepted_unchecked]` may stay unchecked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from supabase_jobs.findings import Finding, Id, Severity
from supabase_jobs.settings import FILE_NAME
from supabase_jobs.verify.context import Context

_FIX_STALE = f"Remove the entry from {FILE_NAME}."


def accept(
    context: Context, accepted: Mapping[str, str], areas: Sequence[str], known: Collection[str]
) -> dict[str, str]:
    """Turn the warning about something unchecked into an info if its id or its area is accepted.

    Returns the ids of these findings with the reasons. An entry without effect is an info of its
    own, unless its area is one of the `known` ones and was not run. An error is never accepted: a
    managed object causes it.
    """
    reasons: dict[str, str] = {}
    used: set[str] = set()
    for number, finding in enumerate(context.findings):
        if finding.id not in context.unchecked or finding.severity is not Severity.WARNING:
            continue
        for name in (finding.id, finding.area):
            if name in accepted:
                used.add(name)
                reasons.setdefault(finding.id, accepted[name])
        if finding.id in reasons:
            message = f"{finding.message}; accepted: {reasons[finding.id]}"
            context.findings[number] = replace(finding, severity=Severity.INFO, message=message)
    for name in accepted:
        area = name.partition(":")[0]
        if name not in used and (area in areas or area not in known):
            shown = area if area in areas else areas[0]
            message = (
                f'[accepted_unchecked] "{name}" has no effect: nothing unchecked has this name'
            )
            id = Id(shown, "accepted_unchecked", name)
            context.findings.append(
                Finding(
                    id=id,
                    area=shown,
                    severity=Severity.INFO,
                    object=FILE_NAME,
                    message=message,
                    fix=_FIX_STALE,
                )
            )
    return reasons
