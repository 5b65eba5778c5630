"""Functions for whoever has the text of a link, whatever its column is called."""

import pytest

from supabase_jobs.database.connection import Connection
from tests.audit.conftest import run_audit

LINKS = """
create table public.partages (
  id uuid primary key default gen_random_uuid(), jeton text not null unique,
  cree_par uuid not null references auth.users, titre text not null, expire_le timestamptz not null
);
alter table public.partages enable row level security;
create policy "own" on public.partages to authenticated
using (cree_par = (select auth.uid())) with check (cree_par = (select auth.uid()));
"""
OPEN = """
create function public.ouvrir(p_jeton text) returns text
language sql stable security definer set search_path = '' as $$
select p.titre from public.partages as p where p.jeton = p_jeton and {}
$$;
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_who_has_a_text_that_ends_may_use_it(project: Connection) -> None:
    project.execute(LINKS.encode())
    project.execute(OPEN.format("p.expire_le > now()").encode())
    assert _reads(project) == set()


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_a_text_that_finds_its_row_for_ever_may_be_known(project: Connection) -> None:
    project.execute(LINKS.encode())
    project.execute(OPEN.format("true").encode())
    assert _reads(project) == {"error"}


def _reads(project: Connection) -> set[str]:
    """The severities of findings about rows that the function shows."""
    found = run_audit(project, repairs=False).findings
    return {f.severity.value for f in found if f.id.startswith("function-reads:public.ouvrir")}
