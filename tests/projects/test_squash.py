"""`squash`: one migration for several, written only if it is proven that it does the same."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.errors import ConfigError
from supabase_jobs.migrations.ledger import LedgerRow
from supabase_jobs.migrations.squashes import squashed_versions
from supabase_jobs.projects.built import Built
from supabase_jobs.projects.migrated import apply_to
from supabase_jobs.projects.narration import SILENT
from supabase_jobs.projects.squash import (
    Build,
    Reference,
    find_range,
    lost,
    reference,
    shortened,
)
from supabase_jobs.sources.files import Migration, MigrationFiles
from tests.fix_cli import Run, SupabaseCli
from tests.fix_db import Database, Make
from tests.migrations.helpers import LEDGER, rows, write
from tests.programs import DEFAULT_MAJOR

PROJECTS = Path(__file__).parents[1] / "data" / "projects"
NAMES = sorted(path.name for path in PROJECTS.iterdir())
FILES = {
    "20260101000000_first.sql": """
create table public.notes (id bigint, owner uuid default auth.uid(), at timestamptz default now());
create sequence public.numbers owned by public.notes.id;
create function public.is_own(o uuid) returns boolean language sql stable as 'select o is null';
comment on table public.notes is 'First.';
create view public.mine as select id from public.notes;
create function public.touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touch before update on public.notes for each row execute function public.touch();
""",
    "20260102000000_second.sql": """
set search_path = public;
alter table notes enable row level security;
create policy own on notes to authenticated using (is_own(owner));
create policy files on storage.objects for select to authenticated using (bucket_id = 'files');
insert into storage.buckets (id, name) values ('files', 'files');
revoke all on notes from anon;
grant select on notes to anon;
create or replace function is_own(o uuid) returns boolean language sql stable as 'select o = auth.uid()';
comment on table notes is 'Of users.';
""",
    "20260103000000_third.sql": """
alter table public.notes disable trigger touch;
alter view public.mine set (security_invoker = true);
alter default privileges in schema public revoke all on tables from anon;
insert into public.notes (id, owner) values (1, null), (2, gen_random_uuid());
do $$ begin update public.notes set id = 3 where id = 2; end $$;
select cron.schedule('nightly', '0 3 * * *', 'select 1');
""",
}


def migrations(files: dict[str, str]) -> MigrationFiles:
    found = []
    for name, text in files.items():
        version, _, rest = name.partition("_")
        found.append(Migration(version, rest.removesuffix(".sql"), text, name))
    return MigrationFiles(found)


CHOSEN = find_range(migrations(FILES), "20260101000000..20260103000000")


@pytest.fixture(scope="module")
def build(request: pytest.FixtureRequest) -> Build:
    """Build migrations in a new database of the session's server."""
    template: Database = request.getfixturevalue(f"services_{DEFAULT_MAJOR}")
    numbers = count()

    @contextmanager
    def built(files: MigrationFiles) -> Iterator[Built]:
        name = f"squash_{next(numbers)}"
        template.server.create(name, template.name)
        database = Database(template.server, name)
        try:
            with connect(database.url) as connection:
                apply_to(connection, database.superuser_url, files, SILENT)
            place = SimpleNamespace(url=database.url, own_url=database.superuser_url)
            yield Built(cast(Any, place), ())
        finally:
            template.server.drop(name)

    def build(files: MigrationFiles) -> AbstractContextManager[Built]:
        return built(files)

    return build


@pytest.fixture(scope="module")
def expected(build: Build) -> Reference:
    return reference(build, CHOSEN)


@pytest.fixture(scope="module")
def squashed(build: Build, expected: Reference) -> str:
    text, differences = shortened(build, CHOSEN, expected)
    assert differences == []
    return text


def test_the_new_text_leaves_out_what_a_later_statement_replaces(squashed: str) -> None:
    assert "First." not in squashed
    # the policy needs the first version of the function, and a view is created once
    assert "create function public.is_own" in squashed
    # data and blocks stay in their order
    assert squashed.index("insert into public.notes") < squashed.index("do $$")
    assert "reset all;" in squashed


def test_the_header_names_the_files_until_the_text_is_edited(squashed: str) -> None:
    versions = tuple(m.version for m in CHOSEN.files)
    statements = tuple(s.text for s in CHOSEN.migration(squashed).statements)
    assert squashed_versions(LedgerRow("1", "x", statements)) == versions
    edited = tuple(s.replace("'files'", "'other'") for s in statements)
    assert squashed_versions(LedgerRow("1", "x", edited)) == ()
    assert squashed_versions(LedgerRow("1", "x", None)) == ()


