"""The area `plans` with the declarations of other sources."""

from dataclasses import replace
from pathlib import Path

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity, Verification
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS

STRUCTURE = '{"schemas": [], "relations": ["public.notes"], "functions": [], "facts": []}'
DECLARED = """
ids = ["reader"]
[identities.user]
role = "authenticated"
claims = { sub = "$reader" }
[[query]]
name = "mine"
index = "public.notes_owner"
columns = ["owner"]
as = ["user"]
sql = "select * from public.notes where owner = (select auth.uid()) and note like 'a%%'"
"""
NOTES = """
create table public.notes (owner uuid, note text, parent uuid);
create index notes_owner on public.notes (owner) where owner is not null;
alter table public.notes enable row level security;
grant select on public.notes to authenticated;
create policy "own" on public.notes for select to authenticated using (owner = (select auth.uid()) and note like '%');
"""
# newer and equally cheap: the planner chooses it, so only a proof shows that the declared index is
# usable
RIVAL = "create index rival on public.notes (owner) where not owner is null and true"


@pytest.fixture
def declarations(tmp_path: Path) -> Path:
    """A folder with the declarations of other sources."""
    (tmp_path / "structure.json").write_text(STRUCTURE)
    (tmp_path / "plans.toml").write_text(DECLARED)
    return tmp_path


def verify_plans(connection: Connection, folder: Path) -> Verification:
    return verify(connection, replace(EXPECTATIONS, directory=folder), ("plans",))


@pytest.mark.parametrize("missing", ["plans.toml", "structure.json"])
def test_missing_declaration_is_unchecked(
    rolled_back: Connection, declarations: Path, missing: str
) -> None:
    (declarations / missing).unlink()
    result = verify_plans(rolled_back, declarations)
    assert result.unchecked == ("plans",)
    assert [(f.severity, f.object) for f in result.findings] == [(Severity.WARNING, missing)]


def test_declared_queries_are_checked(rolled_back: Connection, declarations: Path) -> None:
    rolled_back.execute(NOTES.encode())
    result = verify_plans(rolled_back, declarations)
    assert (result.findings, result.unchecked) == ((), ())
    assert "plans:mine:user" in {case.id for case in result.cases}
    rolled_back.execute(
        'alter policy "own" on public.notes using (owner = auth.uid()); drop index public.notes_owner'
    )
    assert {f.id for f in verify_plans(rolled_back, declarations).findings} == {
        "plans:once:public.notes:select:user",
        "plans:index:public.notes_owner",
    }


@pytest.mark.parametrize("rival", ["create index rival on public.notes using hash (owner)", RIVAL])
def test_predicate_is_proved_if_another_index_is_as_cheap(
    rolled_back: Connection, declarations: Path, rival: str
) -> None:
    rolled_back.execute(NOTES.encode())
    rolled_back.execute(rival.encode())
    assert [
        f for f in verify_plans(rolled_back, declarations).findings if f.id == "plans:mine:user"
    ] == []
    rolled_back.execute(
        "drop index public.notes_owner; create index notes_owner on public.notes (owner) where"
        " note > 'b'"
    )
    [finding] = [
        f for f in verify_plans(rolled_back, declarations).findings if f.id == "plans:mine:user"
    ]
    assert finding.severity is Severity.ERROR


def test_query_without_proof_is_unchecked(rolled_back: Connection, declarations: Path) -> None:
    """The condition depends on the rows of a table."""
    text = DECLARED.replace("(select auth.uid())", "(select parent from public.notes limit 1)")
    (declarations / "plans.toml").write_text(text)
    rolled_back.execute(NOTES.encode())
    rolled_back.execute("create index rival on public.notes using hash (owner)")
    result = verify_plans(rolled_back, declarations)
    assert result.unchecked == ("plans",)
    [finding] = result.findings
    assert (finding.id, finding.severity) == ("plans:mine:user", Severity.WARNING)
