"""Users who sign up with metadata of their choice: the role of an administrator, the id of another.

Auth stores `raw_user_meta_data` as the client sends it. A trigger or function that reads a key of
it believes what the user says.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.rows.plan import Plan, user_columns
from supabase_jobs.audit.rows.tenants import Tenant, User
from supabase_jobs.database.connection import Connection
from supabase_jobs.session import sign_up
from supabase_jobs.session.sign_up import NewUser, SignUpRejectedError

# raw_user_meta_data->>'role', and what the text compares it with behind it
_KEY = re.compile(r"raw_user_meta_data\s*\)?\s*->>?\s*'(\w+)'(.{0,60})", re.DOTALL)
_LITERAL = re.compile(r"^\s*\)*\s*(?:=|in\b)\s*\(?\s*'([^']+)'")
# what each user may choose: it names nobody else
_OWN = {"name", "full_name", "first_name", "last_name", "avatar_url", "picture", "user_name"}


@dataclass(frozen=True)
class Choice:
    """A key of the metadata with a value; `shown` names it without a generated value."""

    key: str
    value: object
    shown: str


def choices(plan: Plan, victim: Tenant) -> list[Choice]:
    """The values worth trying for each key that functions and policies read."""
    texts = [(f.body, plan.usage.function_reads.get(f.oid, set())) for f in plan.catalog.functions]
    found: dict[tuple[str, str], Choice] = {}
    for text, tables in texts:
        for key, behind in _KEY.findall(text):
            if key in _OWN:
                continue
            if compared := _LITERAL.match(behind):
                found.setdefault((key, compared[1]), Choice(key, compared[1], f"= {compared[1]}"))
            for choice in (*_of_columns(plan, victim, key, tables), *_of_claims(plan, key)):
                found.setdefault((key, choice.shown), choice)
    return list(found.values())[: LIMITS.impostors]


def _of_claims(plan: Plan, key: str) -> Iterator[Choice]:
    """The values that policies compare a claim of this name with: a hook may copy it from a key."""
    for path, literals in plan.usage.claim_literals.items():
        if path[-1] == key:
            yield from (Choice(key, value, f"= {value}") for value in literals)


def _of_columns(plan: Plan, victim: Tenant, key: str, tables: set[int]) -> Iterator[Choice]:
    """Values of the columns that a key may be written to: those of its name come first."""
    relations = [plan.catalog.by_oid[oid] for oid in sorted(tables) if oid in plan.catalog.by_oid]
    named = [(r, r.by_name[key]) for r in relations if key in r.by_name]
    others = [
        (r, c) for r in relations for c in r.columns if (r.oid, c.name) in plan.usage.literals
    ]
    for relation, column in named or others:
        yield from _of_column(plan, victim, relation, column, key)


def _of_column(
    plan: Plan, victim: Tenant, relation: Relation, column: Column, key: str
) -> Iterator[Choice]:
    row = victim.rows.get(relation.oid)
    is_foreign = any(column.name in k.columns for k in relation.foreign_keys)
    is_foreign |= (relation.oid, column.name) in plan.tenant_values
    is_foreign |= column.name in user_columns(relation, plan.usage, plan.per_user)
    if is_foreign:
        value = None if row is None else row.values.get(column.name)
        if value is not None:
            yield Choice(key, value, "of another")
        return
    if column.base == "bool":
        yield Choice(key, True, "= true")
        return
    limits = plan.limits.get(relation.oid, {}).get(column.name)
    known = list(plan.usage.literals.get((relation.oid, column.name), ()))
    known += [value for value in (limits.allowed if limits else ()) if value not in known]
    known += [label for label in column.labels if label not in known]
    powerful = sorted(known, key=plan.words.powerful_roles.rank)
    yield from (Choice(key, value, f"= {value}") for value in powerful[:2])


def sign_up_as(connection: Connection, user: User, choice: Choice) -> bool:
    """Sign a user up with a choice; False if the project refuses it."""
    new = NewUser(uuid.UUID(user.id), user.name, metadata={choice.key: choice.value})
    try:
        [row] = sign_up.run(connection, [new]).rows
    except SignUpRejectedError:
        return False
    user.email = row["email"]
    return True
