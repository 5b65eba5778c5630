"""`mutate`: every derived fault is killed by `verify` or waived, and rolled back."""

import io
import json
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import psycopg
import pytest

from supabase_jobs import mutation
from supabase_jobs.cli import main
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError, VerificationError
from supabase_jobs.findings import APPLY_FIRST, Fault
from supabase_jobs.mutation.mutate import _SETTINGS, derive, mutate, waivers
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.structure import check, snapshot
from supabase_jobs.verify.structure.catalog import Fact
from supabase_jobs.verify.structure.fixes import Fixes
from supabase_jobs.verify.verify import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Database

# The rows of the catalogs, without the columns of pg_class that autovacuum changes, and the numbers
# of rows.
STATE = """
select
  (
    select md5(string_agg(
      row(relname, relkind, relowner, relacl, relrowsecurity, relforcerowsecurity, reloptions, relfilenode)::text, ''
      order by oid
    ))
    from pg_class where relnamespace = 'public'::regnamespace
  ),
  (select md5(string_agg(p::text, '' order by oid)) from pg_proc as p where pronamespace = 'private'::regnamespace),
  (select md5(string_agg(p::text, '' order by oid)) from pg_policy as p),
  (select count(*) from public.async_jobs), (select count(*) from public.guest_users),
  (select count(*) from auth.users), current_setting('search_path'), current_setting('lock_timeout')
"""


def run(*words: str) -> tuple[int, str]:
    """Run the command in this process: exit code and stdout."""
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0), out.getvalue()


@pytest.fixture(scope="module")
def whole(shared: Callable[[int], str]) -> tuple[int, Any, bool]:
    """A complete run on PostgreSQL 16: exit code, JSON document, whether the catalogs are
    unchanged.
    """
    with psycopg.connect(shared(16), autocommit=True) as connection:
        before = connection.execute(STATE.encode()).fetchone()
        code, out = run("mutate", "--json", "--db-url", shared(16))
        return code, json.loads(out), connection.execute(STATE.encode()).fetchone() == before


@pytest.mark.slow
def test_every_mutant_is_killed_or_waived(whole: tuple[int, Any, bool]) -> None:
    code, document, _ = whole
    assert [m["id"] for m in document["mutants"] if not m["killed"] and not m["waived"]] == []
    assert code == 0


def test_mutate_without_migrations_hints_to_apply_them(cli: Run, platform_url: str) -> None:
    ran = cli("mutate", SUPABASE_DB_URL=platform_url)
    assert ran.code == 1
    assert f"hint: {APPLY_FIRST}" in ran.err