# what a squash may lose: the statement, its replacement, and how the loss is named
LOSSES = {
    "a grant": ("grant select on notes to anon;", "", 'grant "anon" of public.notes is lost'),
    "a cron job": (
        "select cron.schedule('nightly', '0 3 * * *', 'select 1');",
        "",
        "cron job of nightly is lost",
    ),
    "a policy of Storage": (
        "create policy files on storage.objects for select to authenticated using"
        " (bucket_id = 'files');",
        "",
        'policy "files" of storage.objects is lost',
    ),
    "a view option": (
        "alter view public.mine set (security_invoker = true);",
        "",
        'option "security_invoker" of public.mine is lost',
    ),
    "a comment": ("comment on table notes is 'Of users.';", "", "comment of public.notes is lost"),
    "default privileges": (
        "alter default privileges in schema public revoke all on tables from anon;",
        "",
        'default privileges "tables of postgres to anon" of public is new',
    ),
    "a disabled trigger": (
        "alter table public.notes disable trigger touch;",
        "",
        'state of trigger "touch" of public.notes is lost',
    ),
    "rows": (
        "(1, null), (2, gen_random_uuid())",
        "(2, gen_random_uuid())",
        "rows of public.notes: 1 instead of 2",
    ),
    "a value": (
        "(1, null), (2, gen_random_uuid())",
        "(7, null), (2, gen_random_uuid())",
        "rows of public.notes: other values in id",
    ),
    "a block": (
        "do $$ begin update public.notes set id = 3 where id = 2; end $$;",
        "",
        "rows of public.notes: other values in id",
    ),
    "the owner of a sequence": (
        " owned by public.notes.id",
        "",
        "owned by of public.numbers is lost",
    ),
    "the role of a policy": (
        "create policy own on notes to authenticated",
        "create policy own on notes",
        'policy "own" of public.notes is another',
    ),
    "a bucket": (
        "insert into storage.buckets (id, name) values ('files', 'files');",
        "",
        "bucket of files is lost",
    ),
}


@pytest.mark.parametrize(
    "loss",
    [pytest.param(n, marks=[pytest.mark.slow] if i > 1 else []) for i, n in enumerate(LOSSES)],
)
def test_each_loss_is_named(loss: str, squashed: str, build: Build, expected: Reference) -> None:
    old, new, phrase = LOSSES[loss]
    assert old in squashed
    assert phrase in lost(build, CHOSEN, squashed.replace(old, new), expected)


def test_rows_whose_values_are_combined_otherwise_differ(build: Build) -> None:
    files = migrations(
        {
            "1_t.sql": "create table t (a int, b int);",
            "2_rows.sql": "insert into t values (1, 2), (3, 4);",
        }
    )
    chosen = find_range(files, "1..2")
    wanted = reference(build, chosen)
    text = "create table t (a int, b int); insert into t values (1, 4), (3, 2);"
    assert lost(build, chosen, text, wanted) == ["rows of public.t: other combinations of values"]


def test_a_text_that_fails_in_one_transaction_is_refused(build: Build) -> None:
    files = migrations(
        {
            "1_type.sql": "create type mood as enum ('ok');",
            "2_label.sql": "alter type mood add value 'sad';",
            "3_use.sql": "create table t (m mood default 'sad' check (m <> 'sad'));",
        }
    )
    # PostgreSQL allows the new label of a type that the same transaction has created
    chosen = find_range(files, "2..3")
    text, differences = shortened(build, chosen, reference(build, chosen))
    assert "add value 'sad'" in text
    [phrase] = differences
    assert phrase.startswith("it does not run in one transaction: ")


@pytest.mark.parametrize("words", ["1", "1..", "1..9", "2..1", "..", "x..y"])
def test_a_range_names_two_versions(words: str) -> None:
    with pytest.raises(ConfigError, match="is not a range"):
        find_range(migrations({"1_a.sql": "select 1", "2_b.sql": "select 2"}), words)


def test_a_file_without_a_transaction_is_refused() -> None:
    text = "--! transaction:false\ncreate index concurrently i on t (a);"
    with pytest.raises(ConfigError, match=r"2_b\.sql cannot run in a transaction"):
        find_range(migrations({"1_a.sql": "select 1", "2_b.sql": text}), "1..2")


# -------------------------------------------------------------------------------------------------
# the command


def folder(tmp_path: Path, files: dict[str, str]) -> Path:
    there = tmp_path / "project"
    (there / "supabase" / "migrations").mkdir(parents=True)
    (there / "supabase" / "config.toml").write_text('project_id = "squash"\n')
    for name, text in files.items():
        write(there / "supabase" / "migrations", name, text)
    return there


RANGE = "20260101000000..20260103000000"


