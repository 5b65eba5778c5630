"""Connection parameters from a URL, the PG… variables and libpq's files; TLS by default."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo as PqConninfo
from psycopg.pq import PGconn

from supabase_jobs.database.hosts import Address, is_local
from supabase_jobs.errors import ConfigError

APPLICATION_NAME = "supabase-jobs"
CONNECT_TIMEOUT_SECONDS = 10

# A network that is gone is noticed within about ten seconds. Not by tcp_user_timeout: it also ends
# a connection whose server works for long and does not read the rest of a pipeline.
_NETWORK = {
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}

_URL_HINT = (
    "The form is postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    " Write %40 for @, %3A for :, %2F for / and %25 for % inside the password."
)
# libpq reads variables, service file and password file before it rejects this option without
# connecting
_INVALID_OPTION = {"channel_binding": "invalid"}
_PORT_HINT = "A port is a number from 1 to 65535."
_UNKNOWN_PARAMETER = re.compile(r'invalid URI query parameter: "([^"]+)"')
# What is wrong with an option of a connection, in the words of libpq, psycopg and the server. A
# group is the option.
_OPTION_ERRORS = re.compile(
    r"invalid \"?(\w+)\"? value: |bad value for (\w+): |invalid value for parameter \"([^\"]+)\""
    r"|unrecognized configuration parameter \"([^\"]+)\"|invalid command-line argument"
    r" for server process: (\S+)",
)
# the same for options that are valid, and that the server does not meet
_UNMET = {
    r"server is (not )?in hot standby mode|session is (not )?read-only": "target_session_attrs",
    "does not support SSL": "sslmode",
}
# settings of the server that libpq sends because of a variable
_SERVER_SETTINGS = {"TimeZone": "PGTZ", "DateStyle": "PGDATESTYLE", "geqo": "PGGEQO"}


@dataclass(frozen=True)
class Conninfo:
    """Parameters of a connection. `password` is the effective one; `password_from` names where it
    comes from.
    """

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

    Connections to other machines require TLS unless the URL, PGSSLMODE or a service file sets
    sslmode (`prefer` in a service file counts as unset: it is libpq's default). application_name
    and connect_timeout get defaults. Blanks around the URL are ignored. Raises ConfigError (exit 2)
    for a string that libpq cannot parse, for an invalid port, and for a URL that libpq would cut
    inside the password because special characters are not percent-encoded.
    """
    url = url.strip()
    _reject_unencoded_password(url)
    try:
        parameters = {
            key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None
        }
        _check_port(parameters.get("port", ""), url)
        effective, password = _effective(parameters)
    except psycopg.ProgrammingError as error:
        if (found := _UNKNOWN_PARAMETER.search(str(error))) and _is_public(found[1], url):
            raise ConfigError(
                f"the database URL has the parameter {found[1]}, which libpq does not know",
                hint=f"Remove {found[1]}=… from the URL. It may be for another client, such as"
                " Prisma.",
            ) from None
        # libpq's message repeats the URL with its password
        raise ConfigError("the database URL cannot be parsed", hint=_URL_HINT) from None
    if "port" not in parameters and (wrong := _invalid_port(effective.get("port", ""))):
        source = (
            "PGPORT"
            if os.environ.get("PGPORT") == effective["port"]
            else "the port of the service file"
        )
        raise ConfigError(f"{source} is not a port: {wrong}", hint=_PORT_HINT)
    hosts, addresses = effective.get("host", ""), effective.get("hostaddr", "")
    if not effective.get("application_name"):
        parameters["application_name"] = APPLICATION_NAME
    # psycopg implements this timeout itself and ignores a service file's
    parameters["connect_timeout"] = effective.get("connect_timeout") or str(CONNECT_TIMEOUT_SECONDS)
    for name, value in _NETWORK.items():
        parameters.setdefault(name, effective.get(name) or value)
    sslmode_set = (
        "sslmode" in parameters
        or "PGSSLMODE" in os.environ
        or effective.get("sslmode", "prefer") != "prefer"
    )
    if not sslmode_set and not (is_local(hosts) and is_local(addresses)):
        parameters["sslmode"] = "require"
    return Conninfo(
        parameters,
        Address(
            host=hosts,
            port=effective.get("port", ""),
            user=effective.get("user", ""),
            database=effective.get("dbname", ""),
            hostaddr=addresses,
            timeout=parameters["connect_timeout"],
        ),
        password,
        _password_source(parameters, effective, password),
    )


