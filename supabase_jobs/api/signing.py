"""Signing keys of access tokens: private JWKs, as `supabase gen signing-key` prints them."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supabase_jobs.errors import ConfigError

ALGORITHMS = ("ES256", "RS256")
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


@dataclass(frozen=True)
class SigningKey:
    """A private key; `repr` omits it."""

    id: str
    algorithm: str
    jwk: dict[str, Any] = field(repr=False)

    @property
    def public(self) -> dict[str, Any]:
        """The key that checks signatures, in JWK format."""
        kept = {name: value for name, value in self.jwk.items() if name not in _PRIVATE}
        return {**kept, "key_ops": ["verify"]}

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with these claims. Raises ConfigError without PyJWT or for an unusable key."""
        jwt = _library()
        try:
            key = jwt.PyJWK(self.jwk, self.algorithm).key
            headers = {"kid": self.id} if self.id else None
            token: str = jwt.encode(claims, key, self.algorithm, headers)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            raise ConfigError(
                "the signing key cannot sign", hint="Make another: supabase gen signing-key."
            ) from None
        return token


def load_signing_keys(path: Path) -> tuple[SigningKey, ...]:
    """The keys of the file `[auth] signing_keys_path`; the first signs.

    Raises ConfigError, which contains no key, for a file that has none.
    """
    hint = "Make one: supabase gen signing-key --algorithm ES256, in a list: [{…}]."
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigError(
            f"{path} cannot be read as signing keys", hint=hint, file=str(path)
        ) from None
    if not isinstance(found, list) or not found or not all(map(_is_private, found)):
        raise ConfigError(
            f"{path} is not a list of private keys for {' or '.join(ALGORITHMS)}",
            hint=hint,
            file=str(path),
        )
    return tuple(SigningKey(str(jwk.get("kid", "")), str(jwk["alg"]), jwk) for jwk in found)


def key_set(keys: tuple[SigningKey, ...]) -> dict[str, Any]:
    """The public keys, as Auth publishes them (JWKS)."""
    return {"keys": [key.public for key in keys]}


def verification_keys(secret: str, keys: tuple[SigningKey, ...]) -> str:
    """The setting `jwt-secret` of PostgREST: the secret, and the public keys if there are any."""
    if not keys:
        return secret
    text = base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")
    shared = {"kty": "oct", "k": text, "alg": "HS256"}
    return json.dumps({"keys": [*key_set(keys)["keys"], shared]})


def _is_private(jwk: object) -> bool:
    return isinstance(jwk, dict) and jwk.get("alg") in ALGORITHMS and "d" in jwk


def _library() -> Any:
    try:
        import cryptography  # noqa: F401 (PyJWT needs it for these algorithms)
        import jwt
    except ImportError:
        raise ConfigError(
            "PyJWT with cryptography is not installed", hint="pip install 'supabase-jobs[api]'"
        ) from None
    return jwt
