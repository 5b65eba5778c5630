"""The claims that the access token hook of a project gives to people.

Those who have just signed up have the claims of its answer. People with rows of the project keep
the claims that policies compare with, see `callers`, where the answer has no value for them: which
row leads to which claim is known to the hook only.

A hook may believe what users write into their user_metadata, so it is also asked for a stranger
who names there what belongs to the other tenant.

Everybody in the rows of the world has a row of each table with one row for each user, also of the
list of the support. If policies only ask whether a claim is there, and the hook gives it to who is
in such a list, one further user has it, and the others are in no list.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from supabase_jobs.audit.callers import (
    ANONYMOUS,
    CLAIM,
    FIXED_CLAIMS,
    FORGER,
    FORMER,
    IMPOSTOR,
    INVITED,
    LAPSED,
    MEMBER,
    NEWCOMER,
    OWNER,
    STRANGER,
    Persona,
)
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.policies.expressions import CHOSEN
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.claims import remove
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.findings import NotTested
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.impersonation import caller_statement
from supabase_jobs.session.savepoint import run_undone

_NEW = (NEWCOMER, IMPOSTOR)
_WITH_ROWS = (STRANGER, OWNER, MEMBER, INVITED, FORMER, ANONYMOUS, LAPSED)
# claims -> 'user_metadata' ->> 'team'
_CHOSEN = re.compile(r"user_metadata'?\s*\)?\s*->>?\s*'(\w+)'")
_AUTH = Caller(label="Auth", role="supabase_auth_admin", claims=None)
_CALL = sql.SQL("select {}({})::jsonb")
_HELP = (
    "Auth refuses tokens while the hook fails: correct the function, or grant supabase_auth_admin"
    " what it needs."
)


def issue(
    connection: Connection, function: tuple[str, str], world: World, everyone: Sequence[Persona]
) -> tuple[list[Persona], list[NotTested]]:
    """Everyone, with the claims of the hook, and the hook if it fails for somebody. Strangers
    choose the keys of user_metadata that it reads.
    """
    name = sql.Identifier(*function)
    hooks = [f for f in world.plan.catalog.functions if (f.schema, f.name) == function]
    body = " ".join(hook.body for hook in hooks)
    signed_in = [person for person in everyone if _has_token(person)]
    forgers = list(_forgers(everyone, dict.fromkeys(_CHOSEN.findall(body))))
    results = _call_for(connection, name, [*signed_in, *forgers])
    failed = [result for result in results[: len(signed_in)] if result.error is not None]
    issued = dict(zip(map(id, [*signed_in, *forgers]), results, strict=True))
    changed = [
        _with_claims(person, issued[id(person)]) if id(person) in issued else person
        for person in everyone
    ]
    deceived = [_with_claims(forger, issued[id(forger)]) for forger in forgers]
    for path, table, holder in _of_lists(connection, name, world, hooks, everyone, issued):
        changed = [_without(person, path, table, holder) for person in changed]
        deceived = [_without(person, path, table, holder) for person in deceived]
        changed.insert(changed.index(_users(changed)[0]) + 1, holder)
    stranger = next((one for one in changed if one.kind == STRANGER and one.claims), None)
    changed += [one for one in deceived if _given(one) != _given(stranger)]
    return changed, [_not_tested(".".join(function), result) for result in failed[:1]]


def _users(everyone: Iterable[Persona]) -> list[Persona]:
    """The owners and others of the other tenant."""
    return [one for one in everyone if one.kind == STRANGER and one.role == "authenticated"]


def _of_lists(
    connection: Connection,
    name: sql.Identifier,
    world: World,
    hooks: Sequence[Function],
    everyone: Sequence[Persona],
    issued: Mapping[int, GroupResult],
) -> Iterator[tuple[tuple[str, ...], int, Persona]]:
    """The claims of which policies only ask whether they are there, and that the hook gives to who
    is in a list of the project: each with the table of the list, and a user who has it.

    No list is a table whose rows say to which tenant a user belongs, nor one into which users put
    themselves, directly or as they sign up.
    """
    usage, plain = world.plan.usage, next(iter(_users(everyone)), None)
    asked = sorted(usage.request.present_claims - usage.request.claims.keys() - FIXED_CLAIMS)
    if plain is None or plain.user is None or not asked:
        return
    listed = _with_claims(plain, issued[id(plain)])
    newcomers = [_with_claims(one, issued[id(one)]) for one in everyone if one.kind == NEWCOMER]
    given = [path for path in asked if _has(path, listed) and not _has(path, plain, *newcomers)]
    rows = [row for row in plain.user.rows.values() if given and _is_list(world, hooks, row)]
    groups = [[_deletion(row), caller_statement(_AUTH), _call(name, plain)] for row in rows]
    for row, result in zip(rows, run_undone(connection, groups), strict=True):
        unlisted = _with_claims(plain, result)
        for path in given if result.error is None else ():
            if not _has(path, unlisted):
                label = f"user with {'.'.join(path)} = {listed.claim_at(path)}"
                holder = replace(listed, label=label, kind=CLAIM, claim=path)
                yield path, row.relation.oid, holder


def _has(path: tuple[str, ...], *people: Persona) -> bool:
    """Whether one of these people has a claim."""
    return any(one.claim_at(path) is not None for one in people)


def _is_list(world: World, hooks: Sequence[Function], row: Row) -> bool:
    """Whether a row is one of a list that the hook reads."""
    plan, oid = world.plan, row.relation.oid
    is_read = any(oid in plan.usage.bodies.function_reads.get(hook.oid, ()) for hook in hooks)
    is_own = any((oid, column) in plan.usage.persons.checked for column in row.relation.by_name)
    return is_read and not (is_own or oid in plan.tenants or oid in plan.memberships)


def _deletion(row: Row) -> Statement:
    text = sql.SQL("delete from {} where {}").format(row.relation.identifier, row.condition)
    return Statement(text.as_string())


def _without(person: Persona, path: tuple[str, ...], table: int, holder: Persona) -> Persona:
    """A person who is not in the list that gives a claim. Whoever is there in another state stays,
    and so does a claim that the metadata of a user gives.
    """
    state = None if person.user is None else person.user.state
    is_listed = state is not None and state.relation.oid == table
    is_chosen = person.kind == FORGER and person.claim_at(path) != holder.claim_at(path)
    if person.kind not in (*_WITH_ROWS, FORGER) or is_listed or is_chosen:
        return person
    claims = deepcopy(dict(person.claims or {}))
    remove(claims, path)
    return replace(person, claims=claims)


def _given(person: Persona | None) -> dict[str, Any]:
    """The claims of a person without those that every user chooses."""
    claims = {} if person is None else person.claims or {}
    return {name: value for name, value in claims.items() if name != CHOSEN}


def _call_for(
    connection: Connection, name: sql.Identifier, people: Sequence[Persona]
) -> list[GroupResult]:
    groups = [[caller_statement(_AUTH), _call(name, person)] for person in people]
    return run_undone(connection, groups)


def _forgers(everyone: Sequence[Persona], keys: Iterable[str]) -> Iterator[Persona]:
    """The stranger with each value of the owner's claims, in each of these keys."""
    stranger = next((one for one in everyone if one.kind == STRANGER and one.claims), None)
    owner = next((one for one in everyone if one.kind == OWNER and one.claims), None)
    if stranger is None or owner is None:
        return
    own = [*_leaves(stranger.claims or {})]
    values = [value for value in _leaves(owner.claims or {}) if value not in own]
    for key in keys:
        for value in dict.fromkeys(values):
            claims = dict(stranger.claims or {})
            claims[CHOSEN] = {**claims.get(CHOSEN, {}), key: value}
            label = f"stranger with {CHOSEN}.{key} of another"
            yield replace(stranger, label=label, kind=FORGER, claims=claims, claim=(CHOSEN, key))


