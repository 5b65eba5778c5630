"""Changes that a project may make to the managed tables, to sign-up and to settings: exit 0, and
every area checked.

Changes share a database, on which `verify` must be quiet. Where it is not, each of them gets one of
its own, which names the culprit.
"""

import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make, major_of, oldest_and_newest
from tests.programs import MAJORS
from tests.verify.harmless import Change, changes, groups, named

BOTH = [change for stem in ("jobs", "sign_up") for change in changes(stem)]


def harmful(findings: tuple[Finding, ...]) -> list[str]:
    """Errors, and warnings about behavior; `structure` and `plans` warn of constraints and triggers
    that limit what clients may send, and of indexes.
    """
    return [
        f"{finding.severity} {finding.id}: {finding.message}"
        for finding in findings
        if finding.severity is Severity.ERROR
        or (finding.severity is Severity.WARNING and finding.area in ("access", "functions"))
    ]


# those of a version and a group come one after another, so most in one process
GROUPS = [
    group
    for major in MAJORS
    for group in groups([c for number, c in enumerate(BOTH) if major_of(number) == major])
]


@pytest.fixture(scope="session")
def quiet() -> dict[int, bool]:
    """Whether `verify` was quiet on the database of a group."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("each_major", "change", "number"),
    [
        pytest.param(major_of(BOTH.index(change)), change, number, id=change.name)
        for number, group in enumerate(GROUPS)
        for change in group
    ],
    indirect=["each_major"],
)
def test_a_harmless_change_leaves_nothing_unchecked(
    rolled_back: Connection, change: Change, number: int, quiet: dict[int, bool]
) -> None:
    if number not in quiet:
        quiet[number] = False
        with (
            suppress(psycopg.errors.DuplicateFunction),  # two have one name for what they create
            rolled_back.transaction(force_rollback=True),
        ):
            quiet[number] = _not_quiet(rolled_back, GROUPS[number]) == []
    if not quiet[number]:
        assert _not_quiet(rolled_back, [change]) == []


def _not_quiet(connection: Connection, changes: Sequence[Change]) -> list[str]:
    """The harm that `verify` finds in changes, and the areas that it has not checked in full."""
    for change in changes:
        connection.execute(change.sql.encode())
    result = verify(connection, EXPECTATIONS, tries_fixes=False)
    left_out = set(AREAS) - {case.area for case in result.cases} | set(result.unchecked)
    failed = [] if result.ok else ["failed"]
    return [*harmful(result.findings), *failed, *sorted(left_out)]


def replace_in(connection: Connection, function: str, old: str, new: str) -> None:
    """Replace a text in the definition of a function."""
    [definition] = connection.execute(
        "select pg_get_functiondef(%s::regprocedure)", (function,)
    ).fetchone() or [""]
    assert old in definition
    connection.execute(definition.replace(old, new).encode())


def test_user_columns_are_reported_once_as_info(rolled_back: Connection) -> None:
    rolled_back.execute(
        named("jobs", "a version counter", "finished_at", "NOT NULL columns with a default")
    )
    found = [
        f
        for f in verify(rolled_back, EXPECTATIONS, ("functions",)).findings
        if f.area == "functions"
    ]
    assert [(f.id, f.severity) for f in found] == [
        ("functions:public.async_jobs:user columns", Severity.INFO),
        ("functions:public.guest_users:user columns", Severity.INFO),
    ]
    assert found[0].message.endswith(": expires_at, finished_at, priority, tags, version")


def test_a_column_that_a_user_trigger_changes_is_reported_as_info(rolled_back: Connection) -> None:
    rolled_back.execute(named("jobs", "a trigger that updates last_seen_at"))
    [finding] = verify(rolled_back, EXPECTATIONS, ("functions",)).findings
    assert (finding.id, finding.severity) == (
        "functions:public.guest_users:columns changed by triggers",
        Severity.INFO,
    )
    assert finding.message.endswith(": last_seen_at")


# a function of the migrations, a text in it, and another that makes it a fault; what the scenarios
# then report
FAULTS = {
    "created_at changes too": (
        "private.update_async_job_updated_at()",
        "new.updated_at",
        "new.created_at := now(); new.updated_at",
        "created_at = now",
    ),
    "updated_at stays": (
        "private.update_async_job_updated_at()",
        "new.updated_at",
        "new.error",
        "updated_at",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_managed_column_is_an_error_next_to_user_columns_and_triggers(
    rolled_back: Connection, fault: str
) -> None:
    rolled_back.execute(
        named("jobs", "a version counter", "finished_at", "a trigger that updates last_seen_at")
    )
    function, old, new, message = FAULTS[fault]
    replace_in(rolled_back, function, old, new)
    result = verify(rolled_back, EXPECTATIONS, ("functions",))
    errors = [f for f in result.findings if f.severity is Severity.ERROR]
    assert any(message in f.message for f in errors)
    assert not any("version" in f.message or "finished_at" in f.message for f in errors)


def test_a_broken_policy_is_an_error_next_to_a_sign_up_trigger_and_constraints(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(named("sign_up", "an allow-list and a company's domain"))
    rolled_back.execute(
        named("jobs", "https only", "unique URLs of active jobs", "an audit log of every statement")
    )
    rolled_back.execute(
        'alter policy "users read their own jobs" on public.async_jobs using (true)'
    )
    result = verify(rolled_back, EXPECTATIONS, ("access",))
    assert any(
        "should be hidden and is rows" in f.message
        for f in result.findings
        if f.severity is Severity.ERROR
    )
    assert result.unchecked == ()


def test_a_trigger_that_changes_more_of_a_guest_than_its_last_visit_is_an_error(
    rolled_back: Connection,
) -> None:
    sql = named("jobs", "a trigger that updates last_seen_at").decode()
    rolled_back.execute(
        sql.replace("last_seen_at = now()", "last_seen_at = now(), migrated_at = now()").encode()
    )
    found = verify(rolled_back, EXPECTATIONS, ("structure",)).findings
    assert any(f.severity is Severity.ERROR and "see_guest" in f.id for f in found)


SETTINGS = tomllib.loads(Path(__file__).with_name("settings.toml").read_text(encoding="utf-8"))[
    "settings"
]


def test_the_catalogue_has_enough_settings() -> None:
    assert sum(map(len, SETTINGS.values())) >= 50


@pytest.mark.slow
@oldest_and_newest
@pytest.mark.parametrize("scope", SETTINGS)
def test_harmless_settings_leave_nothing_unchecked(
    make_database: Make, each_major: int, scope: str
) -> None:
    """All settings of the database, of the connecting role or of an API role at a time."""
    database = make_database("applied", each_major)
    place = Identifier(database.name)
    target = SQL("database {}").format(place)
    if scope != "database":
        role = "postgres" if scope == "superuser" else scope
        target = SQL("role {} in database {}").format(Identifier(role), place)
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        for name, value in SETTINGS[scope].items():
            # a list of names is not one name
            values = map(Literal, value.split(", ")) if name == "search_path" else [Literal(value)]
            setting = SQL("alter {} set {} to {}").format(
                target, Identifier(*name.split(".")), SQL(", ").join(values)
            )
            connection.execute(setting)
    with psycopg.connect(database.url, autocommit=True) as connection:
        assert connection.info.server_version // 10000 == each_major
        result = verify(connection, EXPECTATIONS)
    assert harmful(result.findings) == []
    assert (result.findings, result.ok, result.unchecked) == ((), True, ())
