"""Trials of addresses that nobody has confirmed: they open no account.

An identity provider of anybody says that its user has an address, and every user writes one into
its own metadata and headers. Neither makes it the user who has the address.
"""

import json
import re
import uuid
from collections.abc import Collection, Iterator, Sequence

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.request import request_settings
from supabase_jobs.findings import Id
from supabase_jobs.session import sign_up
from supabase_jobs.session.sign_up import NewUser
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.platform.auth import Auth, become
from supabase_jobs.verify.access.platform.trial import SEARCH_PATH_OF_REQUESTS, Function, Trial
from supabase_jobs.verify.access.problem import Problem

_IDENTITIES, _UID = "auth.identities", "auth.uid"
# a function that reads no user finds none by an address
_READS_USERS = re.compile(r"\busers\b", re.IGNORECASE)
_LATER = "update auth.users set created_at = now() + interval '1 second' where id = %s"
_IDENTITY = """
insert into auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
values (%s, %s, %s, 'sso:verify', now(), now())
"""
_OWNER = "select i.user_id::text from auth.identities as i where i.provider_id = %s"


def unconfirmed(
    tables: Collection[str],
    triggers: Collection[str],
    functions: Sequence[Function],
    auth: Auth,
) -> Iterator[Trial]:
    """A trial of the identities, if the table is there and has `triggers`, and one of auth.uid(),
    if it reads users.
    """
    if _IDENTITIES in tables and _IDENTITIES in triggers:
        yield _identity(auth)
    for function in functions:
        if function.name == _UID and _READS_USERS.search(function.text):
            yield _request(function, auth)


def _identity(auth: Auth) -> Trial:
    """A user of a provider of anybody signs in: the provider names the address of another user."""
    user, other = _users()
    data = {"sub": str(user.id), "email": other.email, "email_verified": False}
    provided = f"verify {user.id}"
    statements = [
        auth.become(),
        *sign_up.statements([other]),
        *sign_up.statements([user]),
        Statement(_LATER, (user.id,)),
        Statement(_IDENTITY, (provided, user.id, json.dumps(data))),
        Statement(_OWNER, (provided,)),
    ]
    problem = Problem(
        "an identity opens the account of somebody else who has its address: a trigger links it,"
        " and no provider has to confirm the address",
        "Let no trigger change user_id of auth.identities: Auth links confirmed addresses.",
    )
    return _trial("auth.users", "identity of another", statements, other, problem)


def _request(function: Function, auth: Auth) -> Trial:
    """A request of a user whose metadata and headers name the address of another one."""
    user, other = _users()
    named = function.every(str(other.email))
    claims = {"sub": str(user.id), "role": "authenticated", "user_metadata": named}
    settings = {**request_settings(claims, named), **SEARCH_PATH_OF_REQUESTS}
    statements = [
        auth.become(),
        *sign_up.statements([other]),
        *sign_up.statements([user]),
        become("authenticated", settings),
        Statement("select auth.uid()::text"),
    ]
    problem = Problem(
        "it returns the user whose address the caller has written into its own metadata or headers",
        "Create auth.uid() again as Supabase ships it: it must read nothing but the claim sub.",
    )
    return _trial("auth.uid()", "address of another", statements, other, problem)


def _users() -> tuple[NewUser, NewUser]:
    """A user, and another one whose address is known."""
    other = NewUser(id=uuid.uuid4(), email=f"verify{uuid.uuid4().hex[:12]}@example.com")
    return NewUser(id=uuid.uuid4()), other


def _trial(
    object: str, name: str, statements: Sequence[Statement], other: NewUser, problem: Problem
) -> Trial:
    """A trial whose last statement must not return the other user."""

    def judge(result: GroupResult) -> Problem | None:
        is_other = result.error is None and (str(other.id),) in result.answer().rows
        return problem if is_other else None

    return Trial(Id(AREA, object, name), object, statements, judge)
