"""Preflight: files that are refused, with the line of the cause, and files that are not."""

from pathlib import Path

import pytest

from supabase_jobs.migrations.preflight import check
from supabase_jobs.sources.files import Migration, unrecognized_files

HEADER = "--! transaction:false\n"


def migration(text: str, name: str = "x", version: str = "20260101000000") -> Migration:
    return Migration(version, name, text, f"{version}_{name}.sql")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("select 1;\nbegin;\nselect 2;", 2, "transaction"),
        ("begin;\nselect 1;\nrollback;", 3, "rolls back the transaction; remove it"),
        ("begin;\nset local a.b = 1;\ncommit;\nselect 1;", 2, "reset a.b"),
        ("select 1;\n\n-- done\nCOMMIT;", 4, "transaction"),
        ("start transaction", 1, "transaction"),
        ("rollback and chain", 1, "transaction"),
        ("end", 1, "transaction"),
        ("abort", 1, "transaction"),
        ("prepare transaction 'x'", 1, "transaction"),
        (
            "create table t (id int);\ncreate index concurrently i on t (id);",
            2,
            "create index concurrently",
        ),
        (
            "select 1;\ncreate unique index concurrently i on t (id);",
            2,
            "create index concurrently",
        ),
        ("select 1;\ndrop index concurrently i", 2, "drop index concurrently"),
        ("--! transaction:true\ndrop index concurrently i", 2, "drop index concurrently"),
        ("create index concurrently on t (id)", 1, "name"),
        ("reindex index concurrently i", 1, "reindex"),
        ("reindex (concurrently) table t", 1, "reindex"),
        ("vacuum (analyze) t", 1, "vacuum"),
        ("cluster", 1, "cluster"),
        ("alter system set work_mem = '1GB'", 1, "alter system"),
        ("create database x", 1, "create database"),
        ("drop database x", 1, "drop database"),
        ("create tablespace x location '/x'", 1, "create tablespace"),
        ("discard all", 1, "discard all"),
        ("alter table t detach partition p concurrently", 1, "detach partition"),
        ("copy t from stdin", 1, "copy from stdin"),
        ("copy t to stdout", 1, "to stdout"),
        ("set role anon;\nselect 1;", 1, "another role"),
        ("select 1;\nset local role anon;", 2, "another role"),
        ("reset role;\nset role anon;\nreset all;", 2, "another role"),
        ("set session authorization anon", 1, "another role"),
        ("set session authorization anon; reset role", 1, "another role"),
        ("set role to 5", 1, "another role"),
        ("create subscription s connection 'x' publication p", 1, "create subscription"),
        ("alter database x set tablespace y", 1, "set tablespace"),
        ("select 1;\n\\i other.sql", 2, "psql"),
        ("\\set x 1\nselect 1", 1, "psql"),
        (HEADER + "create index concurrently on t (id)", 2, "name"),
        ("select pg_catalog.set_config('role', 'anon', true)", 1, "another role"),
        (HEADER + "create index concurrently i on t (id);\nselect 1;", 3, "one statement, not 2"),
        (HEADER + "-- nothing", None, "one statement, not 0"),
        ("create index concurrently i on t (id);\nselect 1;", 1, "a half of this file; move it"),
        ("drop index concurrently if exists i;\ndrop index concurrently j;", 2, "add if exists"),
        (HEADER + "begin", 2, "transaction; remove it"),
        (HEADER + "copy t to stdout", 2, "to stdout"),
    ],
)
def test_a_file_is_refused(text: str, line: int | None, message: str) -> None:
    [refusal] = check([migration(text)])
    assert (refusal.line, refusal.file) == (line, "20260101000000_x.sql")
    assert message in refusal.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- begin;\n/* commit; */ select 'begin;', $$ commit; $$, \"rollback\" from t;",
        "create function f() returns void language plpgsql as $$ begin perform 1; end $$;",
        "create function f() returns int begin atomic select 1; end;",
        "do $$ begin raise notice 'x'; end $$;",
        "savepoint a; rollback to a; release a;",
        "begin;\ncreate table t (id int);\ncommit;\n",
        "select 1; begin; select 2; commit; select 3; start transaction; select 4; end;",
        "set role anon;\nselect 1;\nreset role;",
        "set local role anon; set role none;",
        "set session authorization anon; set session authorization default;",
        "select set_config('role', 'anon', true); select set_config('role', 'none', true);",
        "set local search_path = ''; select set_config('search_path', '', false);",
        "analyze t; cluster t; reindex table t; drop index i; create index i on t (id);",
        "copy t from '/srv/file'; copy t to program 'cat';",
        "alter type e add value 'x'; refresh materialized view concurrently m;",
        "this is no SQL at all;",
        HEADER + "create index concurrently i on t (id);",
        "-- fast\ncreate unique index concurrently if not exists i on t (id);\n-- end",
        "drop index concurrently i",
        "create index concurrently i on t (id);\n-- and\ndrop index concurrently if exists j;",
        HEADER + "-- newer than the parser's grammar\nfrobnicate table t;\n-- end",
        "\n-- a comment\n" + HEADER + "\nvacuum t;",
        "-- pg-delta: transaction=false\nvacuum t;",
    ],
)
def test_a_file_is_not_refused(text: str) -> None:
    assert check([migration(text)]) == []


@pytest.mark.parametrize(
    "name", ["x.down", "x.verify", "x.undo", "x.rollback", "x.revert", "x.test", "X.DOWN"]
)
def test_files_that_undo_or_check_a_migration_are_refused(name: str) -> None:
    [refusal] = check([migration("select 1", name)])
    assert "would be applied as one; move it" in refusal.message


def test_a_file_that_the_supabase_cli_skips_is_refused() -> None:
    assert check([migration("select 1", "init", "20211208000000")])
    assert not check([migration("select 1", "init", "20211209000000")])


def test_files_that_are_not_migrations_are_refused(tmp_path: Path) -> None:
    for name in ("create_x.sql", "2025-01-01_x.sql", "1_x.SQL", "README.md", "1_ok.sql"):
        (tmp_path / name).write_text("")
    refusals = check([], unrecognized_files(tmp_path))
    assert [r.name for r in refusals] == ["1_x.SQL", "2025-01-01_x.sql", "create_x.sql"]
    assert all("would skip it; rename or move it" in r.message for r in refusals)


@pytest.mark.parametrize(
    ("header", "transactional"),
    [
        ("--! transaction:false", False),
        ("--!transaction: false", False),
        ("--! transaction:true", True),
        ("-- x", True),
    ],
)
def test_the_directive_makes_a_file_nontransactional(header: str, transactional: bool) -> None:
    assert migration(f"-- first\n\n{header}\nselect 1").transactional is transactional


def test_a_directive_after_the_header_is_a_comment() -> None:
    assert migration(f"select 1;\n{HEADER}").transactional


@pytest.mark.parametrize("line", ["--! transactions:false", "--! transaction:no", "--! other:x"])
def test_unknown_directives_are_refused(line: str) -> None:
    [refusal] = check([migration(f"-- first\n{line}\nselect 1")])
    assert (refusal.line, "unknown directive" in refusal.message) == (2, True)


@pytest.mark.parametrize("line", ["--!!! careful", "--! careful", "--!"])
def test_banners_are_comments(line: str) -> None:
    assert check([migration(f"{line}\nselect 1")]) == []
