"""Connections: TLS, passwords, timeouts and hints, tested against real and simulated servers."""

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from supabase_jobs.cli import main
from supabase_jobs.database.conninfo import read
from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import Settings
from tests.database.conftest import service_file
from tests.fake_server import Behaviour, echo, fake_server, fatal, ready, silent
from tests.fix_cli import Run
from tests.fix_db import Server
from tests.programs import unavailable

REF = "abcdefghijklmnopqrst"
SECRET = "s3cr3t/p4ss"
ENCODED = "s3cr3t%2Fp4ss"
REMOTE_HOST = "db.example.invalid"


# each connects to a server without TLS on 127.0.0.1 under a remote name
TARGETS: dict[str, Callable[[int, Path], tuple[str, dict[str, str]]]] = {
    "URL": lambda port, _: (
        f"postgresql://u:{ENCODED}@{REMOTE_HOST}:{port}/x?hostaddr=127.0.0.1",
        {},
    ),
    "keywords": lambda port, _: (
        f"host={REMOTE_HOST} hostaddr=127.0.0.1 port={port} password={SECRET}",
        {},
    ),
    "PGHOST": lambda port, _: (
        "postgresql:///x",
        {
            "PGHOST": REMOTE_HOST,
            "PGHOSTADDR": "127.0.0.1",
            "PGPORT": str(port),
            "PGPASSWORD": SECRET,
        },
    ),
    "several hosts": lambda port, _: (
        f"postgresql://u:{ENCODED}@{REMOTE_HOST}:{port},localhost:{port}/x?hostaddr=127.0.0.1,127.0.0.1",
        {},
    ),
    "service in the URL": lambda port, folder: (
        "postgresql:///?service=there",
        {
            "PGSERVICEFILE": service_file(
                folder, host=REMOTE_HOST, hostaddr="127.0.0.1", port=port, password=SECRET
            )
        },
    ),
    "PGSERVICE": lambda port, folder: (
        "postgresql:///x",
        {
            "PGSERVICE": "there",
            "PGSERVICEFILE": service_file(
                folder, host=REMOTE_HOST, hostaddr="127.0.0.1", port=port, password=SECRET
            ),
        },
    ),
}
each_target = pytest.mark.parametrize("target", TARGETS)


@each_target
def test_remote_hosts_require_tls(target: str, cli: Run, tmp_path: Path) -> None:
    with fake_server(silent) as fake:
        url, environ = TARGETS[target](fake.port, tmp_path)
        ran = cli("status", "--db-url", url, **environ)
    assert ran.code == 7
    assert "offers no TLS" in ran.err
    assert "sslmode=disable" in ran.err
    assert fake.startup_messages == []
    assert SECRET not in ran.err
    assert ENCODED not in ran.err


