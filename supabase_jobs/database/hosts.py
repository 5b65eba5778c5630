"""Supabase hosts, and diagnoses of failed connections.

A project listens at `db.<ref>.supabase.co` (usually IPv6 only; port 5432, and 6543 for its
dedicated pooler) and at the shared pooler of its region, `aws-<n>-<region>.pooler.supabase.com`
(5432 session mode, 6543 transaction mode), where the user is `<role>.<ref>`. No message from this
module contains a password.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import quote

_DIRECT = re.compile(r"db\.([a-z0-9]+)\.supabase\.(?:co|in|red)")
_SHARED = re.compile(r"[a-z]+-\d+-[a-z0-9-]+\.pooler\.supabase\.(?:com|in|red)")
_SOME_POOLER = "aws-N-REGION.pooler.supabase.com"
_SOME_REF = "PROJECT_REF"
TRANSACTION_PORT = "6543"


class Kind(StrEnum):
    """How a hosted project is reached."""

    DIRECT = "Supabase, direct"
    DEDICATED = "Supabase, dedicated pooler"
    SESSION = "Supabase, session pooler"
    TRANSACTION = "Supabase, transaction pooler"


@dataclass(frozen=True)
class Address:
    """Connection parameters as libpq resolves them, without the password. `host` may be a
    comma-separated list.
    """

    host: str
    port: str
    user: str
    database: str
    hostaddr: str = ""
    timeout: str = ""

    @property
    def is_local(self) -> bool:
        """Whether both host and hostaddr are this machine."""
        return is_local(self.host) and is_local(self.hostaddr)

    @property
    def names(self) -> frozenset[str]:
        """The names that messages show even if the password is one of them."""
        parts = (*self.host.split("."), *self.user.split("."))
        return frozenset((self.host, self.port, self.user, self.database, *parts))

    @property
    def kind(self) -> Kind | None:
        """How the hosted project is reached; None for any other server."""
        pooled = self.port == TRANSACTION_PORT
        if _DIRECT.fullmatch(self.host.lower()):
            return Kind.DEDICATED if pooled else Kind.DIRECT
        if _SHARED.fullmatch(self.host.lower()):
            return Kind.TRANSACTION if pooled else Kind.SESSION
        return None

    @property
    def ref(self) -> str | None:
        """The project ref, from the host or from the pooler user."""
        if found := _DIRECT.fullmatch(self.host.lower()):
            return found[1]
        return self.user.partition(".")[2] or None if _SHARED.fullmatch(self.host.lower()) else None

    @property
    def shared_url(self) -> str:
        """The URL of the project through the shared pooler; PASSWORD stands for the password."""
        role = (
            self.user.partition(".")[0]
            if self.kind in (Kind.SESSION, Kind.TRANSACTION)
            else self.user
        )
        host = self.host if _SHARED.fullmatch(self.host.lower()) else _SOME_POOLER
        port = self.port if host == self.host else "5432"
        login = f"{quote(role or 'postgres', safe='')}.{self.ref or _SOME_REF}"
        database = quote(self.database or "postgres", safe="")
        return f"postgresql://{login}:PASSWORD@{host}:{port}/{database}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host or self.hostaddr or 'the local socket'}:{self.port or '5432'}"


@dataclass(frozen=True)
class Diagnosis:
    """Why a connection failed, and a hint. `configuration`: the cause is an invalid option, not the
    server.
    """

    message: str
    hint: str
    configuration: bool = False


def is_local(hosts: str | None) -> bool:
    """Whether every host in a libpq list is this machine: a socket, a loopback address or
    localhost.
    """
    return all(_is_local(host) for host in (hosts or "").split(","))


def diagnose(text: str, address: Address, password_from: str = "") -> Diagnosis:
    """Diagnose libpq's error message about a failed connection.

    `password_from` names the source of the password ("the URL"), or is '' without a password. An
    unknown error is repeated, so the caller must mask `text`.
    """
    for pattern, diagnosis in _DIAGNOSES:
        if re.search(pattern, text, flags=re.IGNORECASE):
            return diagnosis(text, address, password_from)
    return Diagnosis(
        reason(text), "Check host, port, user and password, and that the server is running."
    )


def reason(text: str) -> str:
    """The cause in libpq's message, without preamble and hints; the causes of several attempts are
    joined.
    """
    causes: dict[str, None] = {}
    for line in text.splitlines():
        if (
            line
            and not line[0].isspace()
            and not line.startswith(("Multiple connection attempts", "HINT:", "DETAIL:"))
        ):
            last = line.rpartition("failed: ")[2]
            causes[re.sub(r"^(FATAL|ERROR|error): +", "", last)] = None
    return "; ".join(causes) or "no reason was given"


def _is_local(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_ENCODE = "In a URL, write %40 for @, %3A for :, %2F for / and %25 for % inside the password."
_COPY = "The project's dashboard shows the whole URL under Connect, Session pooler."


def _configuration(text: str, _address: Address, _from: str) -> Diagnosis:
    return Diagnosis(
        reason(text), "Correct that option in the URL, the service file or the PG… variable.", True
    )


def _tenant(_text: str, address: Address, _from: str) -> Diagnosis:
    return Diagnosis(
        f'the pooler knows no project for the user "{address.user}"',
        f"The user must be ROLE.{address.ref or _SOME_REF}, and the region must be the project's"
        " region:"
        f" {address.shared_url}",
    )


def _password(_text: str, address: Address, password_from: str) -> Diagnosis:
    source = f"The password came from {password_from}. " if password_from else ""
    reset = "Reset it in Supabase's dashboard under Database, Settings. " if address.kind else ""
    return Diagnosis(
        f'the server refused the password of the role "{address.user}"', source + reset + _ENCODE
    )


def _no_password(_text: str, address: Address, _from: str) -> Diagnosis:
    return Diagnosis(
        f'the server requires a password for the role "{address.user}", and none was given',
        "Put it into the URL, PGPASSWORD or ~/.pgpass. " + _ENCODE,
    )


def _session_attributes(text: str, _address: Address, _from: str) -> Diagnosis:
    return Diagnosis(
        reason(text), "target_session_attrs asks for another server: correct or remove it."
    )


def _no_tls(_text: str, address: Address, _from: str) -> Diagnosis:
    if address.is_local:
        return Diagnosis(
            "the server offers no TLS, which sslmode requires",
            "Remove sslmode from the URL, or enable TLS on the server.",
        )
    return Diagnosis(
        "the server offers no TLS, which connections to other machines require",
        "Enable TLS on the server. If you trust the whole network, add ?sslmode=disable"
        " to the URL.",
    )


def _tls_required(_text: str, _address: Address, _from: str) -> Diagnosis:
    return Diagnosis(
        "the server accepts this role only with TLS", "Add ?sslmode=require to the URL."
    )


def _certificate(text: str, address: Address, _from: str) -> Diagnosis:
    download = (
        " Download Supabase's from the dashboard: Database, Settings, SSL." if address.kind else ""
    )
    return Diagnosis(
        f"the server's certificate could not be verified: {reason(text)}",
        f"Pass the certificate authority's file with sslrootcert=FILE in the URL.{download}",
    )


def _too_many_connections(text: str, address: Address, _from: str) -> Diagnosis:
    other = (
        f" The transaction pooler (port {TRANSACTION_PORT}) accepts more."
        if address.kind is Kind.SESSION
        else ""
    )
    return Diagnosis(
        f"the server accepts no more connections: {reason(text)}",
        f"Try again when some have ended.{other}",
    )


def _starting(text: str, _address: Address, _from: str) -> Diagnosis:
    return Diagnosis(reason(text), "Try again in a moment.")


def _no_database(_text: str, address: Address, _from: str) -> Diagnosis:
    return Diagnosis(
        f'the database "{address.database}" does not exist',
        "On Supabase the database is named postgres.",
    )


def _refused(_text: str, address: Address, _from: str) -> Diagnosis:
    if address.kind:
        return Diagnosis(
            "the connection was refused",
            f"Supabase listens on ports 5432 and {TRANSACTION_PORT}. Check whether the project is"
            " paused.",
        )
    if is_local(address.host):
        return Diagnosis(
            "no server listens there",
            "Start the server. `supabase-jobs local start` starts an embedded one.",
        )
    return Diagnosis(
        "the connection was refused", "Check host and port, and that the server is running."
    )


def _timeout(_text: str, address: Address, _from: str) -> Diagnosis:
    hint = (
        "A firewall may drop the packets. connect_timeout=SECONDS in the URL, or"
        " PGCONNECT_TIMEOUT, waits longer."
    )
    if address.kind in (Kind.DIRECT, Kind.DEDICATED):
        hint = f"{_ipv6(address)} {hint}"
    elif address.kind:
        hint = f"Check whether the project is paused, and its network restrictions. {hint}"
    return Diagnosis(f"no answer within {address.timeout} s", hint)


def _unreachable(_text: str, address: Address, _from: str) -> Diagnosis:
    if address.kind in (Kind.DIRECT, Kind.DEDICATED):
        return Diagnosis("the host is unreachable from this network", _ipv6(address))
    return Diagnosis(
        "the host is unreachable from this network", "Check the host, and VPN, routes and IPv6."
    )


def _unresolved(_text: str, address: Address, _from: str) -> Diagnosis:
    if address.kind in (Kind.DIRECT, Kind.DEDICATED):
        hint = f"{_ipv6(address)} The name of a paused or deleted project does not resolve."
    elif address.kind:
        hint = f"Check the region in the name. {_COPY}"
    else:
        hint = "Check the spelling of the host, and the network."
    return Diagnosis("the host name cannot be resolved", hint)


def _ipv6(address: Address) -> str:
    return (
        "This host usually has an IPv6 address only. If your network has no IPv6, use the session"
        " pooler:"
        f" {address.shared_url} ({_COPY})"
    )


# The first match counts: errors of the server precede errors of the network.
_DIAGNOSES: tuple[tuple[str, Callable[[str, Address, str], Diagnosis]], ...] = (
    (r"tenant\b.*\bnot found|no tenant identifier|ENOIDENTIFIER", _tenant),
    (r"no password supplied", _no_password),
    (r"password authentication failed|SASL authentication failed|wrong password", _password),
    (r"does not support SSL|SSL was required", _no_tls),
    (r"no pg_hba\.conf entry.*no encryption|SSL connection is required", _tls_required),
    (r"certificate verify failed|root certificate|certificate for .* does not match", _certificate),
    (r"too many (clients|connections)|connection slots|max ?clients", _too_many_connections),
    (r"the database system is|cannot connect now", _starting),
    (r'database ".*" does not exist', _no_database),
    (r"invalid .* value|bad value for|invalid integer value|may not be used with", _configuration),
    (
        r"invalid value for parameter|unrecognized configuration parameter|invalid command-line",
        _configuration,
    ),
    (r"server is (not )?in hot standby mode|session is (not )?read-only", _session_attributes),
    (r"connection refused|no such file or directory", _refused),
    (r"timeout expired|timed out", _timeout),
    (
        r"network is unreachable|cannot assign requested address|no route to host|address family",
        _unreachable,
    ),
    (
        r"failed to resolve host|could not translate host name|name or service not known",
        _unresolved,
    ),
)
