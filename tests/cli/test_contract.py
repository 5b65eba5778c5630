"""The command line's contract: position of options, JSON on stdout, exit codes, no password in the
output.
"""

import json
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from supabase_jobs.cli import COMMANDS, demo, main
from supabase_jobs.cli.reports import report
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.exit_codes import ExitCode
from supabase_jobs.report.producers.verify import document
from tests.fix_cli import Run
from tests.fix_db import packaged
from tests.verifications import BAD, GOOD

SECRET = "s3cr3t-p4ss"


REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")


def test_the_reference_lists_the_exit_codes() -> None:
    rows = re.findall(r"^\| (\d) \| (.*) \|$", REFERENCE, flags=re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == {
        code: code.meaning for code in ExitCode
    }


def test_help_lists_the_exit_codes(cli: Run) -> None:
    _, _, shown = " ".join(cli("--help").out.split()).partition("Exit codes:")
    assert all(f"{int(code)} {code.meaning}" in shown for code in ExitCode)


def test_every_error_has_a_documented_exit_code() -> None:
    family = [SupabaseJobsError]
    for error in family:
        family += error.__subclasses__()
    assert {error.exit_code for error in family} == {1, 2, 4, 5, 6, 7} <= {*ExitCode}


def test_version_and_help(cli_process: Run) -> None:
    assert cli_process("--version").out.startswith("supabase-jobs")
    shown = cli_process("--help")
    assert shown.code == 0
    assert all(name in shown.out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(cli: Run, command: str) -> None:
    shown = cli(command, "--help")
    assert shown.code == 0
    assert f"Example: supabase-jobs {command}" in shown.out


@pytest.mark.parametrize(
    "command", ["plan", "apply", "status", "verify", "mutate", "cleanup", "stats", "check-results"]
)
def test_without_a_database_the_hint_lists_three_ways_to_name_one(cli: Run, command: str) -> None:
    ran = cli(command)
    assert (ran.code, ran.out) == (2, "")
    for way in ("--db-url", "SUPABASE_DB_URL", "supabase-jobs local start"):
        assert way in ran.err


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_database_url_is_an_error(cli: Run, blank: str) -> None:
    ran = cli("status", "--db-url", blank)
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: --db-url is empty")
    ran = cli("status", SUPABASE_DB_URL=blank)
    assert ran.code == 2
    assert "SUPABASE_DB_URL is empty" in ran.err


def test_blanks_around_the_database_url_are_ignored(cli: Run, applied_url: str) -> None:
    assert cli("status", SUPABASE_DB_URL=f"{applied_url}\n").code == 0
    assert cli("status", "--db-url", f" {applied_url}\n").code == 0


def test_shared_options_work_before_and_after_the_command(cli: Run, applied_url: str) -> None:
    for words in (
        ("--db-url", applied_url, "status", "--json"),
        ("status", "--json", "--db-url", applied_url),
    ):
        assert {m["state"] for m in cli(*words).json["migrations"]} == {"applied"}
    assert cli("status", SUPABASE_DB_URL=applied_url).code == 0
    assert (
        cli("--db-url", "postgresql://127.0.0.1:1/none", "status", "--db-url", applied_url).code
        == 0
    )
    assert (
        cli("--db-url", applied_url, "status", SUPABASE_DB_URL="postgresql://127.0.0.1:1/none").code
        == 0
    )


@pytest.mark.parametrize(
    "command",
    ["plan", "apply", "status", "verify --only structure", "cleanup", "stats", "check-results"],
)
def test_the_target_is_printed_on_stderr_and_stdout_contains_only_json(
    cli: Run, applied_url: str, command: str
) -> None:
    for words in (("--json",), ("--format", "json"), ("--format=json",)):
        ran = cli(*command.split(), *words, "--db-url", applied_url)
        assert ran.code == 0
        assert ran.json
        host = applied_url.split("@")[1]
        assert f"database: {host}, PostgreSQL 16." in ran.err
        assert "role postgres" in ran.err


def closed_port() -> int:
    """A port on which no program listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def bad_urls() -> list[tuple[str, int]]:
    """URLs with a password that fail for different reasons, and the exit code."""
    return [
        (f"postgresql://postgres:{SECRET}@127.0.0.1:{closed_port()}/postgres", 7),
        (f"postgresql://postgres:{SECRET}@no-such-host.invalid/postgres", 7),
        (f"postgres//postgres:{SECRET}@127.0.0.1/postgres", 2),
        (f"postgresql://postgres:{SECRET}@127.0.0.1:port/postgres", 2),
        (f"postgresql://postgres:{SECRET}@127.0.0.1/postgres?{SECRET}={SECRET}", 2),
        (f"host=127.0.0.1 port={closed_port()} password={SECRET}", 7),
        (f"host=127.0.0.1 password='{SECRET}", 2),
    ]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_no_password_in_any_error(cli: Run, number: int, as_json: bool) -> None:
    url, code = bad_urls()[number]
    ran = cli("status", *(["--json"] if as_json else []), "--db-url", url)
    assert ran.code == code
    assert SECRET not in ran.out + ran.err
    if as_json:
        assert set(ran.json["error"]) == {"code", "message", "hint", "sqlstate", "file", "line"}
    else:
        assert ran.err.startswith("error: ")


def test_a_wrong_password_is_a_connect_error(cli: Run, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("server_16")
    ran = cli(
        "status",
        "--json",
        "--db-url",
        f"postgresql://supabase_admin:{SECRET}@127.0.0.1:{server.port}/postgres",
    )
    assert (ran.code, ran.json["error"]["code"]) == (7, "cannot_connect")
    assert SECRET not in ran.out + ran.err


def test_a_password_from_the_environment_works_and_is_not_printed(
    cli_process: Run, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("server_16")
    url = f"postgresql://supabase_admin@127.0.0.1:{server.port}/postgres"
    ran = cli_process("status", "--db-url", url, PGPASSWORD=server.password)
    assert ran.code == 0
    assert server.password not in ran.out + ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("bogus",),
        ("apply", "--bogus"),
        ("apply", "--lock-timeout", "soon"),
        ("apply", "--lock-timeout", "0"),
        ("apply", "--retries", "-1"),
        ("verify", "--only", "plots"),
        ("verify", "--format", "pdf"),
        ("render", "--out"),
        ("status", "--migrations", "nowhere"),
        ("render", "--sql-dir", "nowhere"),
        ("local",),
        ("local", "bogus"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(cli: Run, words: tuple[str, ...]) -> None:
    assert cli(*words).code == 2
    if words[0] not in ("local", "bogus") and words[-1] != "--out":
        error = cli(*words, "--json").json["error"]
        assert error["message"]
        assert error["code"] in ("usage", "config")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("verfy",), "no such command 'verfy'. Did you mean 'verify'?", "supabase-jobs --help"),
        (("xyz",), "no such command 'xyz'", "supabase-jobs --help"),
        (
            ("verify", "--formt", "x"),
            "no such option '--formt'. Did you mean '--format'?",
            "supabase-jobs verify --help",
        ),
        (
            ("apply", "--db-url"),
            "option '--db-url' requires an argument",
            "supabase-jobs apply --help",
        ),
        (
            ("local", "start", "--port"),
            "option '--port' requires an argument",
            "supabase-jobs local start --help",
        ),
        (("--db-url",), "option '--db-url' requires an argument", "supabase-jobs --help"),
        (("migrate-guest",), "missing argument 'GUEST_ID'", "supabase-jobs migrate-guest --help"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_wrong_usage_is_reported_like_other_errors(
    cli: Run, words: tuple[str, ...], message: str, hint: str
) -> None:
    assert cli(*words).err == f"error: {message}\nhint: {hint}\n"


def test_variables_from_the_configuration_file(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "supabase-jobs.toml").write_text(
        "[variables]\nretention_days = 'soon; drop table x'\n"
    )
    ran = cli("render", "--json")
    assert ran.code == 2
    assert "retention_days" in ran.json["error"]["message"]
    (tmp_path / "supabase-jobs.toml").write_text('[variables]\nguest_header = "it\'s"\n')
    assert cli("render").code == 0
    assert (
        "lower('it''s')"
        in next((tmp_path / "supabase" / "migrations").glob("*guest_users*")).read_text()
    )


def test_render_check_exits_1_if_files_differ(cli: Run, tmp_path: Path) -> None:
    assert cli("render", "--check").code == 1
    assert not (tmp_path / "supabase").exists()
    assert cli("render").code == 0
    assert cli("render", "--check").code == 0
    first = min((tmp_path / "supabase" / "migrations").iterdir())
    first.write_text(first.read_text() + "\n")
    checked = cli("render", "--check", "--json")
    assert (checked.code, checked.json["edited"]) == (1, [first.name])


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A project with migrations of its own, and none of the jobs tables."""
    own = tmp_path / "supabase" / "migrations" / "20250101000000_own.sql"
    own.parent.mkdir(parents=True)
    own.write_text("create table public.own (id int primary key);\n")
    return tmp_path


@pytest.mark.usefixtures("foreign")
def test_the_check_of_rendered_files_names_audit_without_jobs_tables(cli: Run) -> None:
    ran = cli("render", "--check", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "config")
    assert "none of the jobs tables" in ran.json["error"]["message"]
    assert "supabase-jobs audit" in ran.json["error"]["hint"]
    assert len(cli("render", "--check").err.splitlines()) <= 2
    assert cli("render").code == 0
    assert cli("render", "--check").code == 0


@pytest.mark.usefixtures("foreign")
def test_verify_names_audit_without_jobs_tables(
    cli: Run, platform_url: str, applied_url: str
) -> None:
    ran = cli("verify", "--db-url", platform_url, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "config")
    assert "nothing to verify" in ran.json["error"]["message"]
    assert "supabase-jobs audit" in ran.json["error"]["hint"]
    found = cli("verify", "--only", "structure", "--db-url", applied_url, "--json")
    assert "findings" in found.json


def test_the_packaged_migrations_are_applied_without_a_migrations_folder(
    cli: Run, platform_url: str, tmp_path: Path
) -> None:
    ran = cli("apply", "--json", "--db-url", platform_url)
    assert [a["version"] for a in ran.json["applied"]] == [m.version for m in packaged()]
    assert not (tmp_path / "supabase").exists()


def test_render_apply_and_verify_use_a_changed_guest_header(
    cli: Run, platform_url: str, tmp_path: Path
) -> None:
    (tmp_path / "supabase-jobs.toml").write_text(
        "[variables]\nguest_header = 'X-Client'\nretention_days = 30\n"
    )
    assert cli("render").code == 0
    assert cli("apply", "--db-url", platform_url).code == 0
    assert cli("verify", "--db-url", platform_url).code == 0
    (tmp_path / "supabase-jobs.toml").unlink()
    assert cli("verify", "--db-url", platform_url).code == 1


@pytest.mark.parametrize("name", ["", ".", "folder"])
def test_an_output_that_is_no_file_is_an_error(cli: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    for command in ("verify", "audit", "mutate --run true"):
        ran = cli(*command.split(), "--output", name, "--db-url", "postgresql://localhost:1/x")
        assert ran.code == 2
        assert ran.err.splitlines()[0] in (
            "error: --output is empty",
            f"error: invalid value for '--output': File {name!r} is a directory",
        )


def test_verify_writes_its_report_into_a_file(cli: Run, applied_url: str, tmp_path: Path) -> None:
    ran = cli(
        "verify",
        "--only",
        "access",
        "--format",
        "markdown",
        "--output",
        "report.md",
        "--db-url",
        applied_url,
    )
    assert (ran.code, ran.out) == (0, "")
    report = (tmp_path / "report.md").read_text()
    for identity in ("guest", "user", "service_role", "anon"):
        assert f"\n| {identity}" in report
    assert cli("verify", "--output", "no/such/folder", "--db-url", applied_url).code == 2


def test_local_commands_and_demo_share_the_server_of_a_directory(
    cli: Run, cli_process: Run, tmp_path: Path
) -> None:
    """The server of a directory from start to stop; it outlives the process that starts it."""
    assert cli("local", "status").code == 1
    started = cli_process("local", "start", "--postgres", "16")
    try:
        url = started.out.strip()
        assert url.startswith("postgresql://postgres@127.0.0.1:")
        assert cli("local", "start", "--json").json["url"] == url
        assert cli("local", "status").out.strip() == url
        assert cli_process("apply", PGSSLMODE="require", PGHOST="elsewhere.invalid").code == 0
        assert cli("status", "--exit-code").code == 0
        assert cli("verify").code == 0
        assert cli("local", "reset").code == 0
        assert cli("status", "--exit-code").code == 3
        kept = cli("demo", "--keep", "--json", PATH="/usr/bin:/bin")
        assert kept.json["ok"] is True
        assert kept.err.splitlines()[-1].endswith(
            "stop it with: " + f"{sys.executable} -m supabase_jobs local stop"
        )
        assert cli("status", "--exit-code").code == 0
    finally:
        assert cli("local", "stop").code == 0
    assert cli("local", "status", "--json").json == {"running": False}
    assert json.loads(cli("local", "stop", "--json").out) == {"stopped": False}


def test_demo_prints_the_matrix_and_leaves_only_its_report(
    cli_process: Run, tmp_path: Path
) -> None:
    ran = cli_process("demo", "--all")
    assert ran.code == 0
    lines = ran.out.splitlines()
    for identity in ("guest, its own job", "user, its own job", "service_role"):
        assert (
            sum(line.startswith(identity) for line in lines) > 1
        )  # the overview and the whole matrix
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "report.html"]


def test_demo_names_commands_that_work_where_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = demo._CLONE
    monkeypatch.setattr(demo, "_CLONE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["/an env/bin/supabase-jobs", "demo"])
    assert "\n  '/an env/bin/supabase-jobs' demo --all   print" in demo.next_commands()
    monkeypatch.setattr(sys, "argv", ["/x/supabase_jobs/__main__.py", "demo"])
    monkeypatch.setattr(sys, "executable", "/x/python")
    assert "\n  /x/python -m supabase_jobs audit        in your" in demo.next_commands()
    monkeypatch.setattr(demo, "_CLONE", clone)
    assert "\n  ./scripts/demo --all " in demo.next_commands()
    assert (
        demo.program() == "/x/python -m supabase_jobs"
    )  # in the clone, where `local stop` has to run
    (tmp_path / "supabase-jobs").touch(0o755)
    assert "\n  supabase-jobs render " in demo.next_commands()
    assert demo.program() == "supabase-jobs"


def test_demo_keeps_a_file_that_is_not_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.html"
    for before, replaced in (("mine", False), (report(document(GOOD), "html"), True)):
        file.write_text(before)
        demo.write_report(tmp_path, BAD)
        assert (file.read_text() != before) == replaced
        assert ("is another file" in capsys.readouterr().err) != replaced


def test_windows_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delattr(signal, "SIGHUP")
    with pytest.raises(SystemExit) as stop:
        main(["status"])
    assert stop.value.code == 2
    assert (
        capsys.readouterr().err
        == "error: supabase-jobs does not run on Windows\nhint: Run it in WSL: wsl --install.\n"
    )


def test_plan_checks_files_without_a_database(cli: Run, tmp_path: Path) -> None:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20260101000000_fine.sql").write_text("create table public.fine (id integer);")
    assert cli("plan", "--files-only").out == "pending  20260101000000  fine\n"
    (folder / "20260101000001_refused.sql").write_text("select 1;\ncommit;")
    ran = cli("plan", "--files-only", "--json")
    assert (ran.code, ran.json["error"]["line"]) == (2, 2)
    assert cli("plan", "--files-only", "--locks").code == 2
