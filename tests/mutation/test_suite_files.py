"""Values that `mutate --run` passes on: the functions that it calls, and the files of `--tests`."""

import os
import re
from pathlib import Path

import pytest
from psycopg import sql

from supabase_jobs.audit.emit.recording import Generated, Showing
from supabase_jobs.audit.emit.recording import RecordedAttempt as Recorded
from supabase_jobs.findings import SuiteMutant, SuiteTest
from supabase_jobs.mutation.suite.files import add_to
from supabase_jobs.mutation.suite.missing import MissingTest
from supabase_jobs.mutation.suite.render import pgtap_test, pytest_test
from supabase_jobs.session.action import Query
from supabase_jobs.session.caller import Caller
from tests.fix_cli import Run


def write(folder: Path, mutants: list[SuiteMutant]) -> None:
    for name, text in add_to(folder, mutants).items():
        (folder / name).write_text(text)


def missing(
    outcome: str,
    with_fault: str,
    title: str,
    table: str = "public.notes",
    query: str = "select 1",
) -> MissingTest:
    """A test that anon selects a row of a table."""
    attempt = Recorded(
        object=table,
        caller=Caller("anon", {"role": "anon"}, label=title),
        whose="none",
        verb="select",
        outcome=outcome,
        showings=(Showing(Query(sql.Literal("x"), sql.SQL(query))),),
        of=table,
    )
    return MissingTest(
        rows=(),
        attempt=attempt,
        showing=attempt.showings[0],
        outcome=outcome,
        with_fault=with_fault,
        generated=Generated(),
    )


def survivor(table: str, name: str, title: str, comment: str = "one") -> SuiteMutant:
    """A survivor of a table, and its missing tests."""
    test = missing("hidden", "rows", title, table)
    tests = {
        "pytest": SuiteTest(name=name, comment=comment, code=f"    {title}\n"),
        "pgtap": pgtap_test(test, table, comment),
    }
    return SuiteMutant(f"f:{table}", table, "policies", comment, "", "survived", tests=tests)


def test_tests_are_added_to_those_of_an_earlier_run(tmp_path: Path) -> None:
    first = survivor("public.notes", "test_a", "ann")
    again, other = (
        survivor("public.notes", "test_a", "ann", "two"),
        survivor("public.notes", "test_a", "bob"),
    )
    elsewhere = survivor("public.lists", "test_b", "eve")
    write(tmp_path, [first])
    edited = tmp_path / "missing_access_notes.sql"
    edited.write_text(edited.read_text().replace("\nrollback;\n", "\n-- mine\n\nrollback;\n"))
    added = add_to(tmp_path, [again, elsewhere, other])
    assert added.keys() == {
        "test_missing_access.py",
        "missing_access_notes.sql",
        "missing_access_lists.sql",
    }
    functions = re.findall(r"^def (\w+)", added["test_missing_access.py"], re.MULTILINE)
    assert functions == ["test_a", "test_b", "test_a_2"]
    notes = added["missing_access_notes.sql"]
    assert re.findall(r"'(\w+) cannot read", notes) == ["ann", "bob"]
    assert (
        notes.count("select plan(2);"),
        notes.count("-- mine"),
        notes.count("\nrollback;\n"),
    ) == (1, 1, 1)
    write(tmp_path, [again, elsewhere, other])
    assert add_to(tmp_path, [again, other, elsewhere]) == {}


@pytest.mark.parametrize("first", ["new", "target"])
def test_a_refusal_by_a_policy_is_told_from_one_by_a_privilege(first: str) -> None:
    """MERGE has a message of its own."""
    message = f'{first} row violates row-level security policy for table "notes"'
    text = pgtap_test(missing("violates", "denied", "ann"), "public.notes", "one").text
    [pattern] = re.findall(r"throws_matching\('select 1', '(.*?)', 'ann", text)
    assert re.search(pattern, message)
    assert not re.search(pattern, "permission denied for table notes")
    text = pgtap_test(missing("denied", "violates", "ann"), "public.notes", "one").text
    assert "throws_like('select 1', 'permission denied%'" in text


def test_a_test_with_the_lines_that_separate_tests_is_written_whole(tmp_path: Path) -> None:
    query = "select '\nrollback to savepoint missing_test;\n' || '\ndef test_a(rls):\n'"
    test = missing("hidden", "rows", "ann", query=query)
    tests = {
        "pytest": pytest_test(test, "one"),
        "pgtap": pgtap_test(test, "public.notes", "one"),
    }
    found = SuiteMutant("f", "public.notes", "policies", "one", "", "survived", tests=tests)
    written = add_to(tmp_path, [found])
    assert written["missing_access_notes.sql"] == tests["pgtap"].text
    assert tests["pytest"].text in written["test_missing_access.py"]
    assert sql.Literal(query).as_string(None) in tests["pgtap"].text


def test_tables_whose_names_differ_in_punctuation_have_a_file_each(tmp_path: Path) -> None:
    tables = ["public.notes", 'public."notes!"', 'public."Notes"', "public.notes_2"]
    write(tmp_path, [survivor(name, f"test_{n}", f"caller{n}") for n, name in enumerate(tables)])
    names = sorted(path.name for path in tmp_path.glob("*.sql"))
    assert names == [f"missing_access_notes{end}.sql" for end in ("", "_2", "_2_2", "_3")]
    write(tmp_path, [survivor(tables[2], "test_x", "another")])
    assert (tmp_path / "missing_access_notes_3.sql").read_text().count(
        "savepoint missing_test;\n-- one"
    ) == 2


@pytest.mark.parametrize("name", ["test_missing_access.py", "missing_access_notes.sql"])
def test_a_file_of_the_user_is_not_replaced(cli: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    url = "postgresql://postgres@localhost:1/x"
    ran = cli("mutate", "--db-url", url, "--run", "touch started; false", "--tests", ".")
    assert (ran.code, "supabase-jobs did not write it" in ran.err) == (2, True)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("option", ["--tests", "--output"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_suite_runs(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(
        os, "access", lambda path, _mode: Path(path) != tmp_path / "closed"
    )  # root may write anywhere
    (tmp_path / "closed").mkdir()
    url = "postgresql://postgres@localhost:1/x"
    ran = cli("mutate", "--db-url", url, "--run", "true", option, str(tmp_path / "closed" / "new"))
    assert (ran.code, "permission denied" in ran.err) == (2, True)
