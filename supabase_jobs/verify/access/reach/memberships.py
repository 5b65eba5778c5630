"""Harm that members of a group can do to the accounts of each other."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, product, repeat

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.verify.access.reach.calls import called
from supabase_jobs.verify.access.reach.candidate import MOST_LITERALS, Candidate
from supabase_jobs.verify.access.reach.groups import Groups, Member
from supabase_jobs.verify.access.reach.problems import reaches_account
from supabase_jobs.verify.access.reach.use import Use
from supabase_jobs.verify.access.reach.values import value_of
from supabase_jobs.verify.access.reach.world import World, attempt

_ROLE = "authenticated"


def reaching(
    world: World,
    members: Sequence[Candidate],
    changing: Sequence[Candidate],
    functions: Sequence[Candidate],
    literals: Mapping[str, Sequence[str]],
) -> list[Candidate]:
    """The candidates by which a member reaches the account, the sessions or the keys of another
    member: it changes rows of their group in the tables `changing`, also with the `literals` of the
    triggers of a table, by its name, and calls the functions that change something for members.
    """
    tables = {one.name: _member(one) for one in members}
    groups = Groups(list(tables.values()), uuid.uuid4())
    values = dict.fromkeys(literal for one in members for literal in one.literals)
    found: set[str] = set()
    for value in ["", *values][:MOST_LITERALS]:
        changes = [
            world.use(one, _ROLE, [Statement(change)])
            for one in changing
            if one.name not in found
            for change in groups.changes(tables[one.name], world.other, literals.get(one.name, ()))
        ]
        calls = [
            world.use(one, _ROLE, [call])
            for one in functions
            if one.name not in found
            for call in _calls(world, one, groups)
        ]
        found |= _reaching(
            world, [*changes, *calls], groups.statements(world.own, world.other, value)
        )
    return [one for one in (*members, *functions) if one.name in found]


def _reaching(world: World, uses: Sequence[Use], rows: Iterator[str]) -> set[str]:
    """The names of what reaches an account, among these rows of the group."""
    nothing = world.use(None, _ROLE, [Statement("select 1")])
    world.run([nothing, *uses], chain.from_iterable(map(attempt, rows)))
    seen = nothing.seen or {}
    return {
        use.candidate.name
        for use in uses
        if use.candidate is not None and reaches_account(use, seen)
    }


def _calls(world: World, function: Candidate, groups: Groups) -> Iterator[Statement]:
    """Calls with each choice of the group and the other user for the ids."""
    ids = [
        (world.other, groups.group) if type == "uuid" else (world.other,) for type in function.types
    ]
    for chosen in islice(product(*ids), MOST_LITERALS):
        text = repeat(sql.Literal("verify"))
        values = [
            value_of(type, text, sql.Literal(1), id)
            for type, id in zip(function.types, chosen, strict=True)
        ]
        yield called(function, values)


def _member(table: Candidate) -> Member:
    columns = zip(table.names or (), table.types, table.required, table.refers, strict=True)
    return Member(table.name, list(columns), table.key)
