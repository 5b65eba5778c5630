"""Who a request comes from, and the settings by which PostgREST would tell the database. Knows no database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from supabase_jobs.database.request import REQUEST_SETTINGS, request_settings


@dataclass(frozen=True)
class Identity:
    """A role, the claims of its JWT, its request's headers, and settings made as they stand.

    `claims` and `headers` None: the setting stays empty, as for a connection that is no request.
    """

    role: str
    claims: Mapping[str, object] | None = None
    headers: Mapping[str, str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def made(self) -> dict[str, str]:
        """Every setting, the role among them; PostgREST lower-cases the names of headers."""
        made = dict.fromkeys(REQUEST_SETTINGS, "") | request_settings(self.claims, self.headers)
        return {**made, **self.settings, "role": self.role}

    def __str__(self) -> str:
        parts = [self.role]
        parts += [] if self.claims is None else [f"claims {json.dumps(self.claims, default=str)}"]
        parts += [f"headers {json.dumps(dict(self.headers))}"] if self.headers else []
        parts += [f"{name} = {value!r}" for name, value in self.settings.items()]
        return ", ".join(parts)


def anonymous(headers: Mapping[str, str] | None = None) -> Identity:
    """A request with the anonymous key."""
    return Identity("anon", {"role": "anon"}, headers or {})


def guest(header: str, guest_id: object, headers: Mapping[str, str] | None = None) -> Identity:
    """A request with the anonymous key and a guest's id in its header."""
    return anonymous({**(headers or {}), header: str(guest_id)})


def user(
    user_id: object, claims: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
) -> Identity:
    """A request with the JWT of a user, made by Supabase's Auth; `claims` are added, or replace its own."""
    own = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated"}
    return Identity("authenticated", {**own, **(claims or {})}, headers or {})


def service(headers: Mapping[str, str] | None = None) -> Identity:
    """A request with the service key."""
    return Identity("service_role", {"role": "service_role"}, headers or {})


def role(
    name: str,
    claims: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Identity:
    """A request whose JWT names some role; only the claim `role` is added."""
    return Identity(name, {"role": name, **(claims or {})}, headers or {}, settings or {})
