"""Conditions with a name that means a column of the nearest table, and not what was meant."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import CLAIM, STRANGER
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind, Question
from supabase_jobs.audit.policies.captured_names import CapturedName
from supabase_jobs.audit.probes.attempt import OTHER
from supabase_jobs.findings import Explanation, Severity, as_comment

KIND = Kind(
    code="captured-name",
    order=640,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A name in a condition means a column of the nearest table, so it limits nothing.",
    from_catalogs=True,
)


def find(facts: Facts) -> Iterator[ExplainedLeak | Question]:
    """One leak for each policy or function, and column; a question if outsiders tried and reached
    nothing, because something else limits them, such as the policies of the nearer table.
    """
    for name in facts.captured_names:
        where = f'policy "{name.policy}"' if name.policy else f"function {name.object}"
        parts = [name.object, name.policy, f"{name.table}.{name.column}"]
        if name.policy and not name.is_path and _is_limited_otherwise(facts, name.object):
            yield Question(
                kind=KIND,
                severity=Severity.QUESTION,
                object=name.object,
                message=f"{_message(name, where)}, and something else limits {{}}. Is it meant?",
                decides=":".join(parts),
                topics=(name.object,),
            )
            continue
        yield ExplainedLeak(
            kind=KIND,
            severity=Severity.WARNING,
            object=name.object,
            message=_message(name, where),
            name=":".join(part for part in parts if part),
            explanation=Explanation(
                cause=where,
                fix=as_comment(_advice(name)),
                policies=(name.policy,) if name.policy else (),
            ),
        )


def _is_limited_otherwise(facts: Facts, label: str) -> bool:
    """Whether callers with rows of their own, or a claim, tried the rows of others, and none
    reached one.
    """
    tried = [t for t in facts.of_table(label) if t.whose == OTHER and t.actor.is_outsider]
    has_rights = any(t.actor.kind in (STRANGER, CLAIM) for t in tried)
    return has_rights and not any(t.reached for t in tried)


def _message(name: CapturedName, where: str) -> str:
    column = f"{name.table}.{name.column}"
    if name.is_path:
        return f"{column} takes the place of the file's path in {where}: its folder is not compared"
    return f"{column} is compared with itself in {where}: that is true in each row"


def _advice(name: CapturedName) -> str:
    if name.is_path:
        return "Write objects.name: without its table, a name is a column of the query's own one."
    if name.is_argument:
        return "Write the function's name before that of the argument: a column goes before it."
    return "Write the table before the name of its column: a column of the query's own goes before."
