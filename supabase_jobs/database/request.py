"""The settings in which PostgREST passes a request to the database."""

import json
from collections.abc import Mapping

CLAIMS = "request.jwt.claims"
HEADERS = "request.headers"
# The settings of newer and of older PostgREST versions. Resetting all of them leaves nothing of a
# request.
REQUEST_SETTINGS = (
    CLAIMS,
    "request.jwt.claim.sub",
    "request.jwt.claim.role",
    "request.jwt.claim.email",
    HEADERS,
    "request.cookies",
    "request.method",
    "request.path",
)


def request_settings(
    claims: Mapping[str, object] | None, headers: Mapping[str, str] | None
) -> dict[str, str]:
    """The settings for a JWT's claims and a request's headers; None makes no setting.

    PostgREST converts header names to lower case.
    """
    settings = {}
    if claims is not None:
        settings[CLAIMS] = json.dumps(dict(claims), default=str)
    if headers is not None:
        settings[HEADERS] = json.dumps({name.lower(): value for name, value in headers.items()})
    return settings
