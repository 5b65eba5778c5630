"""The command `audit` on a folder that holds only migrations: no database and no configuration."""

import html
import json
import re
import shlex
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from supabase_jobs.local import server
from tests.audit.catalogue import PROJECTS, project
from tests.fix_cli import Run

pytestmark = pytest.mark.slow
# a trigger refuses every plan but those of the seed, and a subscription needs one
# no value for a plan is in a text: the seed knows it
_PLANS = """
create table plans (name text primary key);
create function only_seeds() returns trigger language plpgsql as $$
begin
  if md5(new.name) <> 'aa2d6e4f578eb0cfaba23beef76c2194' then raise exception 'plans come from the seed'; end if;
  return new;
end $$;
create trigger only_seeds before insert on plans for each row execute function only_seeds();
create table subscriptions (
  user_id uuid primary key references auth.users, plan text not null default 'free' references plans
);
alter table plans enable row level security;
alter table subscriptions enable row level security;
create policy "own" on subscriptions for select using (user_id = auth.uid());
"""
on_the_session_server = pytest.mark.usefixtures("embedded")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the migrations of the project teams."""
    shutil.copytree(PROJECTS / "teams" / "supabase", tmp_path / "teams" / "supabase")
    return tmp_path / "teams"


def test_audit_of_migrations_without_a_database(cli: Run, folder: Path) -> None:
    started = time.monotonic()
    ran = cli("audit", cwd=folder)
    assert ran.code == 0, ran.err
    assert time.monotonic() - started < 5 * 2  # twice the limit: the machine runs other tests
    assert "public.team_members" in ran.out
    assert "rows for 7 of 7 tables" in ran.out
    assert max(len(line) for line in ran.out.splitlines() if not line.endswith(";")) <= 100
    assert not list(folder.glob(".supabase-jobs*"))


# the company of a new user is in the metadata
_COMPANIES = """
create table companies (id uuid primary key, name text not null);
create table profiles (id uuid primary key references auth.users, company_id uuid not null references companies);
create function on_sign_up() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles values (new.id, (new.raw_user_meta_data ->> 'company_id')::uuid);
  return new;