@each_target
def test_sslmode_disable_allows_a_connection_without_tls(
    target: str, cli: Run, tmp_path: Path
) -> None:
    with fake_server(fatal("no")) as fake:
        url, environ = TARGETS[target](fake.port, tmp_path)
        ran = cli("status", "--db-url", url, **environ, PGSSLMODE="disable")
    assert (ran.code, len(fake.startup_messages)) == (7, 1 + (target == "several hosts"))


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A self-signed certificate: clients cannot verify it without its authority, like Supabase's."""
    program = shutil.which("openssl") or unavailable("openssl is not installed")
    words = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -keyout key.pem -out cert.pem"
    subprocess.run([program, *words.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


@each_target
def test_tls_is_used_if_the_server_offers_it(
    target: str, cli: Run, tmp_path: Path, tls: ssl.SSLContext
) -> None:
    with fake_server(ready("17.4"), tls) as fake:
        url, environ = TARGETS[target](fake.port, tmp_path)
        ran = cli("status", "--db-url", url, **environ)
    assert f"database: {REMOTE_HOST}:{fake.port}/" in ran.err
    assert "PostgreSQL 17.4" in ran.err
    assert "WITHOUT TLS" not in ran.err


def test_an_unknown_certificate_authority_is_reported(cli: Run, tls: ssl.SSLContext) -> None:
    with fake_server(ready("17.4"), tls) as fake:
        where = f"u:{ENCODED}@{REMOTE_HOST}:{fake.port}/x?hostaddr=127.0.0.1&sslmode=verify-full"
        ran = cli("status", "--db-url", f"postgresql://{where}")
    assert ran.code == 7
    assert "certificate could not be verified" in ran.err
    assert "sslrootcert=FILE" in ran.err


def test_a_remote_hostaddr_requires_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("postgresql://localhost/x").parameters.get("sslmode") is None
    assert read("postgresql://localhost/x?hostaddr=10.0.0.1").parameters["sslmode"] == "require"
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    assert read("postgresql://localhost/x").parameters["sslmode"] == "require"


def test_sslmode_of_a_service_file_overrides_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PGSERVICEFILE", service_file(tmp_path, host=REMOTE_HOST, sslmode="verify-full")
    )
    assert "sslmode" not in read("service=there").parameters
    service_file(tmp_path, host=REMOTE_HOST)
    assert read("service=there").parameters["sslmode"] == "require"
    monkeypatch.setenv("PGSSLROOTCERT", "system")  # libpq then requires verify-full
    assert "sslmode" not in read("service=there").parameters


def test_a_missing_service_is_a_configuration_error(cli: Run) -> None:
    ran = cli("status", "--db-url", "postgresql:///?service=nowhere")
    assert ran.code == 2
    assert 'definition of service "nowhere" not found' in ran.err


@pytest.mark.parametrize(
    "option", ["sslmode=maybe", "connect_timeout=soon", "target_session_attrs=none"]
)
def test_an_option_that_libpq_rejects_is_a_configuration_error(cli: Run, option: str) -> None:
    ran = cli("status", "--db-url", f"postgresql://127.0.0.1:1/x?{option}")
    assert ran.code == 2
    assert option.partition("=")[0] in ran.err


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("form", [SECRET, "word", "Zq7", 'a"b c'])
def test_a_password_in_a_server_message_is_masked(cli: Run, form: str, as_json: bool) -> None:
    with fake_server(echo) as fake:
        ran = cli(
            "status",
            *(["--json"] if as_json else []),
            "--db-url",
            f"postgresql://u@127.0.0.1:{fake.port}/x",
            PGPASSWORD=form,
            SUPABASE_JOBS_TRACEBACK="1",
            GITHUB_ACTIONS="true",
        )
    assert ran.code == 7
    assert "I do not like *** at all" in ran.out + ran.err
    assert form not in (ran.out + ran.err).replace("password", "")


@pytest.mark.parametrize(
    "source", ["the URL", "PGPASSWORD", "the service file", "the password file"]
)
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_an_error_names_the_source_of_the_password(
    cli: Run, server: Server, tmp_path: Path, source: str, right: bool
) -> None:
    password = server.password if right else SECRET
    place = f"{server.user}@127.0.0.1:{server.port}/postgres"
    url, environ = f"postgresql://{place}", {}
    if source == "the URL":
        url = url.replace("@", f":{quote(password, safe='')}@")
    elif source == "PGPASSWORD":
        environ = {"PGPASSWORD": password}
    elif source == "the service file":
        environ = {"PGSERVICE": "there", "PGSERVICEFILE": service_file(tmp_path, password=password)}
    else:
        (tmp_path / "pgpass").write_text(f"*:*:*:*:{password}\n")
        (tmp_path / "pgpass").chmod(0o600)
        environ = {"PGPASSFILE": str(tmp_path / "pgpass")}
    ran = cli("plan", "--db-url", url, **environ)
    assert ran.code == (0 if right else 7), ran.err
    assert password not in ran.out + ran.err
    if not right:
        assert f'refused the password of the role "{server.user}"' in ran.err
        assert f"The password came from {source}" in ran.err


@pytest.mark.parametrize(
    ("behave", "user", "message", "url"),
    [
        (
            fatal("Tenant or user not found"),
            "postgres",
            "knows no project",
            ".PROJECT_REF:PASSWORD@aws-0-x-1.",
        ),
        (
            fatal("Tenant or user not found"),
            f"me.{REF}",
            "knows no project",
            f"me.{REF}:PASSWORD@aws-0-x-1.",
        ),
    ],
)
def test_an_unknown_tenant_leads_to_a_hint_with_the_pooler_url(
    cli: Run, behave: Behaviour, user: str, message: str, url: str
) -> None:
    with fake_server(behave) as fake:
        there = f"{user}:{ENCODED}@aws-0-x-1.pooler.supabase.com:{fake.port}/postgres"
        ran = cli("status", "--db-url", f"postgresql://{there}?hostaddr=127.0.0.1&sslmode=disable")
    assert ran.code == 7
    assert message in ran.err
    assert url in ran.err
    assert "p4ss" not in ran.err


def test_an_unresolved_direct_host_leads_to_a_hint_with_the_pooler_url(cli: Run) -> None:
    ran = cli(
        "status", "--db-url", f"postgresql://postgres:{ENCODED}@db.{REF}.supabase.co.:5432/postgres"
    )
    assert ran.code == 7
    ran = cli(
        "status", "--db-url", f"postgresql://postgres:{ENCODED}@db.{REF}.supabase.co:5432/postgres"
    )
    assert ran.code == 7
    assert (
        f"postgresql://postgres.{REF}:PASSWORD@aws-N-REGION.pooler.supabase.com:5432/postgres"
        in ran.err
    )
    assert "p4ss" not in ran.err


@pytest.mark.parametrize("environ", [{}, {"PGCONNECT_TIMEOUT": "2"}], ids=["URL", "environment"])
def test_a_silent_server_times_out(cli: Run, environ: dict[str, str]) -> None:
    with fake_server(silent) as fake:
        option = "" if environ else "?connect_timeout=2"
        ran = cli(
            "status", "--db-url", f"postgresql://u@127.0.0.1:{fake.port}/x{option}", **environ
        )
    assert ran.code == 7
    assert "no answer within 2 s" in ran.err


def test_the_default_timeout_is_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read("postgresql://localhost/x").parameters["connect_timeout"] == "10"
    monkeypatch.setenv("PGSERVICEFILE", service_file(tmp_path, connect_timeout=3))
    assert read("service=there").parameters["connect_timeout"] == "3"


def test_a_server_that_is_too_old_is_rejected(cli: Run) -> None:
    with fake_server(ready("14.9")) as fake:
        ran = cli("status", "--db-url", f"postgresql://u@127.0.0.1:{fake.port}/x")
    assert ran.code == 7
    assert "PostgreSQL 14.9; the oldest supported version is 15" in ran.err


def test_a_newer_server_is_noted_as_untested_and_a_lost_connection_is_reported(cli: Run) -> None:
    with fake_server(ready("19.0")) as fake:
        ran = cli("status", "--db-url", f"postgresql://u@127.0.0.1:{fake.port}/x")
    assert "PostgreSQL 19.0" in ran.err
    assert "newer than the newest tested version" in ran.err
    assert ran.code == 7
    assert "the connection to the database was lost" in ran.err
    assert "were rolled back" in ran.err


def test_a_url_in_the_wrong_position_is_not_printed(cli: Run) -> None:
    url = f"postgresql://postgres:{SECRET.replace('/', '')}@db.example.com/postgres"
    for words in (
        (url,),
        ("apply", url),
        ("status", "--migrations", url),
        ("apply", "--to", url),
        ("apply", url, "--json"),
    ):
        ran = cli(*words, PGPASSWORD="hunter2")
        assert ran.code == 2
        assert "s3cr3t" not in ran.out + ran.err


def test_a_traceback_contains_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(given: Settings) -> str:
        raise RuntimeError(f"{given.db_url} and hunter2-hunter2 and host=x password=quiet")

    monkeypatch.setattr("supabase_jobs.cli.common.database_url", fail)
    monkeypatch.setenv("PGPASSWORD", "hunter2-hunter2")
    monkeypatch.setenv("SUPABASE_JOBS_TRACEBACK", "1")
    with pytest.raises(SystemExit) as caught:
        main(["status", "--db-url", f"postgresql://postgres:{ENCODED}@db.example.com/postgres"])
    printed = "".join(capsys.readouterr())
    assert caught.value.code == 2
    assert "in fail" in printed
    for secret in (SECRET, ENCODED, "p4ss", "hunter2-", "quiet\n"):
        assert secret not in printed.replace(
            'password=quiet")', ""
        )  # the source line in the traceback


def test_ambiguous_urls_are_rejected_without_connecting(cli: Run) -> None:
    ran = cli("status", "--db-url", "postgresql://postgres:s3cr3t@p4ss@db.example.com/postgres")
    assert ran.code == 2
    assert "s3cr3t" not in ran.err
    assert "p4ss" not in ran.err
    with pytest.raises(ConfigError):
        read("postgresql://postgres:1/p4ss@db.example.com/postgres")
