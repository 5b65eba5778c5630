"""Claims of the users of a tenant, and changes of a path in claims."""

from collections.abc import Sequence
from typing import Any

from supabase_jobs.audit.policies.expressions import EACH
from supabase_jobs.audit.rows.tenants import Tenant, User


def claims_of(tenant: Tenant, user: User) -> dict[str, Any]:
    """The JWT claims of a user of a tenant, as Auth issues them, with the claims that policies
    read.
    """
    claims: dict[str, Any] = {
        "sub": user.id,
        "role": "authenticated",
        "aud": "authenticated",
        "email": user.email,
        "aal": "aal1",
        "is_anonymous": False,
        "app_metadata": {"provider": "email"},
        "user_metadata": {},
    }
    for path, value in (*tenant.claims.items(), *user.claims):
        place(claims, path, value)
    return claims


def place(claims: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a claim by its path, except those that identify the user."""
    if path[0] in ("sub", "email", "aud") and len(path) == 1:
        return
    name, *inside = path
    claims[name] = _placed(claims.get(name), inside, value)


def _placed(document: Any, path: Sequence[str], value: Any) -> Any:
    """A document with a value at a path. One element of an array has all values of its paths; of an
    object, `?` finds a key as it finds an element.
    """
    if not path:
        return value
    name, *inside = path
    keys = document if isinstance(document, dict) else {}
    if name == EACH and keys and not inside:
        return {value: True, **keys}
    if name == EACH:
        first = document[0] if isinstance(document, list) else None
        return [_placed(first, inside, value)]
    return {**keys, name: _placed(keys.get(name), inside, value)}


def remove(claims: dict[str, Any], path: Sequence[str]) -> None:
    """Remove a claim by its path, if it is set; an array with all of its elements."""
    path = path[: path.index(EACH)] if EACH in path else path
    target: Any = claims
    for name in path[:-1]:
        target = target.get(name) if isinstance(target, dict) else None
    if isinstance(target, dict):
        target.pop(path[-1], None)
