"""Hosts, those of Supabase among them, and what it means when one of them cannot be reached. Connects to nothing.

A project answers at `db.<ref>.supabase.co` (as a rule over IPv6 only; 5432, and 6543 for its own pooler) and at
the shared pooler of its region, `aws-<n>-<region>.pooler.supabase.com` (5432 session mode, 6543 transaction
mode), where the user is `<role>.<ref>`. No message made here holds a password.
"""

import re
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
    """The ways to a hosted project."""

    DIRECT = "Supabase, direct"
    DEDICATED = "Supabase, dedicated pooler"
    SESSION = "Supabase, session pooler"
    TRANSACTION = "Supabase, transaction pooler"


@dataclass(frozen=True)
class Place:
    """Where a connection goes, as libpq understands it: no password. `host` may be a list with commas."""

    host: str
    port: str
    user: str
    database: str
    hostaddr: str = ""
    timeout: str = ""

    @property
    def kind(self) -> Kind | None:
        """Which way to a hosted project this is, None for any other server."""
        pooled = self.port == TRANSACTION_PORT
        if _DIRECT.fullmatch(self.host.lower()):
            return Kind.DEDICATED if pooled else Kind.DIRECT
        if _SHARED.fullmatch(self.host.lower()):
            return Kind.TRANSACTION if pooled else Kind.SESSION
        return None

    @property
    def ref(self) -> str | None:
        """The project's reference, from the host or else from the pooler's user."""
        if found := _DIRECT.fullmatch(self.host.lower()):
            return found[1]
        return self.user.partition(".")[2] or None if _SHARED.fullmatch(self.host.lower()) else None

    @property
    def shared_url(self) -> str:
        """The URL of the same project through the shared pooler, with PASSWORD where the password goes."""
        role = self.user.partition(".")[0] if self.kind in (Kind.SESSION, Kind.TRANSACTION) else self.user
        host = self.host if _SHARED.fullmatch(self.host.lower()) else _SOME_POOLER
        port = self.port if host == self.host else "5432"
        login = f"{quote(role or 'postgres', safe='')}.{self.ref or _SOME_REF}"
        return f"postgresql://{login}:PASSWORD@{host}:{port}/{quote(self.database or 'postgres', safe='')}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host or self.hostaddr or 'the local socket'}:{self.port or '5432'}"


@dataclass(frozen=True)
class Diagnosis:
    """Why connecting failed, and what to do; `configuration` where it is the options that are wrong."""

    message: str
    hint: str
    configuration: bool = False


def is_local(hosts: str | None) -> bool:
    """Whether every host of a libpq list is this machine: a socket, a loopback address, or localhost."""
    return all(_is_local(host) for host in (hosts or "").split(","))


def diagnose(text: str, place: Place, password_from: str = "") -> Diagnosis:
    """What is behind libpq's words about a connection that failed.

    `password_from` says where the password came from ("the URL"), `''` where there was none. Symptoms that are
    known are told in our words; of others the reason is repeated, so `text` must be masked by the caller.
    """
    for symptom, words in _SYMPTOMS:
        if re.search(words, text, flags=re.IGNORECASE):
            return _EXPLAINED[symptom](text, place, password_from)
    return Diagnosis(reason(text), "Check host, port, user and password, and that the server is running.")


