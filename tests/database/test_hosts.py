"""Hosts, diagnoses and connection strings; no message contains a password."""

import pytest

from supabase_jobs.database.conninfo import read, variable_behind
from supabase_jobs.database.hosts import Address, Kind, diagnose, is_local, reason
from supabase_jobs.database.masking import mask
from supabase_jobs.errors import ConfigError

REF = "abcdefghijklmnopqrst"
DIRECT = f"db.{REF}.supabase.co"
POOLER = "aws-0-eu-central-1.pooler.supabase.com"


def address(
    host: str, port: str = "5432", user: str = "postgres", database: str = "postgres"
) -> Address:
    return Address(host, port, user, database, timeout="10")


@pytest.mark.parametrize(
    ("host", "port", "kind"),
    [
        (DIRECT, "5432", Kind.DIRECT),
        (DIRECT.upper(), "5432", Kind.DIRECT),
        (DIRECT, "6543", Kind.DEDICATED),
        (POOLER, "5432", Kind.SESSION),
        (POOLER, "6543", Kind.TRANSACTION),
        ("aws-1-us-east-2.pooler.supabase.com", "6543", Kind.TRANSACTION),
        (f"{REF}.supabase.co", "5432", None),
        (f"db.{REF}.supabase.co.example.com", "5432", None),
        (f"evil-{DIRECT}", "5432", None),
        ("localhost", "6543", None),
        ("", "", None),
    ],
)
def test_kinds_of_supabase_hosts(host: str, port: str, kind: Kind | None) -> None:
    assert address(host, port).kind is kind


def test_the_project_ref_comes_from_host_or_user() -> None:
    assert address(DIRECT).ref == REF
    assert address(POOLER, user=f"postgres.{REF}").ref == REF
    assert address(POOLER).ref is None
    assert address("localhost", user=f"postgres.{REF}").ref is None


UNRESOLVED = f"failed to resolve host '{DIRECT}': [Errno -2] Name or service not known"
UNREACHABLE = (
    'connection failed: connection to server at "2a05:d014::1", port 5432 failed: Network is unreachable\n'
    "\tIs the server running on that host and accepting TCP/IP connections?"
)
TENANT = (
    'connection failed: connection to server at "18.1.2.3", port 5432 failed: SSL connection has been closed'
    ' unexpectedly\nconnection to server at "18.1.2.3", port 5432 failed: FATAL:  Tenant or user not found'
)


@pytest.mark.parametrize("text", [UNRESOLVED, UNREACHABLE, "connection timeout expired"])
@pytest.mark.parametrize("port", ["5432", "6543"])
def test_an_unreachable_direct_host_leads_to_a_hint_with_the_session_pooler(
    text: str, port: str
) -> None:
    hint = diagnose(text, address(DIRECT, port, database="other")).hint
    assert (
        f"postgresql://postgres.{REF}:PASSWORD@aws-N-REGION.pooler.supabase.com:5432/other" in hint
    )
    assert "IPv6" in hint


def test_each_network_error_has_its_own_message_and_hint() -> None:
    texts = (UNRESOLVED, UNREACHABLE, "connection timeout expired", "Connection refused")
    found = [diagnose(text, address(DIRECT)) for text in texts]
    assert len({f.message for f in found}) == len({f.hint for f in found}) == 4
    assert found[2].message == "no answer within 10 s"


