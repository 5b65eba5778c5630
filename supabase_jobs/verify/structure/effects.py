"""Effects of policies that differ from the recorded ones, and the cells that judge them."""

from supabase_jobs.database.parser import syntax
from supabase_jobs.findings import Severity
from supabase_jobs.verify.context import EquivalenceCheck
from supabase_jobs.verify.structure.catalog import Facts

# a kind of fact: the combined expression of all policies of a table for a role and a command (`anon
# update check`)
EFFECT = "effect of policies"


def changed_effects(recorded: Facts, actual: Facts) -> dict[str, list[EquivalenceCheck | None]]:
    """Object → the effects of its policies that differ from the recorded ones, as equivalence
    checks.

    None stands for an effect that the access matrix cannot judge: it reads more than the recorded
    expression (another column, a constant, the time), so that the difference may only show on rows
    that the matrix does not insert.
    """
    effects: dict[str, list[EquivalenceCheck | None]] = {}
    for key in {key for facts in (recorded, actual) for key in facts if key[1] == EFFECT}:
        before, now = recorded.get(key), actual.get(key)
        if before is not None and now is not None:
            if before.value == now.value:
                continue
            reads_no_more = syntax.expression_atoms(now.value) <= syntax.expression_atoms(
                before.value
            )
            if reads_no_more and now.deviation_severity != Severity.ERROR:
                role, command, _ = key[2].rsplit(" ", 2)
                effects.setdefault(key[0], []).append(
                    EquivalenceCheck(key[0], role.strip('"'), command)
                )
                continue
        effects.setdefault(key[0], []).append(None)
    return effects
