"""What is wrong with migration files before any of them runs. Knows no database.

Whatever would break "one file, one transaction, with its ledger row", would run differently under
`supabase db push`, or is a file that one of the two programs would not take as meant.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.parser import syntax
from supabase_jobs.parser.statements import Statement, split
from supabase_jobs.sources.files import Migration

HEADER = "--! transaction:false"

# others' conventions for files that undo or check a migration; the Supabase CLI applies every one of them
_BY_ACCIDENT = re.compile(r".*\.(down|undo|revert|rollback|verify|test)", re.IGNORECASE)
# the Supabase CLI passes over a first file of this name and age: its own, from before 2021-12-09
_OLD_INIT, _OLD_INIT_BEFORE = "init", "20211209000000"


@dataclass(frozen=True)
class Refusal:
    """Why a file may not be applied; `line` is None where it is about the file as a whole."""

    version: str
    name: str
    file: str
    line: int | None
    message: str


def check(pending: Sequence[Migration], strays: Sequence[Path] = ()) -> list[Refusal]:
    """Everything that is wrong with the files that would be applied, in their order, and with stray files.

    `strays` are `.sql` files whose names make no migration: the Supabase CLI would skip them with a word
    that nobody reads.
    """
    found = [_stray(path) for path in strays]
    for migration in pending:
        found += _check_name(migration)
        found += _check_directives(migration)
        parsed = [(statement, syntax.parse(statement.text)) for statement in split(migration.text)]
        trees = [(statement, nodes or []) for statement, nodes in parsed]
        if migration.transactional:
            found += _check_statements(migration, trees)
        else:
            # only comment parses to nothing; what does not parse at all is a statement for the server to judge
            found += _check_single(migration, [s for s, nodes in parsed if nodes != []], trees)
        found += _check_role(migration, trees)
    return found


Trees = Sequence[tuple[Statement, list[syntax.Node]]]


def _stray(path: Path) -> Refusal:
    message = "is no migration: its name is not VERSION_name.sql, so the Supabase CLI would skip it"
    return Refusal("", path.name, str(path), None, f"{path.name} {message}")


def _check_name(migration: Migration) -> Iterator[Refusal]:
    if _BY_ACCIDENT.fullmatch(migration.name):
        yield _refuse(
            migration, None, "looks like a file that undoes or checks a migration, and would be applied as one"
        )
    if migration.name == _OLD_INIT and len(migration.version) == 14 and migration.version < _OLD_INIT_BEFORE:
        yield _refuse(migration, None, "has a name that the Supabase CLI skips; give it another name or version")


def _check_directives(migration: Migration) -> Iterator[Refusal]:
    for line, name, value in migration.directives:
        if name != "transaction" or value not in ("true", "false"):
            message = f"unknown directive --! {name}:{value}; the only one is {HEADER} (or true)"
            yield Refusal(migration.version, migration.name, migration.label, line, message)


def _check_statements(migration: Migration, trees: Trees) -> Iterator[Refusal]:
    for statement, nodes in trees:
        if not nodes and syntax.is_psql_command(statement.text):
            yield _refuse(migration, statement, "is a command of psql; a migration holds SQL only")
        for node in nodes:
            if syntax.ends_transaction(node):
                yield _refuse(
                    migration,
                    statement,
                    "begins or ends a transaction; each file is one already: take the statement out",
                )
            elif (what := syntax.needs_no_transaction(node)) is not None:
                yield _refuse(
                    migration,
                    statement,
                    f"{what} cannot run in a transaction; give it a file of its own that starts with {HEADER}",
                )
            elif syntax.copies_to_client(node):
                yield _refuse(
                    migration, statement, "copy from stdin or to stdout: a migration brings no data along; use insert"
                )


def _check_single(migration: Migration, statements: Sequence[Statement], trees: Trees) -> Iterator[Refusal]:
    if len(statements) != 1:
        yield _refuse(
            migration,
            statements[1] if len(statements) > 1 else None,
            f"a file with {HEADER} holds one statement, not {len(statements)}: what failed half-way could not be told",
        )
    for statement, nodes in trees:
        if any(syntax.ends_transaction(node) for node in nodes):
            yield _refuse(migration, statement, "begins or ends a transaction")
        if any((index := syntax.concurrent_index(node)) and index[2] is None for node in nodes):
            yield _refuse(
                migration, statement, "give the index a name, or what a failure leaves INVALID could not be told"
            )


def _check_role(migration: Migration, trees: Trees) -> Iterator[Refusal]:
    left_on: dict[str, Statement] = {}
    for statement, nodes in trees:
        for name, changed in filter(None, map(syntax.role_change, nodes)):
            if changed:
                left_on[name] = statement
            else:
                left_on.pop(name, None)
    for statement in left_on.values():
        yield _refuse(
            migration,
            statement,
            "sets another role and leaves it on, so the Supabase CLI would write the ledger as that role;"
            " end with reset role (or reset session authorization)",
        )


def _refuse(migration: Migration, statement: Statement | None, message: str) -> Refusal:
    line = None if statement is None else statement.line
    return Refusal(migration.version, migration.name, migration.label, line, message)