@pytest.mark.parametrize(
    "text",
    [
        TENANT,
        "FATAL:  (ENOTFOUND) tenant/user postgres.x not found",
        "FATAL: no tenant identifier provided",
    ],
)
def test_an_unknown_tenant_leads_to_a_hint_with_the_project_in_the_user(text: str) -> None:
    found = diagnose(text, address(POOLER, "6543"))
    assert "the pooler knows no project" in found.message
    assert f"postgresql://postgres.PROJECT_REF:PASSWORD@{POOLER}:6543/postgres" in found.hint
    known = diagnose(text, address(POOLER, user=f"deploy.{REF}")).hint
    assert f"postgresql://deploy.{REF}:PASSWORD@{POOLER}:5432/postgres" in known


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            'FATAL:  password authentication failed for user "x"',
            "refused the password",
            "came from PGPASSWORD",
        ),
        ("FATAL:  SASL authentication failed", "refused the password", "%40 for @"),
        ("fe_sendauth: no password supplied", "none was given", "PGPASSWORD"),
        ("server does not support SSL, but SSL was required", "offers no TLS", "sslmode=disable"),
        (
            'FATAL:  no pg_hba.conf entry for host "1", user "x", no encryption',
            "only with TLS",
            "sslmode=require",
        ),
        ("SSL error: certificate verify failed", "certificate", "sslrootcert=FILE"),
        ("FATAL:  sorry, too many clients already", "no more connections", "Try again"),
        (
            "FATAL:  MaxClientsInSessionMode: max clients reached",
            "no more connections",
            "Try again",
        ),
        ("FATAL:  the database system is starting up", "starting up", "in a moment"),
        (
            'FATAL:  database "postgres" does not exist',
            'the database "postgres" does not exist',
            "named postgres",
        ),
        ("FATAL:  something new", "something new", "Check host"),
    ],
)
def test_diagnoses_of_server_messages(text: str, message: str, hint: str) -> None:
    preamble = 'connection failed: connection to server at "1.2.3.4", port 5432 failed: '
    found = diagnose(preamble + text, address("db.example.com"), "PGPASSWORD")
    assert message in found.message
    assert hint in found.hint
    assert "FATAL" not in found.message
    assert not found.configuration


@pytest.mark.parametrize(
    "text",
    [
        'invalid sslmode value: "x"',
        "bad value for connect_timeout: 'x'",
        'invalid value for parameter "TimeZone": "x"',
        'unrecognized configuration parameter "foo"',
        "invalid command-line argument for server process: -X",
    ],
)
def test_an_invalid_option_is_a_configuration_error(text: str) -> None:
    assert diagnose(text, address("db.example.com")).configuration


def test_a_local_server_without_tls_is_not_another_machine() -> None:
    found = diagnose("server does not support SSL, but SSL was required", address("127.0.0.1"))
    assert found.message == "the server offers no TLS, which sslmode requires"
    assert found.hint == "Remove sslmode from the URL, or enable TLS on the server."


def test_reasons_of_several_attempts_are_joined() -> None:
    first = 'connection failed: connection to server at "::1", port 1 failed: A'
    text = (
        f"{first}\n"
        "Multiple connection attempts failed. All failures were:\n"
        f"- host: 'x', port: '1', hostaddr: '::1': {first}\n"
        "- host: 'x', port: '1', hostaddr: '1.1.1.1': connection failed: FATAL:  B\n\tIs it"
        " running?"
    )
    assert reason(text) == "A; B"


@pytest.mark.parametrize(
    "hosts",
    [
        "",
        "localhost",
        "127.0.0.1",
        "::1",
        "/var/run",
        "@abstract",
        "127.0.0.1,localhost",
        ",",
        "127.9.9.9",
    ],
)
def test_local_hosts(hosts: str) -> None:
    assert is_local(hosts)


@pytest.mark.parametrize(
    "hosts", ["db.example.com", "10.0.0.1", "127.0.0.1,10.0.0.1", "localhost.example.com", "::2"]
)
def test_remote_hosts(hosts: str) -> None:
    assert not is_local(hosts)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres:p@ss@db.example.com/postgres",
        "postgresql://postgres:p?p@ss@db.example.com/postgres",
        "postgresql://postgres:p@ss/w@db.example.com/postgres",
        "postgresql://postgres:12/ss@db.example.com:5432/postgres",
        "postgres://postgres:/@db.example.com/postgres",
    ],
)
def test_a_password_with_unencoded_characters_is_rejected(url: str) -> None:
    with pytest.raises(ConfigError, match="ambiguous") as caught:
        read(url)
    assert "ss" not in caught.value.message.replace("password", "").replace("ambiguous", "")
    assert "%40 for @" in str(caught.value.hint)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@host:port/x",
        "host=x password='s3cret",
        "postgresql://u:s3cret@h/x?s3cret=1",
    ],
)
def test_a_url_that_libpq_cannot_parse_is_not_printed(url: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be parsed|invalid port") as caught:
        read(url)
    assert "s3cret" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize("name", ["pgbouncer", "foo"])
def test_an_unknown_parameter_is_named(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"postgresql://u:s3cret@h/x?{name}=true&sslmode=require")
    assert (
        caught.value.message
        == f"the database URL has the parameter {name}, which libpq does not know"
    )
    assert (
        caught.value.hint
        == f"Remove {name}=… from the URL. It may be for another client, such as Prisma."
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@h/x?s3cret=1",
        "postgresql://u:12/x?s3=cret@h/x",
        "postgresql://u:s3cret",
        "postgresql://u:s3cret/x",
    ],
)
def test_what_may_be_a_password_is_not_named(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(url)
    assert "s3" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize("port", ["99999", "abc", "0", "5432,65536"])
def test_an_invalid_port_is_named(port: str) -> None:
    hosts = ",".join(f"h:{one}" for one in port.split(","))
    for url in (
        f"postgresql://u:s3cret@{hosts}/x",
        f"host=h,h port={port}" if "," in port else f"host=h port={port}",
    ):
        with pytest.raises(ConfigError) as caught:
            read(url)
        assert (
            caught.value.message
            == f"the database URL has an invalid port: {port.rpartition(',')[2]}"
        )
        assert caught.value.hint == "A port is a number from 1 to 65535."


def test_an_invalid_port_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "99999")
    with pytest.raises(ConfigError, match="PGPORT is not a port: 99999"):
        read("postgresql://u@h/x")
    assert read("postgresql://u@h:5432/x").address.port == "5432"


