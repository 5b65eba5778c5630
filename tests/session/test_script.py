"""The scripts of cases: pasted into psql, they have the same outcome as in verify."""

import uuid
from collections.abc import Callable

import psycopg
import pytest

from supabase_jobs.findings import Verification
from supabase_jobs.session import script
from supabase_jobs.verify.structure import snapshot
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make
from tests.psql import psql_outcomes, run_in_psql


def outcomes(result: Verification) -> dict[str, str]:
    """The id of each cell of the access matrix → its outcome."""
    return {
        f"access:{grid.title}:{row}:{column}": cell
        for grid in result.grids
        for row, cells in zip(grid.rows, grid.cells, strict=True)
        for column, cell in zip(grid.columns, cells, strict=True)
    }


def samples(result: Verification) -> dict[str, str]:
    """One cell (id → outcome) for each outcome of each action."""
    kinds: dict[tuple[str, ...], str] = {}
    seen = outcomes(result)
    for id, cell in seen.items():
        _, title, _, action = id.rsplit(":", 3)
        kinds.setdefault((title, action, cell), id)
    return {id: seen[id] for id in kinds.values()}


def test_a_pasted_probe_has_the_same_outcome(shared: Callable[[int], str], each_major: int) -> None:
    with psycopg.connect(shared(each_major), autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("access",))
    cases = {str(case.id): case for case in result.cases}
    sampled = samples(result)
    assert {"rows", "hidden", "denied", "violates", "23514", "23505"} <= set(sampled.values())
    assert (
        psql_outcomes(shared(each_major), {id: result.script(cases[id]) for id in sampled})
        == sampled
    )


def test_a_pasted_probe_shows_the_fault(make_database: Make) -> None:
    url = make_database("applied").url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "alter table public.guest_users disable row level security; grant truncate, delete on"
            " public.async_jobs"
            ' to anon; alter policy "guests update their own jobs" on public.async_jobs with check (true)'
        )
        result = verify(connection, EXPECTATIONS, ("access",))
    cases = {str(case.id): case for case in result.cases}
    seen = outcomes(result)
    wrong = [f.id for f in result.findings]
    assert {id.rsplit(":", 1)[1] for id in wrong} >= {
        "truncate",
        "blind touch",
        "take over",
        "blind take over",
    }
    assert psql_outcomes(url, {id: result.script(cases[id]) for id in wrong}) == {
        id: seen[id] for id in wrong
    }


def test_the_script_of_every_cell_ends_with_a_rollback(shared: Callable[[int], str]) -> None:
    with psycopg.connect(shared(16), autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("access",))
    cells = outcomes(result)
    for case in [case for case in result.cases if case.id in cells]:
        text = result.script(case)
        assert text.count("\nbegin;\n") == 1
        assert text.endswith("\nrollback;\n")


@pytest.mark.parametrize(
    "value",
    [
        "it's",
        "back\\slash",
        "a ' or 1 = 1 --",
        ":'id' :id",
        "line\nbreak",
        "%s %%",
        '"',
        None,
        7,
        uuid.uuid4(),
    ],
)
def test_values_are_quoted(shared: Callable[[int], str], value: object) -> None:
    text = script.preamble("about") + script.probe(
        ("a comment\nselect 1/0;",),
        script.role("anon", {"verify.value": str(value)}),
        "select %(value)s::text is not distinct from nullif(current_setting('verify.value'),"
        " 'None') -- and ';'",
        script.quoted({"value": value}),
    )
    out, err = run_in_psql(shared(16), text)
    assert err == ""
    assert "\n t\n" in out


def test_a_statement_without_parameters_keeps_its_percent_signs() -> None:
    assert script.filled("select 'a%'; ", None) == "select 'a%';\n"
    assert script.filled("select 'a%%'", {}) == "select 'a%';\n"


def test_a_pasted_catalog_query_shows_the_fact(
    shared: Callable[[int], str], each_major: int
) -> None:
    """One fact of every recorded kind, and a function body."""
    url = shared(each_major)
    with psycopg.connect(url, autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("structure",))
    cases = {str(case.id): case for case in result.cases}
    facts = {fact.kind: fact for fact in snapshot.load().facts if fact.id in cases}
    assert len(facts) > 10
    for fact in facts.values():
        out, err = run_in_psql(url, result.script(cases[fact.id]))
        assert (err, out.rstrip().endswith("DEALLOCATE")) == ("", True), fact
        rows = [[cell.strip() for cell in line.split("|")] for line in out.splitlines()]
        assert [fact.object, fact.kind, fact.name] in [row[:3] for row in rows], fact
    body = next(id for id in cases if id.endswith(":body"))
    assert "CREATE OR REPLACE" in run_in_psql(url, result.script(cases[body]))[0]


def test_every_case_has_a_script(shared: Callable[[int], str]) -> None:
    with psycopg.connect(shared(16), autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS)
    assert [case.id for case in result.cases if not result.script(case).startswith("-- ")] == []
