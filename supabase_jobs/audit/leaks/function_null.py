"""Functions whose guard lets NULL pass: `p_signature <> expected` is not true for it."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, is_refused, leak_of_function
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-null",
    order=540,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="The guard of a function lets NULL pass, and refuses every other text.",
)

_ADVICE = "Compare with IS DISTINCT FROM: with NULL, <> is neither true nor false."
# insufficient_privilege, which no check of a format raises
_PRIVILEGE = "42501"


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, and one question about those whose error may be that of a
    format.
    """
    known = set[str]()
    by_caller: dict[tuple[str, str], list[Called]] = {}
    for called in asked(facts):
        if called.function.is_definer:
            by_caller.setdefault((called.object, called.actor.label), []).append(called)
    for calls in by_caller.values():
        refused = [called for called in calls if called.given.texts and not called.given.nulls]
        if len(refused) < LIMITS.refused_texts or not all(map(is_refused, refused)):
            continue
        texts = {name for called in refused for name in called.given.texts}
        passed = [c for c in calls if texts.intersection(c.given.nulls) and not is_refused(c)]
        if passed:
            known.add(passed[0].object)
            yield _found(passed, refused)
    for called in asked(facts):
        loose = [
            name for name in called.function.guard.loose if name in called.function.guard.secrets
        ]
        if loose and called.function.is_definer and called.object not in known:
            known.add(called.object)
            does = "pass NULL for a secret that is only compared by <>, to"
            yield question(KIND, called, does, f"{called.object} ({', '.join(loose)})")


def _found(passed: Sequence[Called], refused: Sequence[Called]) -> AnyLeak:
    if any(called.sqlstate == _PRIVILEGE for called in refused):
        names = dict.fromkeys(name for called in passed for name in called.given.nulls)
        effect = f"pass its guard with NULL as {' or '.join(names)}, which refuses every other text"
        return leak_of_function(KIND, Severity.WARNING, passed[0], effect, _ADVICE)
    return question(KIND, passed[0], "pass with NULL, and no other text, the guard of")