def reading(functions: Iterable[Function], key: str) -> list[Function]:
    """The functions that read a key of user_metadata."""
    return [function for function in functions if key in _CHOSEN.findall(function.body)]


def _leaves(claims: Mapping[str, Any]) -> Iterator[str]:
    """The texts of claims, at any depth, but for the id and the address of the user."""
    for name, value in claims.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        elif isinstance(value, str) and name not in ("sub", "email"):
            yield value


def _has_token(person: Persona) -> bool:
    return person.kind in (*_NEW, *_WITH_ROWS) and "sub" in (person.claims or {})


def _call(name: sql.Identifier, person: Persona) -> Statement:
    claims = dict(person.claims or {})
    event = {"user_id": claims["sub"], "claims": claims, "authentication_method": "password"}
    return Statement(_CALL.format(name, sql.Literal(Jsonb(event))).as_string())


def _with_claims(person: Persona, result: GroupResult) -> Persona:
    """The person with the claims of the answer; an answer without claims refuses the token."""
    if result.error is not None:
        return person
    [row] = result.answers[-1].rows
    found = row[0]
    claims = found.get("claims") if isinstance(found, dict) else None
    if not isinstance(claims, dict):
        return person
    if person.kind in (*_WITH_ROWS, FORGER):
        claims = _completed(claims, person.claims or {})
    return replace(person, claims=claims)


def _completed(answer: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of the answer, and the person's own where it has no value."""
    completed = {**own}
    for name, value in answer.items():
        before = own.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            completed[name] = _completed(value, before)
        elif value is not None or name not in own:
            completed[name] = value
    return completed


def _not_tested(name: str, result: GroupResult) -> NotTested:
    assert result.error is not None  # noqa: S101  it has failed
    why = f"the access token hook failed: {sqlstate_and_message(result.error)}"
    return NotTested(name, why, _HELP, fails=True)
