"""What libpq makes of a URL, the PG… variables and its files; TLS by default; what must not be printed of it."""

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn

from supabase_jobs.database.hosts import Place, is_local
from supabase_jobs.errors import ConfigError

APPLICATION_NAME = "supabase-jobs"
CONNECT_TIMEOUT_SECONDS = 10

_URL_HINT = (
    "It looks like postgresql://USER:PASSWORD@HOST:PORT/DATABASE;"
    " write %40 for @, %3A for :, %2F for / and %25 for % inside the password."
)
# libpq reads everything (variables, service file, password file) before it looks at this option, and
# connects to nothing afterwards
_STOP = {"channel_binding": "stop"}
_LONG_SECRET = 8


@dataclass(frozen=True)
class Conninfo:
    """A connection as it will be made. `password` is the effective one, wherever it came from."""

    parameters: dict[str, str] = field(repr=False)
    place: Place
    password: str = field(repr=False)
    password_from: str

    @property
    def dsn(self) -> str:
        """The connection string, with the password if the URL had one: never to be printed."""
        return make_conninfo("", **self.parameters)


def read(url: str) -> Conninfo:
    """Parse a libpq URL or keyword string, and fill in what it leaves open.

    Hosts that are not local are asked for TLS where neither the URL, PGSSLMODE nor a service file says
    otherwise (`prefer` in a service file is libpq's own default and says nothing). application_name and
    connect_timeout are set where nobody set them. Raises ConfigError (exit 2) for what libpq does not
    understand, and for a URL whose password would be cut because its special characters are not encoded.
    """
    _refuse_cut_password(url)
    try:
        parameters = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
        if not re.fullmatch(r"(\d+(,\d*)*)?", parameters.get("port", "")):
            raise psycopg.ProgrammingError
        effective, password = _ask_libpq(parameters)
    except psycopg.ProgrammingError:
        # libpq's message quotes the URL, password and all
        raise ConfigError("the database URL cannot be parsed", hint=_URL_HINT) from None
    hosts, addresses = effective.get("host", ""), effective.get("hostaddr", "")
    if not effective.get("application_name"):
        parameters["application_name"] = APPLICATION_NAME
    # psycopg keeps this time itself, and does not see a service file's
    parameters["connect_timeout"] = effective.get("connect_timeout") or str(CONNECT_TIMEOUT_SECONDS)
    said = "sslmode" in parameters or "PGSSLMODE" in os.environ or effective.get("sslmode", "prefer") != "prefer"
    if not said and not (is_local(hosts) and is_local(addresses)):
        parameters["sslmode"] = "require"
    return Conninfo(
        parameters,
        Place(
            hosts,
            effective.get("port", ""),
            effective.get("user", ""),
            effective.get("dbname", ""),
            addresses,
            parameters["connect_timeout"],
        ),
        password,
        _source(parameters, effective, password),
    )


def mask(text: str, password: str, place: Place) -> str:
    """The text without the password, also not in its percent-encoded form.

    A short one is replaced only where it stands as a word of its own, and one that is the role's, host's or
    database's name not at all: stars in the middle of other words would tell more than they hide.
    """
    public = {place.user, place.database, place.host, place.port, *place.host.split("."), *place.user.split(".")}
    if not password or password in public:
        return text
    for form in sorted({password, quote(password, safe=""), quote(password)}, key=len, reverse=True):
        pattern = re.escape(form) if len(form) >= _LONG_SECRET else rf"(?<!\w){re.escape(form)}(?!\w)"
        text = re.sub(pattern, "***", text)
    return text


def connected_place(connection: psycopg.Connection[Any]) -> Place:
    """Where an open connection leads to."""
    info = connection.info
    options = {o.keyword: o.val for o in connection.pgconn.info}
    timeout = (options.get(b"connect_timeout") or b"").decode()
    return Place(info.host, str(info.port), info.user, info.dbname, info.hostaddr, timeout)


def _refuse_cut_password(url: str) -> None:
    """Refuse a URL that libpq would cut in the password: the rest of it would be taken for a host or a database."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        return
    login, at, place = rest.partition("@")
    cut = "?" not in login if "/" in login else "@" in place.partition("?")[0]
    if at and cut:
        raise ConfigError("the database URL is ambiguous: a password holds @ or / as it is", hint=_URL_HINT)


def _ask_libpq(parameters: dict[str, str]) -> tuple[dict[str, str], str]:
    """Every option that libpq would connect with, and the password; asked of libpq itself, without connecting."""
    probe = PGconn.connect_start(make_conninfo("", **{**parameters, **_STOP}).encode())
    try:
        message = probe.error_message.decode(errors="replace").strip()
        if "channel_binding" not in message:
            raise ConfigError(
                f"the connection's options cannot be used: {message}",
                hint="They come from the URL, the PG… variables and the service file.",
            )
        options = {o.keyword.decode(): o.val.decode() for o in probe.info if o.val is not None}
        return options, (probe.password or b"").decode()
    finally:
        probe.finish()


def _source(parameters: dict[str, str], effective: dict[str, str], password: str) -> str:
    if not password:
        return ""
    if "password" in parameters:
        return "the URL"
    if "password" not in effective:
        return "the password file (PGPASSFILE, ~/.pgpass)"
    return "PGPASSWORD" if effective["password"] == os.environ.get("PGPASSWORD") else "the service file"
