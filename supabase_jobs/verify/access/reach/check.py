"""Use each candidate, and add a finding for each by which a request reaches another user."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.session import script
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import Impersonation, committed
from supabase_jobs.verify.access.matrix import AccessDeclaration
from supabase_jobs.verify.access.problem import Problem
from supabase_jobs.verify.access.reach import memberships, scheduled, texts
from supabase_jobs.verify.access.reach.candidate import (
    MATERIALIZED_VIEW,
    VIEW,
    Candidate,
    Kind,
    job_of,
    sources_of,
    tables_of,
)
from supabase_jobs.verify.access.reach.judged_texts import judge, judge_views
from supabase_jobs.verify.access.reach.other_worlds import in_other_worlds
from supabase_jobs.verify.access.reach.problems import Undisturbed, problem_of
from supabase_jobs.verify.access.reach.report import report
from supabase_jobs.verify.access.reach.uses import uses_of
from supabase_jobs.verify.access.reach.values import ADDRESS
from supabase_jobs.verify.access.reach.world import World, attempt, prepared
from supabase_jobs.verify.access.reach.writes import deletes
from supabase_jobs.verify.context import Context

_SCHEDULED = sql_file(Path(__file__).with_name("cron.sql"))
# more candidates than this are left out: each takes several calls
_MOST = 200
# what is there for other candidates
_NOT_USED = (Kind.SOURCE, Kind.CHANGED, Kind.MEMBER, Kind.SCHEDULE)
# what is reached by more than the exposed schemas
_ANYWHERE = (Kind.SIGN_UP, Kind.STATE, Kind.MESSAGES)
_WRITTEN = (Kind.TABLE, Kind.KEPT)
_OF_MEMBER = Problem(
    "changes or deletes the account, a session or a key of another user who is in the same group"
)


@dataclass(frozen=True)
class _Chosen:
    """The candidates to use, the views that a lint has reported, the tables that
    users write, and the tables of the project.
    """

    used: Sequence[Candidate]
    views: Sequence[Candidate]
    sources: Sequence[Candidate]
    members: Sequence[Candidate]
    has_jobs: bool


def check(
    impersonation: Impersonation,
    candidates: Sequence[Candidate],
    exposed: Collection[str],
    declared: AccessDeclaration,
    frame: Frame,
    context: Context,
    hooks: Mapping[str, str],
) -> None:
    """Try each candidate in an `exposed` schema; add a finding for each that reaches another user.

    `hooks` are the texts of the functions that Auth calls for messages and attempts. The first user
    of the fixture calls, the second one is the other. On a database in use nothing is tried.
    """
    chosen = _chosen(candidates, exposed, context)
    is_there = chosen.used or chosen.views or chosen.has_jobs
    if context.in_use or len(declared.fixture.users) < 2 or not is_there:
        return
    jobs = _jobs(impersonation, chosen, declared, frame, context)
    events = [
        *(
            f"refresh materialized view {one.name}"
            for one in chosen.used
            if one.relation == MATERIALIZED_VIEW
        ),
        *(job.name for job in jobs),
        *(
            f"select {hook}(current_setting('verify.event')::jsonb)"
            for hook, text in hooks.items()
            if texts.stays_inside(text)
        ),
    ]
    world = prepared(impersonation, declared, frame, context, events, chosen.sources)
    _use(world, [*chosen.used, *(job for job in jobs if job.names)], exposed)
    judge_views(world, chosen.views)
    _use_as_member(world, chosen, exposed)


def _chosen(candidates: Sequence[Candidate], exposed: Collection[str], context: Context) -> _Chosen:
    """The candidates that are tried. What a lint has reported is told already, but a function
    is tried for what its text says, also if nobody calls it through the API.
    """
    reported = {finding.object for finding in context.findings}
    reported |= {finding.id.parts[-1] for finding in context.findings}
    relations = [one for one in candidates if one.kind is Kind.RELATION]
    told = {id(one) for one in relations if one.object in reported}

    def is_reached(one: Candidate) -> bool:
        return (
            one.schema in exposed
            or one.kind in _ANYWHERE
            or (one.kind is Kind.RELATION and one.is_served)
            or (one.kind is Kind.FUNCTION and one.object in reported)
        )

    used = [
        one
        for one in candidates
        if one.kind not in _NOT_USED and id(one) not in told and is_reached(one) and one.is_tried
    ]
    changed = [one for one in candidates if one.kind is Kind.CHANGED and one.schema in exposed]
    return _Chosen(
        used=used[:_MOST],
        views=[
            one for one in relations if id(one) in told and one.relation == VIEW and one.callers
        ],
        sources=[*sources_of(candidates, exposed), *changed],
        members=tables_of(candidates),
        has_jobs=any(one.kind is Kind.SCHEDULE for one in candidates),
    )


def _jobs(
    impersonation: Impersonation,
    chosen: _Chosen,
    declared: AccessDeclaration,
    frame: Frame,
    context: Context,
) -> list[Candidate]:
    """The scheduled jobs that are tried. Those that end what is in use are told. One may truncate
    a table for that: nobody else waits for the lock.
    """
    if not chosen.has_jobs:
        return []
    rows = _SCHEDULED.rows(impersonation.connection)
    jobs = [job_of(row, chosen.sources) for row in rows]
    ending: Collection[str] = ()
    commands = {
        job.object: job.name for job in jobs if texts.stays_inside(job.text, may_truncate=True)
    }
    if commands and declared.reach.kept:
        names = script.quoted(impersonation.ids)
        present = (attempt(script.filled(one, names)) for one in declared.reach.present)
        made = [*frame.before, *chain.from_iterable(present), *committed(impersonation)]
        ending = scheduled.check(impersonation, commands, made, declared.reach.kept, context)
    return [job for job in jobs if job.is_tried and job.object not in ending]


def _use(world: World, candidates: Sequence[Candidate], exposed: Collection[str]) -> None:
    """Use each candidate, and report what it reaches."""
    uses = {id(candidate): list(uses_of(world, candidate)) for candidate in candidates}
    select = Statement(f"select {ADDRESS}")
    nothing = world.use(None, "authenticated", [select])
    deleting = [world.use(None, "authenticated", group) for group in deletes(world, select)]
    world.run([nothing, *deleting, *chain.from_iterable(uses.values())])
    undisturbed = Undisturbed.after(nothing, deleting)
    for candidate in candidates:
        own = uses[id(candidate)]
        problem = problem_of(world, own, undisturbed) or in_other_worlds(world, candidate, own)
        if problem is None:
            judge(world, candidate, own)
        if candidate.kind is not Kind.FUNCTION or candidate.schema in exposed:
            report(candidate, problem, world.context)


def _use_as_member(world: World, chosen: _Chosen, exposed: Collection[str]) -> None:
    """Try what members of a group can do. They change accounts only by what runs as its owner."""
    functions = [
        one
        for one in chosen.used
        if one.kind is Kind.FUNCTION
        and one.schema in exposed
        and "uuid" in one.types
        and texts.commands(one.text)
        and _reads_any(one, chosen.members)
    ]
    literals = {one.name: one.literals for one in chosen.used if one.kind in _WRITTEN}
    if not (functions or literals):
        return
    changing = [one for one in chosen.members if one.schema in exposed and one.callers]
    for one in memberships.reaching(world, chosen.members, changing, functions, literals):
        report(one, _OF_MEMBER, world.context)


def _reads_any(function: Candidate, tables: Sequence[Candidate]) -> bool:
    """Whether the text of a function mentions one of the tables."""
    return any(function.reads(table) for table in tables)