def variable_behind(message: str, parameters: Mapping[str, str]) -> str:
    """The PG… variable with the option that an error is about; '' if there is none, or the URL
    overrides it.
    """
    if found := _OPTION_ERRORS.search(message):
        option = next(group for group in found.groups() if group is not None)
    else:
        option = next((name for pattern, name in _UNMET.items() if re.search(pattern, message)), "")
    variables = {
        o.keyword.decode(): o.envvar.decode()
        for o in PqConninfo.get_defaults()
        if o.envvar is not None
    }
    keyword, variable = option, variables.get(option) or _SERVER_SETTINGS.get(option, "")
    if not os.environ.get(variable) and option and option in os.environ.get("PGOPTIONS", ""):
        keyword, variable = "options", "PGOPTIONS"
    return variable if os.environ.get(variable) and keyword not in parameters else ""


def connected_address(connection: psycopg.Connection[Any]) -> Address:
    """The address of an open connection."""
    info = connection.info
    options = {o.keyword: o.val for o in connection.pgconn.info}
    timeout = (options.get(b"connect_timeout") or b"").decode()
    return Address(
        host=info.host,
        port=str(info.port),
        user=info.user,
        database=info.dbname,
        hostaddr=info.hostaddr,
        timeout=timeout,
    )


def options_of(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The parameters of an open connection as libpq names them, with the password: never print
    them.
    """
    info = connection.info
    options = {
        o.keyword.decode(): o.val.decode() for o in connection.pgconn.info if o.val is not None
    }
    options.pop("service", None)  # its settings are already among the options
    options.pop("passfile", None)
    # a list of hosts is narrowed to the one that is connected
    options |= {"host": info.host, "hostaddr": info.hostaddr, "port": str(info.port)}
    return options | ({"password": info.password} if info.password else {})


def _check_port(ports: str, url: str) -> None:
    """Raise ConfigError for an invalid port of a URL; hide the value if it may be a password."""
    if wrong := _invalid_port(ports):
        shown = f": {wrong}" if "://" not in url or _is_public(wrong, url) else ""
        raise ConfigError(
            f"the database URL has an invalid port{shown}",
            hint=_URL_HINT if not shown else _PORT_HINT,
        )


def _invalid_port(ports: str) -> str:
    """The first invalid port of libpq's list; '' if there is none."""
    valid = (
        not port or (port.isdecimal() and 1 <= int(port) <= 65535) for port in ports.split(",")
    )
    return next(
        (port for port, is_valid in zip(ports.split(","), valid, strict=True) if not is_valid), ""
    )


def _is_public(text: str, url: str) -> bool:
    """Whether a text is in a URL behind the login only; elsewhere it may be part of a password."""
    login, _, rest = url.rpartition("@")
    return bool(login) and text in rest and text not in login


def _reject_unencoded_password(url: str) -> None:
    """Raise ConfigError for a URL that libpq would cut inside the password, taking the rest for
    host or database.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        return
    login, at, location = rest.partition("@")
    cut = "?" not in login if "/" in login else "@" in location.partition("?")[0]
    if at and cut:
        raise ConfigError(
            "the database URL is ambiguous: the password contains an unencoded @ or /",
            hint=_URL_HINT,
        )


def _effective(parameters: dict[str, str]) -> tuple[dict[str, str], str]:
    """The options that libpq would use, defaults included, and the password; libpq resolves them
    without connecting.
    """
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
    return (
        "PGPASSWORD"
        if effective["password"] == os.environ.get("PGPASSWORD")
        else "the service file"
    )