end $$;
create trigger on_sign_up after insert on auth.users for each row execute function on_sign_up();
create function my_company() returns uuid language sql stable security definer set search_path = ''
as $$ select company_id from public.profiles where id = auth.uid() $$;
create table orders (id uuid primary key, company_id uuid not null references companies, note text);
alter table companies enable row level security;
alter table profiles enable row level security;
alter table orders enable row level security;
create policy "own" on profiles for select using (id = auth.uid());
create policy "of the company" on companies for select using (id = my_company());
create policy "of the company" on orders for select using (company_id = my_company());
"""


@on_the_session_server
def test_new_users_are_put_into_the_companies_of_the_tenants(cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "supabase" / "migrations" / "20260101000000_companies.sql"
    file.parent.mkdir(parents=True)
    file.write_text(_COMPANIES)
    ran = cli("audit", "--json", cwd=tmp_path)
    assert "error" not in ran.json, ran.json["error"]
    untested = [item["object"] for item in ran.json["coverage"]["not_tested"]]
    reads = {item["object"]: item["select"] for item in ran.json["access"]}
    assert (untested, reads["public.orders"]) == ([], "group")


@on_the_session_server
def test_audit_exits_1_for_a_leak_and_prints_json(cli: Run, folder: Path) -> None:
    [fault] = [f for f in project("teams").faults if f.name == "anyone signed in can join a team"]
    (folder / "supabase" / "migrations" / "20250101000000_fault.sql").write_text(fault.sql)
    ran = cli("audit", "--json", cwd=folder)
    assert ran.code == 1
    assert ran.json["ok"] is False
    assert "escalation:public.team_members:insert" in {
        finding["id"] for finding in ran.json["findings"]
    }
    assert ran.json["coverage"]["tables"] == ran.json["coverage"]["planted"] == 7
    assert {"object", "caller", "whose", "action", "outcome"} == set(ran.json["matrix"][0])


@pytest.mark.parametrize("words", [(), ("--json",), ("--update-baseline",)])
@pytest.mark.parametrize("is_folder", [False, True])
def test_audit_without_migrations_is_refused(
    cli: Run, tmp_path: Path, words: tuple[str, ...], is_folder: bool
) -> None:
    if is_folder:
        (tmp_path / "supabase" / "migrations").mkdir(parents=True)
    ran = cli("audit", *words)
    assert ran.code == 2
    for text in (
        "no migrations in supabase/migrations",
        "Run it in the project's folder, or pass --migrations DIR, the folder with the SQL files, or --db-url URL.",
    ):
        assert text in ran.out + ran.err
    assert not (tmp_path / "supabase" / "access.toml").exists()


def test_audit_of_a_database_in_which_requests_reach_nothing_fails(
    cli: Run, platform_url: str
) -> None:
    ran = cli("audit", "--json", "--db-url", platform_url)
    assert (ran.code, ran.json["ok"], ran.json["matrix"]) == (1, False, [])
    [untested] = ran.json["coverage"]["not_tested"]
    assert (untested["object"], untested["fails"]) == ("database", True)
    assert (
        untested["why"]
        == "requests reach no table, view or function in the schemas public, graphql_public"
    )
    text = cli("audit", "--db-url", platform_url).out
    assert "not tested: database: requests reach no table" in text
    assert "\nFAILED: no findings, 1 object not tested; rows for 0 of 0 tables, 0 cells, " in text
    assert "[excluded]" not in text  # which names tables


@on_the_session_server
def test_seed_inserts_the_rows_that_generated_rows_need(cli: Run, tmp_path: Path) -> None:
    migrations = tmp_path / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "20250101000000_plans.sql").write_text(_PLANS)
    ran = cli("audit", "--seed", cwd=tmp_path)
    assert (ran.code, "no seed file matches" in ran.err) == (2, True)

    (tmp_path / "supabase" / "seed.sql").write_text(
        "insert into plans values ('free');\n\nselect 1/0;\n"
    )
    ran = cli("audit", "--seed", "--json", cwd=tmp_path)
    assert ran.code == 6
    assert (ran.json["error"]["file"].endswith("supabase/seed.sql"), ran.json["error"]["line"]) == (
        True,
        3,
    )
    assert ran.json["error"]["message"].startswith(
        "seed.sql failed and was rolled back: division by zero"
    )

    (tmp_path / "supabase" / "config.toml").write_text(
        '[db.seed]\nsql_paths = ["./seeds/*.sql", "seed.sql"]\n'
    )
    (tmp_path / "supabase" / "seed.sql").write_text("select 1 / count(*) from plans;\n")
    (tmp_path / "supabase" / "seeds").mkdir()
    (tmp_path / "supabase" / "seeds" / "a.sql").write_text("insert into plans values ('free');\n")
    without, seeded = (
        cli("audit", "--json", *seed, cwd=tmp_path).json["coverage"] for seed in ((), ("--seed",))
    )
    assert (without["planted"], seeded["planted"]) == (0, 1)


def test_seed_conflicts_with_a_database(cli: Run, folder: Path) -> None:
    for other in (
        ("--db-url", "postgresql://postgres@127.0.0.1:1/postgres"),
        ("--migrations-from", "main"),
    ):
        ran = cli("audit", "--seed", *other, cwd=folder)
        assert (ran.code, "--seed" in ran.err) == (2, True)


@on_the_session_server
def test_sarif_and_annotations_have_the_line_of_the_policy(cli: Run, folder: Path) -> None:
    file = folder / "supabase" / "migrations" / "20250101000000_fault.sql"
    file.write_text('-- everyone\n\ncreate policy "open" on comments for update using (true);\n')
    ran = cli(
        "audit",
        "--format",
        "sarif",
        "--output",
        "audit.sarif",
        cwd=folder,
        GITHUB_ACTIONS="true",
        GITHUB_WORKSPACE=str(folder),
    )
    assert ran.code == 1, ran.err
    results = json.loads((folder / "audit.sarif").read_text())["runs"][0]["results"]
    places = [
        result["locations"][0]["physicalLocation"]
        for result in results
        if result["level"] == "error"
    ]
    assert {(p["artifactLocation"]["uri"], p["region"]["startLine"]) for p in places} == {
        ("supabase/migrations/20250101000000_fault.sql", 3)
    }
    annotations = [line for line in ran.err.splitlines() if line.startswith("::error ")]
    assert len(annotations) == len(places)
    assert annotations[0].startswith(
        "::error file=supabase/migrations/20250101000000_fault.sql,line=3,title="
    )
    assert "verify" not in annotations[0]


@on_the_session_server
def test_html_has_the_sql_and_the_request_of_each_cell(cli: Run, folder: Path) -> None:
    ran = cli("audit", "--format", "html", "--output", "audit.html", cwd=folder)
    assert ran.code == 0, ran.err
    page = html.unescape((folder / "audit.html").read_text())
    assert len(page.encode()) < 500_000
    assert "no room for their SQL" not in page
    commands = re.findall(r"curl [^<]*", page)
    assert len(commands) > 50
    for command in commands:
        words = shlex.split(command)
        url = urlsplit(next(word for word in words if word.startswith("$SUPABASE_URL/")))
        assert re.fullmatch(r"\$SUPABASE_URL/rest/v1/\w+", url.path)
        assert "-X" in words or url.query, "a read without a filter"
        for body in (words[n + 1] for n, word in enumerate(words) if word == "-d"):
            assert isinstance(json.loads(body), dict)
    assert 'update "public"."profiles" set' in page
    assert 'declare "audit_row_' in page
    assert "select set_config('request.jwt.claims'" in page


@on_the_session_server
def test_update_baseline_and_then_a_deviation(cli: Run, folder: Path) -> None:
    written = cli("audit", "--update-baseline", cwd=folder)
    assert written.code == 0, written.err
    file = folder / "supabase" / "access.toml"
    assert '"public.comments" = { stranger = "none"' in file.read_text()
    (folder / "supabase" / "migrations" / "20250101000000_fault.sql").write_text(
        'create policy "comments: public" on public.comments for select using (true)'
    )
    ran = cli("audit", "--json", cwd=folder)
    assert ran.code == 1
    ids = {finding["id"] for finding in ran.json["findings"] if finding["severity"] == "error"}
    assert "baseline:public.comments:anon:read:wider" in ids


def test_baseline_of_a_part_is_refused(cli: Run, folder: Path) -> None:
    ran = cli("audit", "--update-baseline", "--table", "public.teams", cwd=folder)
    assert ran.code == 2
    assert "--update-baseline needs the whole project" in ran.err


def test_files_that_the_local_server_lacks_are_not_tested(cli: Run, folder: Path) -> None:
    """The server that runs is audited, and the leak is in the file that it does not have."""
    migrations = folder / "supabase" / "migrations"
    [fault] = [f for f in project("teams").faults if f.name == "anyone signed in can join a team"]
    leak, first = migrations / "20990101000000_leak.sql", min(migrations.iterdir())
    try:
        for words in (("local", "start"), ("apply",)):
            assert cli(*words, cwd=folder).code == 0
        assert cli("audit", cwd=folder).code == 0
        leak.write_text(fault.sql)
        ran = cli("audit", cwd=folder)
        assert (ran.code, "1 object not tested" in ran.out) == (1, True)
        assert f"not tested: {leak.name}: the local server does not have this file" in ran.out
        assert cli("audit", "--update-baseline", cwd=folder).code == 0
        assert leak.name[:14] not in (folder / "supabase" / "access.toml").read_text()
        first.write_text(f"{first.read_text()}\nalter table public.teams add column extra text;")
        untested = cli("audit", "--json", cwd=folder).json["coverage"]["not_tested"]
        assert [item["object"] for item in untested] == [first.name, leak.name]
    finally:
        server.remove(folder)


@on_the_session_server
def test_the_line_of_a_leak_by_a_new_column_is_that_of_the_column(cli: Run, tmp_path: Path) -> None:
    """The policy that permits it is older, and in no diff of the change that opens the leak."""
    migrations = tmp_path / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "20260101000000_people.sql").write_text(
        "create table people (id uuid primary key references auth.users, name text);\n"
        "alter table people enable row level security;\n"
        'create policy "own" on people using (id = auth.uid());\n'
        "create table cases (id uuid primary key, title text);\n"
        "alter table cases enable row level security;\n"
    )
    (migrations / "20260102000000_admins.sql").write_text(
        "\nalter table people add column is_admin boolean not null default false;\n"
        'create policy "admins" on cases for select to authenticated using (\n'
        "  (select p.is_admin from people as p where p.id = auth.uid()));\n"
    )
    findings = cli("audit", "--json", cwd=tmp_path).json["findings"]
    found = {f["id"]: (f["file"], f["line"]) for f in findings if f["severity"] == "error"}
    place = "supabase/migrations/20260102000000_admins.sql", 2
    assert place in found.values(), found


@on_the_session_server
def test_a_statement_that_fails_is_an_error_at_its_line(cli: Run, tmp_path: Path) -> None:
    migrations = tmp_path / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "20260101000000_notes.sql").write_text(
        "create table notes (id uuid primary key, title text);\n"
        "alter table notes enable row level security;\n"
    )
    (migrations / "20260102000000_broken.sql").write_text("\nselect this is no sql;\n")
    place = "20260102000000_broken.sql:2"
    workspace = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}
    ran = cli("audit", cwd=tmp_path, **workspace)
    assert (ran.code, f"not tested: {place}: failed: 42601: " in ran.out) == (1, True)
    [annotation] = [line for line in ran.err.splitlines() if line.startswith("::")]
    assert annotation.startswith(
        "::error file=supabase/migrations/20260102000000_broken.sql,line=2,title="
    )
