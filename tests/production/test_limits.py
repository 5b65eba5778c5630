"""Limits of a transaction: the smaller of ours and the user's, and none outlives the transaction."""

from collections.abc import Callable

import pytest

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.session.settings import SETTINGS
from tests.fix_db import Make, every_major

CHECKED = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
ALSO = ("tcp_keepalives_idle", "client_connection_check_interval", "transaction_timeout")


def settings(connection: Connection, *names: str) -> list[str | None]:
    return [
        connection.execute("select current_setting(%s, true)", (name,)).fetchone()[0]  # type: ignore[index]
        for name in names
    ]


def apply(connection: Connection, *statements: Statement) -> None:
    for result in run_groups(connection, [[Statement("begin"), *statements]]):
        result.answer()


@every_major
@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ("0", ["1s", "500ms", "8s"]),
        ("200ms", ["200ms", "200ms", "200ms"]),
        ("1h", ["1s", "500ms", "8s"]),
    ],
)
def test_the_smaller_limit_counts(
    make_database: Make, each_major: int, theirs: str, expected: list[str]
) -> None:
    options = "%20".join(f"-c%20{name}%3D{theirs}" for name in CHECKED)
    with connect(f"{make_database('platform', each_major).url}?options={options}") as connection:
        apply(connection, time_limits(statement_timeout=1000, lock_timeout=500))
        assert settings(connection, *CHECKED) == expected


@every_major
def test_settings_of_verify_keep_the_limits_of_the_user(
    make_database: Make, each_major: int
) -> None:
    url = make_database("platform", each_major).url
    with connect(
        f"{url}?options=-c%20statement_timeout%3D3s%20-c%20lock_timeout%3D30s"
    ) as connection:
        apply(connection, Statement(SETTINGS))
        assert settings(connection, "statement_timeout", "lock_timeout") == ["3s", "2s"]


@every_major
def test_a_limit_that_the_server_does_not_have_is_left_out(
    make_database: Make, each_major: int
) -> None:
    with connect(make_database("platform", each_major).url) as connection:
        apply(connection, time_limits(transaction_timeout=8000))
        assert settings(connection, *ALSO) == ["3", "2s", "8s" if each_major >= 17 else None]


def test_no_limit_outlives_the_transaction(platform_url: str, pooled: Callable[..., str]) -> None:
    with connect(pooled(platform_url)) as connection:
        before = settings(connection, *CHECKED, *ALSO)
        apply(connection, time_limits(statement_timeout=1000))
        assert settings(connection, *CHECKED) != before[:3]
        connection.rollback()
        assert settings(connection, *CHECKED, *ALSO) == before
