"""Tokens in an answer."""

import base64
import json
import re
import uuid

ROLES_OF_SERVICE = ("service_role", "supabase_admin", "postgres")

_SEGMENT = r"[\w+/-]+=*"
_TOKEN = re.compile(rf"{_SEGMENT}\.({_SEGMENT})\.{_SEGMENT}")
_CLAIMS = re.compile(r"\{[^{}]*\}")
# at least 20 bytes as base64 or hexadecimal digits
_SIGNATURE = re.compile(r"(?<![\w-])[\w+/]{27,}=*(?![\w-])")


def has_token(answer: str, other: uuid.UUID) -> bool:
    """Whether an answer contains a JSON Web Token of the other user or of the service."""
    # PostgreSQL breaks the lines of base64
    joined = re.sub(r"\s|\\n", "", answer)
    if any(_is_payload(payload, other) for payload in _TOKEN.findall(joined)):
        return True
    # another format: the claims as they are, beside a signature
    return any(
        _is_claim(claims, other) and _SIGNATURE.search(joined.replace(claims, ""))
        for claims in _CLAIMS.findall(joined)
    )


def _is_payload(segment: str, other: uuid.UUID) -> bool:
    try:
        text = base64.b64decode(segment.rstrip("=") + "===", altchars=b"-_")
    except ValueError:
        return False
    return _is_claim(text, other)


def _is_claim(text: str | bytes, other: uuid.UUID) -> bool:
    """Whether a text is a JSON object that says who the other user or the service is."""
    try:
        claims = json.loads(text)
    except ValueError:
        return False
    return isinstance(claims, dict) and (
        claims.get("sub") == str(other) or claims.get("role") in ROLES_OF_SERVICE
    )
