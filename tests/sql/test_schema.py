"""The tables match the specification, and its example queries run unchanged."""

import re
import uuid
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from tests.impersonation import GUEST_A, USER_A, acting_as, guest, insert_fixture_rows, user

COLUMNS = {
    "id": ("uuid", "NO", "gen_random_uuid()"),
    "url": ("text", "NO", None),
    "status": ("text", "NO", "'queued'::text"),
    "progress": ("integer", "NO", "0"),
    "result": ("jsonb", "YES", None),
    "error": ("text", "YES", None),
    "guest_id": ("uuid", "YES", None),
    "user_id": ("uuid", "YES", None),
    "created_at": ("timestamp with time zone", "NO", "now()"),
    "updated_at": ("timestamp with time zone", "NO", "now()"),
    "metadata": ("jsonb", "NO", "'{}'::jsonb"),
}

INDEXES = {
    "idx_async_jobs_guest_id": ("(guest_id)", "guest_id IS NOT NULL"),
    "idx_async_jobs_user_id": ("(user_id)", "user_id IS NOT NULL"),
    "idx_async_jobs_status": ("(status)", None),
    "idx_async_jobs_created_at": ("(created_at)", None),
    "idx_async_jobs_updated_at": ("(updated_at)", None),
    "idx_async_jobs_url": ("(url, created_at DESC)", None),
    "idx_async_jobs_active": ("(status, created_at DESC)", "'queued'"),
    "idx_async_jobs_guest_active": (
        "(guest_id, created_at DESC)",
        "guest_id IS NOT NULL) AND (status",
    ),
    "idx_async_jobs_user_active": (
        "(user_id, created_at DESC)",
        "user_id IS NOT NULL) AND (status",
    ),
    "idx_async_jobs_cleanup": ("(updated_at)", "'cancelled'"),
}

# the specification's examples: (caller, statement with its placeholders filled, rows expected)
GUEST_ID = "11111111-1111-1111-1111-111111111111"


def test_columns(rolled_back: Connection) -> None:
    found = rolled_back.execute(
        "select column_name, data_type, is_nullable, column_default from information_schema.columns"
        " where table_schema = 'public' and table_name = 'async_jobs'"
    ).fetchall()
    assert {name: (kind, null, default) for name, kind, null, default in found} == COLUMNS


def test_indexes(rolled_back: Connection) -> None:
    found: dict[str, str] = dict(
        rolled_back.execute(
            "select indexname, indexdef from pg_indexes where tablename = 'async_jobs' and"
            " indexname like 'idx%'"
        ).fetchall()
    )
    assert found.keys() == INDEXES.keys()
    for name, (columns, predicate) in INDEXES.items():
        assert columns in found[name]
        assert (predicate is None) == ("WHERE" not in found[name])
        assert predicate is None or predicate in found[name].split("WHERE")[1]


@pytest.mark.parametrize(
    ("constraint", "column", "value"),
    [
        ("chk_valid_status", "status", "done"),
        ("chk_valid_progress", "progress", -1),
        ("chk_valid_progress", "progress", 101),
        ("chk_url_length", "url", ""),
        ("chk_url_length", "url", "x" * 2049),
        ("chk_url_length", "url", "ñ" * 1025),
    ],
)
def test_constraints_reject_invalid_values(
    rolled_back: Connection, constraint: str, column: str, value: object
) -> None:
    insert_fixture_rows(rolled_back)
    statement = psycopg.sql.SQL("update public.async_jobs set {} = %s").format(
        psycopg.sql.Identifier(column)
    )
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        rolled_back.execute(statement, (value,))
    assert refused.value.diag.constraint_name == constraint


@pytest.mark.parametrize("url", ["x", "x" * 2048, "ñ" * 1024], ids=len)
def test_longest_url_fits_its_index(rolled_back: Connection, url: str) -> None:
    insert_fixture_rows(rolled_back)
    # no repetition, so that nothing is compressed away
    noise = "".join(uuid.uuid4().hex for _ in range(64))[: len(url)] if url[0] == "x" else url
    assert rolled_back.execute("update public.async_jobs set url = %s", (noise,)).rowcount == 4


def test_deleting_a_guest_deletes_its_jobs(rolled_back: Connection) -> None:
    insert_fixture_rows(rolled_back)
    rolled_back.execute("delete from public.guest_users where guest_id = %s", (GUEST_A,))
    assert rolled_back.execute("select count(*) from public.async_jobs").fetchone() == (3,)


def test_deleting_a_user_deletes_its_jobs_and_resets_guests(rolled_back: Connection) -> None:
    insert_fixture_rows(rolled_back)
    rolled_back.execute("select * from public.migrate_guest_jobs(%s, %s)", (GUEST_A, USER_A))
    rolled_back.execute("delete from auth.users where id = %s", (USER_A,))
    assert rolled_back.execute("select count(*) from public.async_jobs").fetchone() == (2,)
    row = rolled_back.execute(
        "select migrated_to_user_id from public.guest_users where guest_id = %s", (GUEST_A,)
    )
    assert row.fetchone() == (None,)