@pytest.mark.slow
def test_the_squash_of_a_new_database_becomes_the_ledger_of_the_originals(
    make_database: Make, tmp_path: Path, cli: Run, supabase: SupabaseCli, embedded: None
) -> None:
    there = folder(tmp_path, FILES)
    out = there / "20260103000000_squash.sql"
    ran = cli("squash", RANGE, "--out", str(out), "--json", cwd=there)
    assert ran.code == 0, ran.err
    assert (ran.json["ok"], ran.json["lost"], ran.json["file"]) == (True, [], str(out))
    assert len(list((there / "supabase" / "migrations").iterdir())) == len(FILES)

    checked = cli("squash", RANGE, "--check", str(out), "--json", cwd=there)
    assert (checked.code, checked.json["lost"]) == (0, [])
    shorter = tmp_path / "shorter.sql"
    shorter.write_text(out.read_text().replace("grant select on notes to anon;", ""))
    refused = cli("squash", RANGE, "--check", str(shorter), "--json", cwd=there)
    assert (refused.code, refused.json["ok"]) == (1, False)
    assert 'grant "anon" of public.notes is lost' in refused.json["lost"]

    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(out, alone)
    new = make_database("services")
    assert cli("apply", "--db-url", new.url, "--migrations", str(alone), cwd=there).code == 0
    adopted = cli("adopt", "--yes", "--json", "--db-url", new.url, cwd=there)
    assert adopted.code == 0, adopted.err
    assert {c["action"] for c in adopted.json["changes"]} == {"write-row"}
    pushed = supabase("db", "push", "--dry-run", url=new.url, cwd=there)
    assert "up to date" in pushed.out + pushed.err
    versions = [m.version for m in CHOSEN.files]
    assert [row[0] for row in rows(new.url, LEDGER)] == versions
    assert cli("status", "--exit-code", "--db-url", new.url, cwd=there).code == 0


@pytest.mark.slow
def test_a_project_that_cannot_be_audited_is_compared_without_the_audit(
    tmp_path: Path, cli: Run, embedded: None
) -> None:
    refusing = """
create function public.refuse() returns trigger language plpgsql
as $$ begin raise exception 'no new users'; end $$;
create trigger refuse before insert on auth.users for each row execute function public.refuse();
"""
    there = folder(tmp_path, {"1_a.sql": "create table a (id int);", "2_b.sql": refusing})
    ran = cli("squash", "1..2", "--json", cwd=there)
    assert (ran.code, ran.json["lost"]) == (0, []), ran.err
    assert "no new users" in ran.json["not_audited"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_example_project_can_be_squashed(
    name: str, tmp_path: Path, cli: Run, embedded: None
) -> None:
    there = tmp_path / name
    shutil.copytree(PROJECTS / name / "supabase", there / "supabase")
    versions = sorted(p.name.partition("_")[0] for p in there.rglob("*.sql"))
    ran = cli("squash", f"{versions[0]}..{versions[-1]}", "--json", cwd=there)
    assert (ran.code, ran.json["lost"]) == (0, []), ran.err


def test_the_new_file_is_not_written_beside_the_originals(tmp_path: Path, cli: Run) -> None:
    there = folder(tmp_path, FILES)
    ran = cli("squash", RANGE, "--out", "supabase/migrations/x.sql", cwd=there)
    assert (ran.code, "beside the originals" in ran.err) == (2, True)
    ran = cli("squash", RANGE, "--out", "nowhere/x.sql", cwd=there)
    assert (ran.code, "no folder" in ran.err) == (2, True)


def test_a_run_that_is_killed_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    out = tmp_path / "squash.sql"
    out.write_text("before")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom supabase_jobs.sources import files\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_sql(Path(sys.argv[1]), 'after')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(out)], env={**os.environ}, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert out.read_text() == "before"


def squash_process(there: Path) -> subprocess.Popen[str]:
    """A program of its own, which writes the squash of all files."""
    words = ["squash", RANGE, "--out", "squash.sql"]
    return subprocess.Popen(
        [sys.executable, "-m", "supabase_jobs", *words],
        cwd=there,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_runs_at_once_write_the_same_file(tmp_path: Path) -> None:
    there = folder(tmp_path, FILES)
    with squash_process(there) as first, squash_process(there) as second:
        errors = [run.communicate(timeout=120)[1] for run in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], errors
    assert (there / "squash.sql").read_text().startswith("-- ")
    assert {path.name for path in there.iterdir()} == {"supabase", "squash.sql"}


@pytest.mark.slow
def test_runs_that_are_killed_at_any_time_leave_no_half_of_a_file(tmp_path: Path) -> None:
    there = folder(tmp_path, FILES)
    for seconds in (0.5, 1.5, 3):
        with squash_process(there) as run:
            with suppress(subprocess.TimeoutExpired):
                run.communicate(timeout=seconds)
            run.kill()
        assert run.returncode in (0, -signal.SIGKILL)
        assert run.returncode == 0 or not (there / "squash.sql").exists()
        (there / "squash.sql").unlink(missing_ok=True)
