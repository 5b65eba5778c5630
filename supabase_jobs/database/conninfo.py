"""Connection parameters from a URL, the PG… variables and libpq's files; TLS by default; password masking."""

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn

from supabase_jobs.database.hosts import Address, is_local
from supabase_jobs.errors import ConfigError

APPLICATION_NAME = "supabase-jobs"
CONNECT_TIMEOUT_SECONDS = 10

_URL_HINT = (
    "The form is postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    " Write %40 for @, %3A for :, %2F for / and %25 for % inside the password."
)
# libpq reads variables, service file and password file before it rejects this option without connecting
_INVALID_OPTION = {"channel_binding": "invalid"}
# characters; a shorter password is masked only as a whole word
_LONG_PASSWORD = 8


@dataclass(frozen=True)
class Conninfo:
    """Parameters of a connection. `password` is the effective one; `password_from` names where it comes from."""

    parameters: dict[str, str] = field(repr=False)
    address: Address
    password: str = field(repr=False)
    password_from: str

    @property
    def dsn(self) -> str:
        """The connection string. It contains the password if the URL does: never print it."""
        return make_conninfo("", **self.parameters)


def read(url: str) -> Conninfo:
    """Parse a libpq URL or keyword string and add defaults.

    Connections to other machines require TLS unless the URL, PGSSLMODE or a service file sets sslmode (`prefer` in a
    service file counts as unset: it is libpq's default). application_name and connect_timeout get defaults.
    Raises ConfigError (exit 2) for a string that libpq cannot parse, and for a URL that libpq would cut inside
    the password because special characters are not percent-encoded.
    """
    _reject_unencoded_password(url)
    try:
        parameters = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
        if not re.fullmatch(r"(\d+(,\d*)*)?", parameters.get("port", "")):
            raise psycopg.ProgrammingError
        effective, password = _effective(parameters)
    except psycopg.ProgrammingError:
        # libpq's message repeats the URL with its password
        raise ConfigError("the database URL cannot be parsed", hint=_URL_HINT) from None
    hosts, addresses = effective.get("host", ""), effective.get("hostaddr", "")
    if not effective.get("application_name"):
        parameters["application_name"] = APPLICATION_NAME
    # psycopg implements this timeout itself and ignores a service file's
    parameters["connect_timeout"] = effective.get("connect_timeout") or str(CONNECT_TIMEOUT_SECONDS)
    sslmode_set = "sslmode" in parameters or "PGSSLMODE" in os.environ or effective.get("sslmode", "prefer") != "prefer"
    if not sslmode_set and not (is_local(hosts) and is_local(addresses)):
        parameters["sslmode"] = "require"
    return Conninfo(
        parameters,
        Address(
            hosts,
            effective.get("port", ""),
            effective.get("user", ""),
            effective.get("dbname", ""),
            addresses,
            parameters["connect_timeout"],
        ),
        password,
        _password_source(parameters, effective, password),
    )


def mask(text: str, password: str, address: Address) -> str:
    """Replace the password, plain or percent-encoded, with stars.

    A short password is replaced only as a whole word: stars inside other words would reveal it. A password that
    equals the name of the role, host or database is not replaced for the same reason.
    """
    public = {
        address.user,
        address.database,
        address.host,
        address.port,
        *address.host.split("."),
        *address.user.split("."),
    }
    if not password or password in public:
        return text
    for form in sorted({password, quote(password, safe=""), quote(password)}, key=len, reverse=True):
        pattern = re.escape(form) if len(form) >= _LONG_PASSWORD else rf"(?<!\w){re.escape(form)}(?!\w)"
        text = re.sub(pattern, "***", text)
    return text


def connected_address(connection: psycopg.Connection[Any]) -> Address:
    """The address of an open connection."""
    info = connection.info
    options = {o.keyword: o.val for o in connection.pgconn.info}
    timeout = (options.get(b"connect_timeout") or b"").decode()
    return Address(info.host, str(info.port), info.user, info.dbname, info.hostaddr, timeout)


def _reject_unencoded_password(url: str) -> None:
    """Raise ConfigError for a URL that libpq would cut inside the password, taking the rest for host or database."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        return
    login, at, location = rest.partition("@")
    cut = "?" not in login if "/" in login else "@" in location.partition("?")[0]
    if at and cut:
        raise ConfigError("the database URL is ambiguous: the password contains an unencoded @ or /", hint=_URL_HINT)


def _effective(parameters: dict[str, str]) -> tuple[dict[str, str], str]:
    """The options that libpq would use, defaults included, and the password; libpq resolves them without connecting."""
    probe = PGconn.connect_start(make_conninfo("", **{**parameters, **_INVALID_OPTION}).encode())
    try:
        message = probe.error_message.decode(errors="replace").strip()
        if "channel_binding" not in message:
            raise ConfigError(
                f"invalid connection options: {message}",
                hint="Check the URL, the PG… variables and the service file.",
            )
        options = {o.keyword.decode(): o.val.decode() for o in probe.info if o.val is not None}
        return options, (probe.password or b"").decode()
    finally:
        probe.finish()


def _password_source(parameters: dict[str, str], effective: dict[str, str], password: str) -> str:
    if not password:
        return ""
    if "password" in parameters:
        return "the URL"
    if "password" not in effective:
        return "the password file (PGPASSFILE, ~/.pgpass)"
    return "PGPASSWORD" if effective["password"] == os.environ.get("PGPASSWORD") else "the service file"