def reason(text: str) -> str:
    """What libpq says in the end, without its preamble and its own hints; several attempts are joined."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith(("Multiple connection attempts", "HINT:", "DETAIL:")):
            last = line.rpartition("failed: ")[2]
            found[re.sub(r"^(FATAL|ERROR|error): +", "", last)] = None
    return "; ".join(found) or "no reason was given"


def _is_local(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _Symptom(StrEnum):
    CONFIGURATION = "configuration"
    TENANT = "tenant"
    PASSWORD = "password"  # noqa: S105  a name
    NO_PASSWORD = "no password"  # noqa: S105
    NO_TLS = "no TLS"
    TLS_WANTED = "TLS wanted"
    CERTIFICATE = "certificate"
    FULL = "full"
    STARTING = "starting"
    NO_DATABASE = "no database"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"


# the first that matches holds; what the server itself said comes before what the network said
_SYMPTOMS = (
    (_Symptom.TENANT, r"tenant\b.*\bnot found|no tenant identifier|ENOIDENTIFIER"),
    (_Symptom.NO_PASSWORD, r"no password supplied"),
    (_Symptom.PASSWORD, r"password authentication failed|SASL authentication failed|wrong password"),
    (_Symptom.NO_TLS, r"does not support SSL|SSL was required"),
    (_Symptom.TLS_WANTED, r"no pg_hba\.conf entry.*no encryption|SSL connection is required"),
    (_Symptom.CERTIFICATE, r"certificate verify failed|root certificate|certificate for .* does not match"),
    (_Symptom.FULL, r"too many (clients|connections)|connection slots|max ?clients"),
    (_Symptom.STARTING, r"the database system is|cannot connect now"),
    (_Symptom.NO_DATABASE, r'database ".*" does not exist'),
    (_Symptom.CONFIGURATION, r"invalid .* value|bad value for|invalid integer value|may not be used with"),
    (_Symptom.REFUSED, r"connection refused|no such file or directory"),
    (_Symptom.TIMEOUT, r"timeout expired|timed out"),
    (_Symptom.UNREACHABLE, r"network is unreachable|cannot assign requested address|no route to host|address family"),
    (_Symptom.UNRESOLVED, r"failed to resolve host|could not translate host name|name or service not known"),
)

_ENCODE = "In a URL, write %40 for @, %3A for :, %2F for / and %25 for % inside the password."
_COPY = "N and REGION, or the whole URL, stand in the project's dashboard under Connect, Session pooler."


def _configuration(text: str, _place: Place, _from: str) -> Diagnosis:
    return Diagnosis(reason(text), "Correct that option in the URL, the service file or the PG… variable.", True)


def _tenant(_text: str, place: Place, _from: str) -> Diagnosis:
    return Diagnosis(
        f'the pooler knows no project for the user "{place.user}"',
        f"There the user is ROLE.{place.ref or _SOME_REF}, and the region has to be the project's own:"
        f" {place.shared_url}",
    )


def _password(_text: str, place: Place, password_from: str) -> Diagnosis:
    source = f"It was taken from {password_from}. " if password_from else ""
    where = "Supabase's dashboard sets a new one under Database, Settings. " if place.kind else ""
    return Diagnosis(f'the server refused the password of the role "{place.user}"', source + where + _ENCODE)


def _no_password(_text: str, place: Place, _from: str) -> Diagnosis:
    return Diagnosis(
        f'the server wants a password for the role "{place.user}", and none was given',
        "Put it into the URL, PGPASSWORD, or ~/.pgpass. " + _ENCODE,
    )


def _no_tls(_text: str, _place: Place, _from: str) -> Diagnosis:
    return Diagnosis(
        "the server offers no TLS, and without it nothing is sent to a host that is not local",
        "Switch TLS on there. Only where you trust the whole network in between: add ?sslmode=disable to the URL.",
    )


def _tls_wanted(_text: str, _place: Place, _from: str) -> Diagnosis:
    return Diagnosis("the server accepts this role only with TLS", "Add ?sslmode=require to the URL.")


def _certificate(text: str, place: Place, _from: str) -> Diagnosis:
    where = " Supabase's is in the dashboard under Database, Settings, SSL." if place.kind else ""
    return Diagnosis(
        f"the server's certificate could not be checked: {reason(text)}",
        f"Name the authority's certificate with sslrootcert=FILE in the URL.{where}",
    )


def _full(text: str, place: Place, _from: str) -> Diagnosis:
    other = (
        f" The transaction pooler (port {TRANSACTION_PORT}) has room for more." if place.kind is Kind.SESSION else ""
    )
    return Diagnosis(f"the server takes no more connections: {reason(text)}", f"Try again when some have ended.{other}")


def _starting(text: str, _place: Place, _from: str) -> Diagnosis:
    return Diagnosis(reason(text), "Try again in a moment.")


def _no_database(_text: str, place: Place, _from: str) -> Diagnosis:
    return Diagnosis(f'there is no database "{place.database}"', "On Supabase the database is called postgres.")


def _refused(_text: str, place: Place, _from: str) -> Diagnosis:
    if place.kind:
        return Diagnosis(
            "the connection was refused", f"Supabase listens on 5432 and {TRANSACTION_PORT}; is the project paused?"
        )
    if is_local(place.host):
        return Diagnosis("nobody listens there", "Is the server running? `supabase-jobs local start` starts one.")
    return Diagnosis("the connection was refused", "Check host and port, and that the server is running.")


def _timeout(_text: str, place: Place, _from: str) -> Diagnosis:
    hint = "A firewall may be in between. connect_timeout=SECONDS in the URL, or PGCONNECT_TIMEOUT, allows more."
    if place.kind in (Kind.DIRECT, Kind.DEDICATED):
        hint = f"{_ipv6(place)} {hint}"
    elif place.kind:
        hint = f"Is the project paused, or are its network restrictions in the way? {hint}"
    return Diagnosis(f"no answer within {place.timeout} s", hint)


def _unreachable(_text: str, place: Place, _from: str) -> Diagnosis:
    if place.kind in (Kind.DIRECT, Kind.DEDICATED):
        return Diagnosis("the network does not reach it", _ipv6(place))
    return Diagnosis("the network does not reach it", "Check the host, and the way there: VPN, routes, IPv6.")


def _unresolved(_text: str, place: Place, _from: str) -> Diagnosis:
    if place.kind in (Kind.DIRECT, Kind.DEDICATED):
        return Diagnosis("the name cannot be resolved", f"{_ipv6(place)} A paused or deleted project has no name.")
    if place.kind:
        return Diagnosis("the name cannot be resolved", f"Check the region in it. {_COPY}")
    return Diagnosis("the name cannot be resolved", "Check how the host is spelled, and the network.")


def _ipv6(place: Place) -> str:
    return (
        "This host has an IPv6 address only, as a rule. Where the network lacks IPv6, use the session pooler:"
        f" {place.shared_url} ({_COPY})"
    )


_EXPLAINED = {
    _Symptom.CONFIGURATION: _configuration,
    _Symptom.TENANT: _tenant,
    _Symptom.PASSWORD: _password,
    _Symptom.NO_PASSWORD: _no_password,
    _Symptom.NO_TLS: _no_tls,
    _Symptom.TLS_WANTED: _tls_wanted,
    _Symptom.CERTIFICATE: _certificate,
    _Symptom.FULL: _full,
    _Symptom.STARTING: _starting,
    _Symptom.NO_DATABASE: _no_database,
    _Symptom.REFUSED: _refused,
    _Symptom.TIMEOUT: _timeout,
    _Symptom.UNREACHABLE: _unreachable,
    _Symptom.UNRESOLVED: _unresolved,
}
