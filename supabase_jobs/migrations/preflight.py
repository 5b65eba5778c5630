"""Check migration files before any of them runs. Knows no database.

Refuses files that break "one file, one transaction, with its ledger row", that run differently
under `supabase db push`, or that are probably not meant as migrations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import FileStatement
from supabase_jobs.sources.files import Migration

HEADER = "--! transaction:false"

# the Supabase CLI skips a first file with this name and an older version, because it once created
# such files
_OLD_INIT, _OLD_INIT_BEFORE = "init", "20211209000000"


@dataclass(frozen=True)
class Refusal:
    """The reason why a file is not applied; `line` is None if it concerns the whole file."""

    version: str
    name: str
    file: str
    line: int | None
    message: str


Trees = Sequence[tuple[FileStatement, list[syntax.Node]]]


def check(pending: Sequence[Migration], unrecognized: Sequence[Path] = ()) -> list[Refusal]:
    """The refusals of the pending files, in their order, after those of `unrecognized`.

    `unrecognized` are `.sql` files whose names are not those of migrations: the Supabase CLI skips
    them with a notice that is easily missed.
    """
    refusals = [_refuse_unrecognized(path) for path in unrecognized]
    for migration in pending:
        refusals += _check_name(migration)
        refusals += _check_directives(migration)
        parsed = [(statement, syntax.parse(statement.text)) for statement in migration.statements]
        trees = [(statement, nodes or []) for statement, nodes in parsed]
        if migration.transactional:
            refusals += _check_statements(migration, trees)
        else:
            # [] is only comment; None cannot be parsed and is a statement for the server to judge
            refusals += _check_single(migration, [s for s, nodes in parsed if nodes != []], trees)
        refusals += _check_copy(migration, trees)
        refusals += _check_role(migration, trees)
    return refusals


def _refuse_unrecognized(path: Path) -> Refusal:
    message = (
        "is not a migration: its name is not VERSION_name.sql, so the Supabase CLI"
        " would skip it; rename or move it"
    )
    return Refusal(
        version="", name=path.name, file=str(path), line=None, message=f"{path.name} {message}"
    )


def _check_name(migration: Migration) -> Iterator[Refusal]:
    if migration.undoes_or_checks:
        yield _refuse(
            migration,
            None,
            "has the name of a file that undoes or checks a migration, but it would be applied as"
            " one; move it to"
            " another folder, or rename it",
        )
    if (
        migration.name == _OLD_INIT
        and len(migration.version) == 14
        and migration.version < _OLD_INIT_BEFORE
    ):
        yield _refuse(
            migration,
            None,
            "has a name and version that the Supabase CLI skips; change one of them",
        )


def _check_directives(migration: Migration) -> Iterator[Refusal]:
    for line, name, value in migration.directives:
        if name != "transaction" or value not in ("true", "false"):
            message = (
                f"unknown directive --! {name}:{value}; the only directive is {HEADER} (or true)"
            )
            yield Refusal(
                version=migration.version,
                name=migration.name,
                file=migration.label,
                line=line,
                message=message,
            )


def _check_statements(migration: Migration, trees: Trees) -> Iterator[Refusal]:
    for statement, message in migration.transaction_control.rejected:
        yield _refuse(migration, statement, message)
    for statement, nodes in trees:
        if not nodes and syntax.is_psql_command(statement.text):
            yield _refuse(
                migration,
                statement,
                "is a psql command; remove it, because a migration contains SQL only",
            )
        for node in nodes:
            if (what := syntax.needs_no_transaction(node)) is not None:
                yield _refuse(
                    migration,
                    statement,
                    f"{what} cannot run in a transaction, and without one a failure would leave a"
                    f" half of this file; move it to a file of its own that starts with {HEADER}",
                )


def _check_single(
    migration: Migration, statements: Sequence[FileStatement], trees: Trees
) -> Iterator[Refusal]:
    several = len(statements) > 1
    if not statements or (
        several and not syntax.are_concurrent_indexes([s.text for s in statements])
    ):
        yield _refuse(
            migration,
            statements[1] if several else None,
            f"a file with {HEADER} must contain one statement, not {len(statements)}, or only"
            " indexes that are created and dropped concurrently: after a failure it"
            " would be unknown which of them have run; give each statement a file of its own",
        )
    for statement, nodes in trees:
        if several and any(map(syntax.drops_only_once, nodes)):
            yield _refuse(
                migration,
                statement,
                "add if exists, so that a run after a failure of another statement goes on",
            )
        if any(syntax.ends_transaction(node) for node in nodes):
            yield _refuse(migration, statement, "begins or ends a transaction; remove it")
        if any((index := syntax.concurrent_index(node)) and index[2] is None for node in nodes):
            yield _refuse(
                migration,
                statement,
                "give the index a name, so that an INVALID index can be found after a failure",
            )


def _check_copy(migration: Migration, trees: Trees) -> Iterator[Refusal]:
    for statement, nodes in trees:
        if any(map(syntax.copies_to_client, nodes)):
            yield _refuse(
                migration,
                statement,
                "copy from stdin and to stdout need a client that sends or reads data; use insert",
            )


def _check_role(migration: Migration, trees: Trees) -> Iterator[Refusal]:
    unreset: dict[str, FileStatement] = {}
    for statement, nodes in trees:
        for name, changed in filter(None, map(syntax.role_change, nodes)):
            if changed:
                unreset[name] = statement
            else:
                unreset.pop(name, None)
    for statement in unreset.values():
        yield _refuse(
            migration,
            statement,
            "sets another role and does not reset it, so the Supabase CLI would write the ledger"
            " as that role;"
            " end the file with reset role (or reset session authorization)",
        )


def _refuse(migration: Migration, statement: FileStatement | None, message: str) -> Refusal:
    line = None if statement is None else statement.line
    return Refusal(
        version=migration.version,
        name=migration.name,
        file=migration.label,
        line=line,
        message=message,
    )