def test_every_object_has_a_comment(rolled_back: Connection) -> None:
    uncommented = rolled_back.execute(
        """
        select 'policy', polname::text from pg_policy where obj_description(oid, 'pg_policy') is null
        union all select 'trigger', tgname from pg_trigger
          where not tgisinternal and tgrelid = 'public.async_jobs'::regclass
          and obj_description(oid, 'pg_trigger') is null
        union all select 'table', relname from pg_class
          where oid in ('public.async_jobs'::regclass, 'public.guest_users'::regclass)
          and obj_description(oid, 'pg_class') is null
        union all select 'function', proname from pg_proc
          where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and obj_description(oid, 'pg_proc') is null
        """
    ).fetchall()
    assert uncommented == []


def test_every_index_definition_has_a_comment(root: Path) -> None:
    for path in (root / "sql").glob("*.sql"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(r"create (unique )?index", line):
                assert lines[number - 1].startswith("-- "), (path.name, line)


def example(spec: str, heading: str) -> str:
    """The SQL example under a heading of the specification."""
    found = re.search(rf"### {re.escape(heading)}\n```sql\n(.*?)```", spec, re.DOTALL)
    assert found, heading
    return found[1]


@pytest.fixture(scope="session")
def spec() -> str:
    """The examples of the specification, from a copy in this repository."""
    return (Path(__file__).parent / "spec_examples.md").read_text(encoding="utf-8")


def test_guest_examples_run_unchanged(rolled_back: Connection, spec: str) -> None:
    with acting_as(rolled_back, guest(GUEST_ID)) as execute:
        execute("insert into public.guest_users (guest_id) values (%s)", GUEST_ID)
        [row] = execute(example(spec, "Crear Job (Guest)"))
        job = str(row[0])
        assert len(execute(example(spec, "Obtener Jobs Activos de Guest"))) == 1
        for heading, active in (
            ("Actualizar Progreso", 1),
            ("Completar Job", 0),
            ("Marcar como Fallido", 0),
        ):
            # placeholders of the examples: job-uuid is an id, … and [...] any value
            statement = (
                example(spec, heading)
                .replace("job-uuid", job)
                .replace("[...]", "[]")
                .replace("{...}", "{}")
            )
            assert len(execute(statement)) == 1, heading
            assert len(execute(example(spec, "Obtener Jobs Activos de Guest"))) == active


def test_user_examples_run_unchanged(rolled_back: Connection, spec: str) -> None:
    insert_fixture_rows(rolled_back)
    with acting_as(rolled_back, user(USER_A)) as execute:
        assert len(execute(example(spec, "Crear Job (Authenticated User)"))) == 1
        assert len(execute(example(spec, "Obtener Jobs Activos de User"))) == 2


def test_owner_examples_run_unchanged(rolled_back: Connection, spec: str) -> None:
    insert_fixture_rows(rolled_back)
    call = (
        example(spec, "Migrar Jobs de Guest a User")
        .replace("guest-uuid", str(GUEST_A))
        .replace("user-uuid", str(USER_A))
    )
    assert rolled_back.execute(call.encode()).fetchall() == [(1,)]
    for heading in ("Cleanup de Jobs Completados", "Via Función"):
        rolled_back.execute(example(spec, heading).encode())


OTHERS = """
do $$ declare other regclass; begin
  for other in select indexrelid from pg_index where indrelid = 'public.async_jobs'::regclass and not indisprimary
    and indexrelid <> to_regclass('public.' || current_setting('test.index'))
  loop execute 'drop index ' || other; end loop;
end $$
"""


@pytest.mark.parametrize(
    "heading",
    [
        "Jobs activos por guest (RÁPIDO)",
        "Jobs para cleanup (RÁPIDO)",
        "Buscar job por URL (RÁPIDO)",
    ],
)
def test_fast_queries_can_use_their_index(rolled_back: Connection, spec: str, heading: str) -> None:
    text = example(spec, heading)
    index = re.search(r"-- Usa: (\w+)", text)
    assert index
    rolled_back.execute("set local enable_seqscan = off")
    rolled_back.execute("select set_config('test.index', %s, true)", [index[1]])
    rolled_back.execute(OTHERS.encode())  # on an empty table all indexes are equally cheap
    statement = f"explain {text}".replace("$1", "%s")
    values = [] if "%s" not in statement else [GUEST_A if "guest_id" in text else "https://x.com/1"]
    plan = rolled_back.execute(statement.encode(), values or None).fetchall()
    assert any(index[1] in line for (line,) in plan), plan
