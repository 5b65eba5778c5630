"""Runs of scheduled jobs after users have written what they read."""

from collections.abc import Iterator

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.verify.access.reach import metadata, texts
from supabase_jobs.verify.access.reach.candidate import Candidate
from supabase_jobs.verify.access.reach.rows import written
from supabase_jobs.verify.access.reach.use import Act
from supabase_jobs.verify.access.reach.world import World


def runs(world: World, job: Candidate) -> Iterator[Act]:
    """The job runs, and once more after a user has written a row."""
    run = [
        world.own_role,
        Statement(job.name),
        Statement("select current_setting('verify.reached', true)"),
    ]
    yield Act(run, is_control=True)
    for source in filter(job.reads, world.sources):
        for write in written(world, source, is_dynamic=True):
            yield Act([write, *run])
    if texts.reads_metadata(job.text) and world.reach.chosen:
        # the same value as in a row of another owner
        chosen = metadata.chosen(job.text, sql.Literal("verify"))
        of_others = [world.own_role, chosen, world.statement(world.reach.chosen)]
        yield Act([*of_others, *run], is_control=True)
        yield Act([*of_others, metadata.given(world), *run])
