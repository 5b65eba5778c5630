"""The keys of an API: HS256 tokens like those of a Supabase project, made with PyJWT (extra `api`)."""

import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from supabase_jobs.errors import ConfigError

SHORTEST_SECRET = 32  # characters; PostgREST refuses less
KEY_LIFETIME = 10 * 365 * 24 * 3600  # seconds
USER_LIFETIME = 3600  # as Supabase Auth has it by default


@dataclass(frozen=True)
class Keys:
    """The signing secret and the two keys of a project; all of them open doors, so none is in its `repr`."""

    secret: str = field(repr=False)
    anon: str = field(repr=False)
    service_role: str = field(repr=False)

    def user(self, sub: uuid.UUID | str, **claims: Any) -> str:
        """A signed-in user's access token; see `user_token`."""
        return user_token(self.secret, sub, **claims)


def new_keys(secret: str | None = None) -> Keys:
    """The two keys for a secret, a random one if unsaid. Raises ConfigError, also where PyJWT is missing."""
    signing = secrets.token_urlsafe(48) if secret is None else secret
    return Keys(signing, role_token(signing, "anon"), role_token(signing, "service_role"))


def role_token(secret: str, role: str) -> str:
    """A key that stands for a role and no person, as `anon` and `service_role` keys do; good for ten years."""
    now = int(time.time())
    return sign(secret, {"iss": "supabase-jobs", "role": role, "iat": now, "exp": now + KEY_LIFETIME})


def user_token(secret: str, sub: uuid.UUID | str, **claims: Any) -> str:
    """An access token as Supabase Auth issues it: role `authenticated`, one hour; `claims` add or replace."""
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


def sign(secret: str, claims: dict[str, Any]) -> str:
    """Sign claims as they are. Raises ConfigError for a secret that is too short, or where PyJWT is missing."""
    if len(secret) < SHORTEST_SECRET:
        raise ConfigError(
            f"the JWT secret has {len(secret)} characters, fewer than {SHORTEST_SECRET}",
            hint="take the JWT secret of the project, as its settings show it",
        )
    try:
        import jwt  # extra `api`, loaded only where a token is made
    except ImportError:
        raise ConfigError(
            "PyJWT, which makes the keys of the API, is not installed", hint="pip install 'supabase-jobs[api]'"
        ) from None
    return jwt.encode(claims, secret, algorithm="HS256")


def role_of(key: str) -> str | None:
    """The role that a key says it stands for, whoever signed it; None where it is no JWT, or PyJWT is missing."""
    try:
        import jwt
    except ImportError:
        return None
    try:
        role = jwt.decode(key, options={"verify_signature": False}).get("role")
    except jwt.PyJWTError:
        return None
    return role if isinstance(role, str) else None
