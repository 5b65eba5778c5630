"""docs/ledger.md: each of the five ways is made, and its command does what the page says."""

import re
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Run
from tests.fix_db import Make
from tests.migrations.helpers import write

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
FIRST, SECOND = "create table public.a (id bigint);\n", "create table public.b (id bigint);\n"
LEDGER = "supabase_migrations.schema_migrations"
# heading → what somebody did after `apply`, and the state that status shows before
WAYS = {
    "An agent applied the file under its own version": (
        f"update {LEDGER} set version = '20260401000000', name = 'by_agent'"
        " where version = '20260201000000'",
        "renamed",
    ),
    "A migration was applied whose file is not here": (
        f"insert into {LEDGER} values ('20260301000000', array['select 1'], 'other')",
        "remote-only",
    ),
    "The SQL of a file was run by hand": (
        f"delete from {LEDGER} where version = '20260201000000'",
        "pending",
    ),
    "A file was edited after it was applied": (
        f"update {LEDGER} set statements = array['create table public.b (id integer)']"
        " where version = '20260201000000'",
        "edited",
    ),
    "The database was changed beside the migrations": (
        "revoke delete on public.a from anon; alter table public.a add column by_hand text",
        "applied",
    ),
}


def command(heading: str) -> list[str]:
    """The one command of a section."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    [block] = re.findall(r"```sh\n(.*?)\n```", section)
    program, *words = str(block).split()
    assert program == "supabase-jobs"
    return words


@pytest.mark.slow
@pytest.mark.parametrize("heading", WAYS)
def test_each_way_has_one_command(
    heading: str, make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    done, state = WAYS[heading]
    url = make_database("platform").url
    folder = tmp_path / "project" / "supabase" / "migrations"
    folder.mkdir(parents=True)
    there = tmp_path / "project"
    write(folder, "20260101000000_a.sql", FIRST)
    write(folder, "20260201000000_b.sql", SECOND)
    assert cli("apply", "--db-url", url, cwd=there).code == 0
    with psycopg.connect(url) as connection:
        connection.execute(done.encode())
    before = cli("status", "--json", "--db-url", url, cwd=there).json["migrations"]
    assert state in [m["state"] for m in before]
    words = command(heading)
    if words == ["adopt"]:
        assert cli(*words, "--yes", "--db-url", url, cwd=there).code == 0
        assert cli("status", "--exit-code", "--db-url", url, cwd=there).code == 0
    elif words == ["drift"]:
        ran = cli(*words, "--no-access", "--db-url", url, cwd=there)
        assert "add column by_hand text" in ran.out
        assert "grant all on table public.a to anon;" in ran.out
    else:
        ran = cli(*words, "--db-url", url, cwd=there)
        assert "+create table public.b (id bigint);" in ran.out


def test_the_table_of_the_page_names_each_way_with_its_command() -> None:
    rows = re.findall(r"^\| .* \| \[.*\]\(#([\w-]+)\) \| `(.*)` \|$", PAGE, flags=re.MULTILINE)
    anchors = [heading.lower().replace(" ", "-") for heading in WAYS]
    assert [anchor for anchor, _ in rows] == anchors
    assert [words.split()[1:] for _, words in rows] == [command(heading) for heading in WAYS]
