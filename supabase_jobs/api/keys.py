"""Keys and access tokens of an API: HS256 JWTs as in a Supabase project, signed with PyJWT (extra
`api`).
"""

import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from supabase_jobs.errors import ConfigError

SHORTEST_SECRET = 32  # characters; PostgREST rejects shorter ones
KEY_LIFETIME = 10 * 365 * 24 * 3600  # seconds
USER_LIFETIME = 3600  # seconds; the default of Supabase Auth


@dataclass(frozen=True)
class Keys:
    """The signing secret and the two keys of a project; `repr` omits them because each grants
    access.
    """

    secret: str = field(repr=False)
    anon: str = field(repr=False)
    service_role: str = field(repr=False)

    def user_token(self, sub: uuid.UUID | str, **claims: Any) -> str:
        """The access token of a signed-in user; see the function `user_token`."""
        return user_token(self.secret, sub, **claims)


def new_keys(secret: str | None = None) -> Keys:
    """Keys signed with a secret, by default a random one. Raises what `sign` raises."""
    signing = secrets.token_urlsafe(48) if secret is None else secret
    return Keys(signing, role_token(signing, "anon"), role_token(signing, "service_role"))


def role_token(secret: str, role: str) -> str:
    """A key for a role without a user, like the `anon` and `service_role` keys; valid for ten
    years.
    """
    now = int(time.time())
    return sign(
        secret, {"iss": "supabase-jobs", "role": role, "iat": now, "exp": now + KEY_LIFETIME}
    )


def user_token(secret: str, sub: uuid.UUID | str, **claims: Any) -> str:
    """An access token as Supabase Auth issues it, for an hour; `claims` override its claims."""
    now = int(time.time())
    standard = {
        "iss": "supabase-jobs",
        "sub": str(sub),
        "aud": "authenticated",
        "role": "authenticated",
        "aal": "aal1",
        "session_id": str(uuid.uuid4()),
        "is_anonymous": False,
        "email": "",
        "phone": "",
        "app_metadata": {},
        "user_metadata": {},
        "iat": now,
        "exp": now + USER_LIFETIME,
    }
    return sign(secret, {**standard, **claims})


def claims_token(secret: str, role: str, claims: Mapping[str, Any]) -> str:
    """A token with these claims for a role, valid for an hour. Raises what `sign` raises."""
    return sign(
        secret, {"aud": role, **claims, "role": role, "exp": int(time.time()) + USER_LIFETIME}
    )


def sign(secret: str, claims: dict[str, Any]) -> str:
    """Sign claims unchanged. Raises ConfigError if the secret is too short or PyJWT is missing."""
    if len(secret) < SHORTEST_SECRET:
        raise ConfigError(
            f"the JWT secret has {len(secret)} characters, fewer than {SHORTEST_SECRET}",
            hint="use the JWT secret of the project, from its settings",
        )
    try:
        import jwt  # extra `api`, loaded only to sign
    except ImportError:
        raise ConfigError(
            "PyJWT, which signs the keys of the API, is not installed",
            hint="pip install 'supabase-jobs[api]'",
        ) from None
    return jwt.encode(claims, secret, algorithm="HS256")


def claimed_role(key: str) -> str | None:
    """The role claim of a key, without checking its signature; None if it is not a JWT or PyJWT is
    missing.
    """
    try:
        import jwt
    except ImportError:
        return None
    try:
        role = jwt.decode(key, options={"verify_signature": False}).get("role")
    except jwt.PyJWTError:
        return None
    return role if isinstance(role, str) else None
