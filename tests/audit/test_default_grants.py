"""`audit --default-grants`: one project with default privileges on and off."""

from pathlib import Path

import pytest

from tests.fix_cli import Run
from tests.fix_db import Database

pytestmark = pytest.mark.slow
SHOP = """
create table public.notes (id int primary key, owner uuid not null references auth.users);
alter table public.notes enable row level security;
create policy "own notes" on public.notes using (owner = (select auth.uid()));
create table public.plans (id int primary key);
alter table public.plans enable row level security;
create policy "everybody" on public.plans for select using (true);
revoke all on public.plans from anon, authenticated;
grant select on public.plans to anon, authenticated;
"""
OFF = "[api]\nauto_expose_new_tables = false\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "supabase" / "migrations" / "20260101000000_shop.sql"
    file.parent.mkdir(parents=True)
    file.write_text(SHOP)
    return tmp_path


def access(document: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {item["object"]: item["select"] for item in document["access"]}


def test_what_the_other_state_breaks_is_reported_beside_both_matrices(cli: Run, shop: Path) -> None:
    ran = cli("audit", "--default-grants", "both", cwd=shop)
    assert "default privileges: on" in ran.err
    assert "Broken access with default privileges off: table public.notes" in ran.out
    assert "Wider access" not in ran.out
    [_, other] = ran.out.split("table with default privileges off")
    matrix, _, _ = other.partition("\n\n")
    assert "public.plans" in matrix
    assert "public.notes" not in matrix


def test_both_matrices_are_data(cli: Run, shop: Path) -> None:
    ran = cli("audit", "--default-grants", "both", "--json", cwd=shop)
    other = ran.json["other_default_grants"]
    assert (ran.json["default_grants"], other["default_grants"]) == ("on", "off")
    assert access(ran.json) == {"public.notes": "own", "public.plans": "all"}
    assert access(other) == {"public.plans": "all"}
    [change] = other["changes"]
    assert (change["object"], change["change"]) == ("public.notes", "removed")


def test_what_the_other_state_opens_is_reported(cli: Run, shop: Path) -> None:
    (shop / "supabase" / "config.toml").write_text(OFF)
    ran = cli("audit", "--default-grants", "both", "--json", cwd=shop)
    assert ran.json["default_grants"] == "off"
    assert "public.notes" not in access(ran.json)
    assert access(ran.json["other_default_grants"])["public.notes"] == "own"
    changes = {change["change"] for change in ran.json["other_default_grants"]["changes"]}
    assert changes == {"new"}


def test_a_state_can_be_chosen(cli: Run, shop: Path) -> None:
    ran = cli("audit", "--default-grants", "off", "--json", cwd=shop)
    assert "default privileges: off" in ran.err
    assert (ran.json["default_grants"], access(ran.json)) == ("off", {"public.plans": "all"})


def test_the_state_of_a_database_is_its_own(cli: Run, platform_url: str, shop: Path) -> None:
    ran = cli("audit", "--default-grants", "both", "--db-url", platform_url, cwd=shop)
    assert ran.code == 2
    assert "--default-grants needs the embedded server" in ran.err


def test_the_state_of_a_database_is_reported(cli: Run, in_use: Database) -> None:
    ran = cli("audit", "--db-url", in_use.url, "--json")
    assert ran.json["default_grants"] == "on"
    assert "default privileges: on" in ran.err
