"""Keys and access tokens of an API as in a Supabase project, signed with PyJWT (extra `api`)."""

import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from supabase_jobs.api.signing import SigningKey
from supabase_jobs.errors import ConfigError

# the beginnings of opaque keys
PUBLISHABLE, SECRET = "sb_publishable_", "sb_secret_"
SHORTEST_SECRET = 32  # characters; PostgREST rejects shorter ones
KEY_LIFETIME = 10 * 365 * 24 * 3600  # seconds
USER_LIFETIME = 3600  # seconds; the default of Supabase Auth


@dataclass(frozen=True)
class Keys:
    """The secret and the keys of a project; `repr` omits them because each grants access.

    `anon` and `service_role` are JWTs or, of another API, opaque keys; `publishable` and
    `secret_key` are the opaque keys of a local API. The first of the keys `signing` signs access
    tokens; without one, the secret does.
    """

    secret: str = field(repr=False)
    anon: str = field(repr=False)
    service_role: str = field(repr=False)
    publishable: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    signing: tuple[SigningKey, ...] = field(default=(), repr=False)

    @property
    def can_sign(self) -> bool:
        """Whether access tokens of users can be made."""
        return bool(self.signing or self.secret)

    def sign(self, claims: dict[str, Any]) -> str:
        """Sign claims unchanged. Raises what the function `sign` raises."""
        return self.signing[0].sign(claims) if self.signing else sign(self.secret, claims)

    def user_token(self, sub: uuid.UUID | str, **claims: Any) -> str:
        """The access token of a signed-in user; see the function `user_claims`."""
        return self.sign(user_claims(sub, **claims))

    def claims_token(self, role: str, claims: Mapping[str, Any]) -> str:
        """A token with these claims for a role, valid for an hour."""
        expiry = int(time.time()) + USER_LIFETIME
        return self.sign({"aud": role, **claims, "role": role, "exp": expiry})

    @property
    def tokens(self) -> dict[str, str]:
        """The token that the gateway sends for each opaque key."""
        pairs = ((self.publishable, self.anon), (self.secret_key, self.service_role))
        return {key: token for key, token in pairs if key}


def new_keys(secret: str | None = None) -> Keys:
    """Keys signed with a secret, by default a random one. Raises what `sign` raises."""
    signing = secrets.token_urlsafe(48) if secret is None else secret
    anon, service_role = role_token(signing, "anon"), role_token(signing, "service_role")
    return with_opaque_keys(Keys(secret=signing, anon=anon, service_role=service_role))


def with_opaque_keys(keys: Keys) -> Keys:
    """The keys with opaque ones, if they have none."""
    return replace(
        keys,
        publishable=keys.publishable or f"{PUBLISHABLE}{secrets.token_urlsafe(24)}",
        secret_key=keys.secret_key or f"{SECRET}{secrets.token_urlsafe(24)}",
    )


def is_opaque(key: str) -> bool:
    """Whether a key is no token, so that it belongs into the header `apikey` only."""
    return key.startswith((PUBLISHABLE, SECRET))


def role_token(secret: str, role: str) -> str:
    """A key for a role without a user, like the `anon` and `service_role` keys; valid for ten
    years.
    """
    now = int(time.time())
    return sign(
        secret, {"iss": "supabase-jobs", "role": role, "iat": now, "exp": now + KEY_LIFETIME}
    )


def user_claims(sub: uuid.UUID | str, **claims: Any) -> dict[str, Any]:
    """The claims of an access token as Supabase Auth issues it, for an hour; `claims` override
    them.
    """
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
    return {**standard, **claims}


def sign(secret: str, claims: dict[str, Any]) -> str:
    """Sign claims unchanged with HS256. Raises ConfigError if the secret is too short or PyJWT is
    missing.
    """
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