def test_blanks_around_a_url_are_ignored() -> None:
    assert read(" \tpostgresql://u@h/x\n").address == read("postgresql://u@h/x").address


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PGTZ", 'invalid value for parameter "TimeZone": "nowhere"'),
        ("PGDATESTYLE", 'invalid value for parameter "DateStyle": "x"'),
        ("PGOPTIONS", 'unrecognized configuration parameter "work_mem"'),
        ("PGOPTIONS", "invalid command-line argument for server process: -X"),
        ("PGTARGETSESSIONATTRS", 'connection is bad: invalid target_session_attrs value: "none"'),
        ("PGTARGETSESSIONATTRS", "server is not in hot standby mode"),
        ("PGCONNECT_TIMEOUT", "bad value for connect_timeout: 'soon'"),
        (
            "PGSSLMINPROTOCOLVERSION",
            'connection is bad: invalid "ssl_min_protocol_version" value: "foo"',
        ),
        ("PGSSLMODE", "server does not support SSL, but SSL was required"),
    ],
)
def test_a_variable_that_the_server_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    assert variable_behind(text, {}) == ""
    monkeypatch.setenv(variable, "-c work_mem=x -X")
    assert variable_behind(text, {}) == variable
    keys = {"options": "x", "target_session_attrs": "x", "connect_timeout": "1", "sslmode": "x"}
    if variable not in ("PGTZ", "PGDATESTYLE", "PGSSLMINPROTOCOLVERSION"):
        assert variable_behind(text, keys) == ""  # the URL overrides the variable


def test_pgsslmode_overrides_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "prefer")
    assert "sslmode" not in read("postgresql://db.example.com/x").parameters


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://u:a%40b%2Fc@db.example.com/x", "a@b/c"),
        ("postgresql://u:a?b@db.example.com/x?options=a@b", "a?b"),
        ("host=db.example.com password='a@b/c'", "a@b/c"),
        ("postgresql://db.example.com/x?password=p%26q&application_name=a@b", "p&q"),
        ("postgresql:///x?host=/tmp/a@b", ""),
    ],
)
def test_other_passwords_are_parsed_completely(url: str, password: str) -> None:
    assert read(url).password == password


def test_repr_contains_no_password() -> None:
    assert "s3cret" not in repr(read("postgresql://u:s3cret@db.example.com/x"))


ADDRESS = address("db.example.com", user="postgres")


@pytest.mark.parametrize(
    ("text", "password", "masked"),
    [
        ("I do not like s3cr3t-p4ss", "s3cr3t-p4ss", "I do not like ***"),
        ("I do not like s3cr3t-p4ssword", "s3cr3t-p4ss", "I do not like ***word"),
        ("I do not like p%40ss%2Fword", "p@ss/word", "I do not like ***"),
        ("pw: the pwd", "pw", "***: the pwd"),
        ('role "postgres" is wrong', "postgres", 'role "postgres" is wrong'),
        ("the host db", "db", "the host db"),
        ("nothing to hide", "", "nothing to hide"),
    ],
)
def test_passwords_are_masked(text: str, password: str, masked: str) -> None:
    assert mask(text, [password], ADDRESS.names) == masked