def test_mutate_after_an_error_hints_to_verify(cli: Run, applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        connection.execute("drop table public.async_jobs cascade")
    ran = cli("mutate", SUPABASE_DB_URL=applied_url)
    assert ran.code == 1
    assert "hint: Run supabase-jobs verify, and fix what it reports." in ran.err


@pytest.mark.slow
def test_there_are_many_mutants_few_waivers_and_every_fault_can_be_injected(
    whole: tuple[int, Any, bool],
) -> None:
    _, document, _ = whole
    assert document["total"] >= 1254
    assert len(document["waived"]) <= 5
    assert document["not_injected"] == []


@pytest.mark.slow
def test_every_waiver_has_a_reason_and_is_needed(whole: tuple[int, Any, bool]) -> None:
    _, document, _ = whole
    assert {w["id"]: w["reason"] for w in document["waived"]} == waivers(EXPECTATIONS)


@pytest.mark.slow
def test_the_document_follows_the_contract(whole: tuple[int, Any, bool]) -> None:
    _, document, _ = whole
    assert (
        document["total"] == len(document["mutants"]) == len({m["id"] for m in document["mutants"]})
    )
    assert document["killed"] == sum(m["killed"] for m in document["mutants"])
    for mutant in document["mutants"]:
        assert set(mutant) == {"id", "killed", "waived", "by", "object", "description", "sql"}
        assert mutant["killed"] == bool(mutant["by"])
        assert all(name.startswith(("structure:", "access:")) for name in mutant["by"])


@pytest.mark.slow
def test_the_database_is_unchanged_afterwards(whole: tuple[int, Any, bool]) -> None:
    assert whole[2]


@pytest.mark.slow
def test_every_operator_file_derives_faults(whole: tuple[int, Any, bool]) -> None:
    families = {m["id"].partition(":")[0] for m in whole[1]["mutants"]}
    assert families == {
        path.stem for path in (Path(mutation.__file__).parent / "operators").glob("*.sql")
    }


@pytest.mark.slow
def test_nothing_survives_on_the_newest_version(
    shared: Callable[[int], str], whole: tuple[int, Any, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faults that only this version has, and every tenth of the others."""
    known = {mutant["id"] for mutant in whole[1]["mutants"]}

    def derive_new(connection: Connection, names: list[str]) -> list[Fault]:
        return [
            f for n, f in enumerate(derive(connection, names)) if f.id not in known or n % 10 == 0
        ]

    monkeypatch.setattr("supabase_jobs.mutation.mutate.derive", derive_new)
    with psycopg.connect(shared(18), autocommit=True) as connection:
        result = mutate(connection, EXPECTATIONS)
        assert [m.fault.id for m in result.survivors] == []
        assert result.not_injected == ()
        assert any(m.fault.id.startswith("constraints:not-enforced:") for m in result.mutants)
        assert len(result.mutants) >= len(known) // 10
        assert verify(connection, EXPECTATIONS).findings == ()


@pytest.fixture
def derive_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`derive_only("indexes:drop:")`: derive only the faults with this start of their ids."""

    def only(start: str) -> None:
        def derive_some(connection: Connection, names: list[str]) -> list[Fault]:
            return [fault for fault in derive(connection, names) if fault.id.startswith(start)]

        monkeypatch.setattr("supabase_jobs.mutation.mutate.derive", derive_some)

    return only


@pytest.fixture
def without_index_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `verify` that does not check indexes."""
    compare = check.compare_facts

    def compare_no_indexes(
        facts: Sequence[Fact], snapshot: snapshot.Snapshot, context: Context, *more: Any
    ) -> Fixes:
        fixes = compare(facts, snapshot, context, *more)
        context.findings[:] = [f for f in context.findings if not f.message.startswith("index ")]
        return fixes

    monkeypatch.setattr(check, "compare_facts", compare_no_indexes)
    monkeypatch.setattr("supabase_jobs.verify.plans.check.check", lambda *_: None)


@pytest.mark.usefixtures("without_index_check")
def test_mutants_survive_a_missing_check(
    shared: Callable[[int], str], derive_only: Callable[[str], None]
) -> None:
    derive_only(
        "indexes:drop:public.guest_users:"
    )  # all areas run for a survivor; two tell as much as twelve
    code, out = run("mutate", "--db-url", shared(16))
    assert code == 1
    assert out.startswith("SURVIVED  indexes:drop:public.")
    assert "\n  drop index public." in out
    assert out.splitlines()[-1].startswith("FAILED: 2 mutants, 0 killed, 0 waived, 2 survived")


def test_the_text_counts_by_operator(
    shared: Callable[[int], str], derive_only: Callable[[str], None]
) -> None:
    derive_only("indexes:drop:")
    code, out = run("mutate", "--db-url", shared(16))
    assert (code, out.splitlines()) == (
        0,
        [
            "indexes drop    12 of   12 killed  100 %",
            "",
            "ok: 12 mutants, 12 killed, 0 waived, 0 survived; 0 not injected",
        ],
    )


def none(description: str, sql: str) -> Fault:
    """A fault that no operator derives."""
    parts = ("none", "x")
    return Fault(family="tables", parts=parts, object="x", description=description, sql=sql)


def test_a_fault_that_the_database_rejects_does_not_count(
    shared: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = none("not there", "drop table public.not_there")
    monkeypatch.setattr("supabase_jobs.mutation.mutate.derive", lambda *_: [impossible])
    code, out = run("mutate", "--json", "--db-url", shared(16))
    document = json.loads(out)
    assert (document["total"], document["mutants"]) == (0, [])
    [refused] = document["not_injected"]
    assert refused["error"] == '42P01: table "not_there" does not exist'
    assert code == 1  # nothing was tested


def test_a_run_without_mutants_has_failed(
    shared: Callable[[int], str], derive_only: Callable[[str], None]
) -> None:
    derive_only("none:")
    code, out = run("mutate", "--db-url", shared(16))
    assert (code, out.splitlines()) == (
        1,
        [
            "FAILED: 0 mutants, 0 killed, 0 waived, 0 survived; 0 not injected",
            "no fault was injected: nothing was tested",
        ],
    )


def test_a_role_that_may_inject_no_fault_exits_7(
    shared_database: Callable[[int], Database], cli: Run, derive_only: Callable[[str], None]
) -> None:
    derive_only("indexes:drop:")
    database = shared_database(16)
    ran = cli("mutate", "--json", "--db-url", database.server.url(database.name, "authenticator"))
    error = ran.json["error"]
    assert (ran.code, error["code"], error["sqlstate"]) == (7, "insufficient_privilege", "42501")
    assert error["message"] == (
        "the role authenticator may not inject faults: must be owner of index idx_async_jobs_active"
    )
    assert error["hint"] == "Connect as the role that owns the objects: postgres on Supabase."


def test_an_error_of_verify_kills_the_mutant(
    shared: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = none("nothing", "select 1")
    monkeypatch.setattr("supabase_jobs.mutation.mutate.derive", lambda *_: [fault])
    monkeypatch.setattr("supabase_jobs.mutation.mutate._check_no_errors", lambda *_: None)

    def broken(connection: Connection, *_: object) -> Any:
        connection.execute("select 1 / 0")

    monkeypatch.setattr(check, "compare", broken)
    with psycopg.connect(shared(16), autocommit=True) as connection:
        [mutant] = mutate(connection, EXPECTATIONS).mutants
    assert mutant.by == ("verify failed with 22012",)


def test_errors_before_the_first_fault_are_refused(rolled_back: Connection) -> None:
    rolled_back.execute("drop index public.idx_async_jobs_url")
    with pytest.raises(VerificationError, match="idx_async_jobs_url") as raised:
        mutate(rolled_back, EXPECTATIONS)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@db.example.invalid/postgres",
        "postgresql://postgres@localhost/postgres?hostaddr=192.0.2.1",
        "postgresql://postgres@localhost:5432,db.example.invalid:5432/postgres",
    ],
)
def test_a_remote_database_is_refused(cli: Run, url: str) -> None:
    ran = cli("mutate", "--json", "--db-url", url)
    assert (ran.code, ran.json["error"]["code"]) == (2, "config")
    assert "--allow-remote" in ran.json["error"]["hint"]


def test_allow_remote_connects_to_a_remote_database(cli: Run) -> None:
    assert (
        cli(
            "mutate",
            "--allow-remote",
            "--db-url",
            "postgresql://postgres@db.example.invalid/postgres",
        ).code
        == 7
    )


def test_a_lock_of_another_session_exits_5(
    applied_url: str, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "supabase_jobs.mutation.mutate._SETTINGS", _SETTINGS.replace("'2s'", "'200ms'")
    )
    with psycopg.connect(applied_url) as holder:
        holder.execute("lock table public.async_jobs in access exclusive mode")
        assert cli("mutate", "--db-url", applied_url).code == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[waivers]\n"tables:drop:public.x" = " "\n', "reason"),
        ("waivers = 1", "table"),
        ('[waiver]\n"tables:drop:public.x" = "kept"\n', "unknown key 'waiver'"),
    ],
)
def test_malformed_waivers_are_errors(tmp_path: Path, text: str, message: str) -> None:
    expectations = Expectations({}, (), tmp_path)
    assert waivers(expectations) == {}
    (tmp_path / "waivers.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        waivers(expectations)


def test_a_project_without_a_recorded_structure_is_refused(
    rolled_back: Connection, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="structure"):
        mutate(rolled_back, Expectations({}, (), tmp_path))
