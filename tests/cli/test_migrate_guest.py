"""`supabase-jobs migrate-guest`: moved jobs, output, errors, and masked ids."""

import uuid
from dataclasses import replace

import psycopg
import pytest

from supabase_jobs.operations import migrate_guest
from supabase_jobs.operations.statements import statement
from tests.fix_cli import Run
from tests.fix_db import Make
from tests.impersonation import JOBS, insert_fixture_rows

GUEST = uuid.UUID("6f1c2a52-6c1f-4f0e-9a43-1a2b3c4d5e6f")
USER = uuid.UUID("0b9d8c7a-1234-4abc-8def-001122334455")
UNKNOWN = uuid.UUID("dddddddd-dddd-4ddd-8ddd-dddddddddead")


def prepare(url: str, jobs: int = 3) -> None:
    with psycopg.connect(url) as connection:
        insert_fixture_rows(connection)
        connection.execute("insert into auth.users (id) values (%s)", (USER,))
        connection.execute("insert into public.guest_users (guest_id) values (%s)", (GUEST,))
        connection.execute(
            "insert into public.async_jobs (url, guest_id) select 'u', %s from generate_series(1,"
            " %s)",
            (GUEST, jobs),
        )


def jobs_of_user(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(number,)] = connection.execute(
            "select count(*) from public.async_jobs where user_id = %s", (USER,)
        ).fetchall()
    return int(number)


def test_migrate_guest_moves_the_jobs_and_can_be_repeated(
    cli: Run, make_database: Make, each_major: int
) -> None:
    url = make_database("applied", each_major).url
    prepare(url)
    ran = cli("migrate-guest", str(GUEST).upper(), str(USER), "--json", "--db-url", url)
    assert (ran.code, ran.json) == (0, {"migrated": 3, "guest_id": "…5e6f", "user_id": str(USER)})
    assert jobs_of_user(url) == 3
    again = cli("migrate-guest", str(GUEST), str(USER), "--db-url", url)
    assert (again.code, again.out) == (0, f"moved 0 jobs of guest …5e6f to user {USER}\n")
    assert (
        cli("migrate-guest", str(UNKNOWN), str(USER), "--json", "--db-url", url).json["migrated"]
        == 0
    )
    assert jobs_of_user(url) == 3
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from public.async_jobs").fetchone() == (
            3 + len(JOBS),
        )


def test_an_encoding_without_the_ellipsis_prints_the_result(
    cli_process: Run, applied_url: str
) -> None:
    prepare(applied_url)
    words = ("migrate-guest", str(GUEST), str(USER), "--db-url", applied_url)
    ran = cli_process(*words, "--json", PYTHONIOENCODING="latin-1")
    assert (ran.code, ran.json["migrated"], ran.json["guest_id"]) == (0, 3, "…5e6f")
    assert "moved 0 jobs of guest" in cli_process(*words, PYTHONIOENCODING="latin-1").out


def test_the_id_of_a_guest_is_never_printed(cli: Run, applied_url: str) -> None:
    prepare(applied_url)
    for words in (
        (GUEST, USER),
        (GUEST, UNKNOWN),
        (UNKNOWN, GUEST),
        (f"{GUEST}x", USER),
        (USER, f"x{GUEST}"),
    ):
        for form in ([], ["--json"]):
            ran = cli("migrate-guest", *map(str, words), *form, "--db-url", applied_url)
            assert str(GUEST) not in ran.out + ran.err
    ran = cli("migrate-guest", str(GUEST), str(USER), "--db-url", "postgresql://127.0.0.1:1/none")
    assert ran.code == 7
    assert str(GUEST) not in ran.out + ran.err


def test_an_unknown_user_exits_2(cli: Run, applied_url: str) -> None:
    prepare(applied_url)
    ran = cli("migrate-guest", str(GUEST), str(UNKNOWN), "--json", "--db-url", applied_url)
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["sqlstate"]) == (
        2,
        "unknown_user",
        "23503",
    )
    assert "user …dead does not exist" in ran.json["error"]["message"]
    assert jobs_of_user(applied_url) == 0


@pytest.mark.parametrize(
    "wrong", ["", "garbage", str(GUEST)[:-1], GUEST.hex, f"{{{GUEST}}}", f" {GUEST}", "--", "🦊"]
)
def test_an_argument_that_is_not_a_uuid_is_named(cli: Run, applied_url: str, wrong: str) -> None:
    for words, name in (((wrong, str(USER)), "GUEST_ID"), ((str(GUEST), wrong), "USER_ID")):
        ran = cli("migrate-guest", "--json", "--db-url", applied_url, *words)
        assert (ran.code, ran.json["error"]["code"]) == (2, "usage")
        assert wrong == "--" or name in ran.json["error"]["message"]


def test_a_locked_guest_exits_5(
    cli: Run, applied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(applied_url)
    settings = statement("migrate_guest/settings")
    quick = replace(settings, text=settings.text.replace("'4s'", "'200ms'"))
    assert quick != settings
    monkeypatch.setattr(
        migrate_guest, "statement", lambda name: quick if "settings" in name else statement(name)
    )
    with psycopg.connect(applied_url) as other:
        other.execute("select from public.guest_users for update")
        ran = cli("migrate-guest", str(GUEST), str(USER), "--json", "--db-url", applied_url)
        assert (ran.code, ran.json["error"]["code"]) == (5, "busy")


def test_a_role_without_privileges_exits_7(cli: Run, applied_url: str) -> None:
    """The function is granted to authenticated and service_role; authenticator inherits neither."""
    prepare(applied_url)
    ran = cli(
        "migrate-guest",
        str(GUEST),
        str(USER),
        "--json",
        "--db-url",
        applied_url.replace("//postgres@", "//authenticator@"),
    )
    assert (ran.code, ran.json["error"]["code"]) == (7, "insufficient_privilege")


def test_missing_migrations_exit_2(cli: Run, platform_url: str) -> None:
    ran = cli("migrate-guest", str(GUEST), str(USER), "--json", "--db-url", platform_url)
    assert (ran.code, ran.json["error"]["code"]) == (2, "not_applied")
