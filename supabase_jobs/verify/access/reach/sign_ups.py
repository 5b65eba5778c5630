"""Choices of users before a trigger runs: metadata of a sign-up, and the texts of their jobs."""

import uuid
from collections.abc import Iterator

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.session import sign_up
from supabase_jobs.session.sign_up import NewUser
from supabase_jobs.verify.access.reach import metadata, texts
from supabase_jobs.verify.access.reach.candidate import Candidate
from supabase_jobs.verify.access.reach.use import Act
from supabase_jobs.verify.access.reach.world import World


def sign_ups(world: World, trigger: Candidate) -> Iterator[Act]:
    """Sign-ups with metadata of the new user's choice, which others may have in their rows. Then
    one that names the id that only its guest knows.
    """
    user, reach = uuid.uuid4(), world.reach
    names = [*trigger.literals, *metadata.NAMES]

    def signed_up(value: str) -> list[Statement]:
        chosen = dict.fromkeys(names, value)
        return sign_up.statements([NewUser(id=user, email=world.values.address, metadata=chosen)])

    of_jobs = [text for text in reach.texts if text in world.shown]
    known = [str(world.other), *map(str, world.ids[1:2]), *of_jobs, world.values.address]
    for value in known:
        chosen = [world.own_role, metadata.chosen(trigger.text, sql.Literal(value))]
        if reach.chosen:
            chosen.append(world.statement(reach.chosen))
        yield Act(chosen, is_control=True)
        yield Act([*chosen, *signed_up(value)])
    if reach.joined:
        secret = str(world.impersonation.ids[reach.secret])
        yield Act([world.own_role], is_control=True)
        yield Act([world.own_role, *signed_up(secret), world.joined])


def states(world: World, trigger: Candidate) -> Iterator[Act]:
    """Each state of jobs whose owners have written an id into them, and whose errors contain what
    the trigger looks for.
    """
    reach = world.reach
    if not (reach.owners and reach.chosen):
        return
    words = " ".join(one.replace("%", " ") for one in texts.literals(trigger.text))
    begin = [
        world.own_role,
        Statement("select where set_config('verify.error', %s, true) is null", (words[:500],)),
        metadata.chosen(trigger.text, sql.Literal(str(world.own))),
        world.statement(reach.chosen),
    ]
    owners = world.statement(reach.owners)
    yield Act([*begin, owners], is_control=True)
    for state in reach.states:
        yield Act([*begin, world.statement(state), owners])
