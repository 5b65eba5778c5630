"""Audit a database: generate rows, run every caller's actions, judge the outcomes; everything is
rolled back.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from functools import partial

from supabase_jobs.audit import (
    access,
    catalog,
    judging,
    probing,
    repairing,
    scene,
    summary,
    untested,
)
from supabase_jobs.audit.judging import Judgement
from supabase_jobs.audit.leaks.leak import PolicyLeak, Question
from supabase_jobs.audit.options import PARTS, Options
from supabase_jobs.audit.probes.attempt import AnyAttempt
from supabase_jobs.audit.probing import Run
from supabase_jobs.audit.repairing import Proposals
from supabase_jobs.audit.repairs import fixes
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.selection import selected
from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Audit, AuditCell, AuditedRelation, AuditFinding, Severity
from supabase_jobs.session import script
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.settings import SETTINGS


def audit(connection: Connection, options: Options) -> Audit:
    """Audit the database of a connection. Everything happens in a transaction that is rolled back.

    Raises ConfigError for an unknown schema or table, PrivilegeError if rows cannot be inserted at
    all, and psycopg's errors if the connection is lost.
    """
    started = time.monotonic()
    with rolled_back(connection, Statement(SETTINGS)):
        options.advance(1, PARTS)
        prepared = scene.prepare(connection, options)
        run = probing.run(prepared, options, Deadline(started + options.seconds))
        judged = judging.judge(run, options)
        options.advance(5, PARTS)
        if options.record is not None:
            options.record(judging.evidence(run, judged))
        proposed = repairing.repair(run, judged, options)
    return _result(run, judged, proposed, options, started)


def _result(
    run: Run, judged: Judgement, proposed: Proposals, options: Options, started: float
) -> Audit:
    """All that an audit has found."""
    attempts, world, everyone = run.probes.attempts, run.scene.world, run.scene.callers
    tables = [r for r in run.scene.selection.relations if r in run.scene.plan.catalog.tables]
    return Audit(
        findings=tuple(_findings(run.scene.plan, judged, proposed)),
        cells=tuple(_cells(run.tried, options)),
        summaries=tuple(summary.summaries(attempts, judged.shown)),
        not_tested=tuple(untested.find(run, judged.facts, options)),
        tables=len(tables),
        planted=sum(r.oid in world.a.rows for r in tables),
        milliseconds=(time.monotonic() - started) * 1000,
        access=judged.granted,
        functions=access.functions([] if options.tables else run.scene.selection.exposed),
        explained={**proposed.explained, **judged.by_grants},
        callers={caller.label: script.caller(caller) for caller in everyone},
        relations=_relations(run, options),
        tested={**access.tested(attempts, run.bypasses), **access.tested_topics(run.channels)},
        repairs=proposed.together,
        performance=tuple(proposed.slow),
        settled=world.observed.settled,
        meanings={caller.label: caller.meaning for caller in everyone},
        excluded=frozenset(options.files.configuration.excluded),
    )


def _findings(plan: Plan, judged: Judgement, proposed: Proposals) -> list[AuditFinding]:
    """The leaks and the questions, the gravest first."""
    of_policies = [leak for leak in judged.leaks if isinstance(leak, PolicyLeak)]
    questions = [leak.finding for leak in judged.leaks if isinstance(leak, Question)]
    found = [*proposed.findings, *fixes.of_policies(plan, of_policies), *questions]
    return sorted(found, key=lambda f: (list(Severity).index(f.severity), f.object, f.id))


def _relations(run: Run, options: Options) -> dict[str, AuditedRelation]:
    plan, restored = run.scene.plan, run.probes.restored
    return {
        relation.label: _relation(relation, plan, restored.get(relation.oid, ()))
        for relation in plan.catalog.relations
        if selected(relation, options)
    }


def _relation(relation: catalog.Relation, plan: Plan, restored: Collection[str]) -> AuditedRelation:
    return AuditedRelation(
        kind={"v": "view", "m": "materialized view"}.get(relation.kind, "table"),
        columns=frozenset(relation.by_name),
        rls=relation.rls,
        reachable=relation in plan.catalog.reachable,
        mentioned=frozenset(relation.by_name.keys() & plan.usage.mentions.words),
        unsettable=frozenset(restored).union(
            c.name for c in relation.columns if c.generated or c.identity == "a"
        ),
    )


def _cells(tried: Iterable[AnyAttempt], options: Options) -> Iterator[AuditCell]:
    for one in tried:
        yield AuditCell(
            object=one.label,
            caller=one.caller.label,
            whose=one.whose,
            action=one.action,
            detail=one.detail,
            outcome=one.outcome,
            sql=one.script,
            request=partial(_command, one, options.served[0]),
        )


def _command(one: AnyAttempt, default_schema: str) -> str:
    request = one.request(default_schema)
    return request.command if request is not None else ""
