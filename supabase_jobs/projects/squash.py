"""Write one migration for several, and prove that it does the same.

The statements stay as they are and in their order; left out are only those that a later one of the
range replaces, and only if the result is proven without them. The proof builds the project with the
original files, once more with them, and with the new one, and compares catalogs and rows.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import FileStatement
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.migrations.drift import text_of
from supabase_jobs.migrations.squashes import header
from supabase_jobs.projects import rows
from supabase_jobs.projects.built import Built
from supabase_jobs.projects.catalog import Facts, read_facts
from supabase_jobs.projects.drift import Difference, compare
from supabase_jobs.sources.files import Migration, MigrationFiles

Build = Callable[[MigrationFiles], AbstractContextManager[Built]]

# how often a text with fewer statements is tried
_TRIES = 5
_NAME = "squash"
_PUBLIC = "public"


@dataclass(frozen=True)
class Range:
    """The files that are written as one, and those before them."""

    before: tuple[Migration, ...]
    files: tuple[Migration, ...]

    @property
    def original(self) -> MigrationFiles:
        """The files up to the end of the range."""
        return MigrationFiles([*self.before, *self.files])

    def squashed(self, text: str) -> MigrationFiles:
        """The files before the range, and one with this text."""
        return MigrationFiles([*self.before, self.migration(text)])

    def migration(self, text: str) -> Migration:
        """The migration with this text, which has the version of the last file."""
        version = self.files[-1].version
        return Migration(version, _NAME, text, f"{version}_{_NAME}.sql")


@dataclass(frozen=True)
class State:
    """The contents of a database after migrations."""

    facts: Facts
    rows: rows.Rows


def find_range(files: MigrationFiles, words: str) -> Range:
    """The range `FROM..TO` of versions. Raises ConfigError (2) if it is none of these files'."""
    first, dots, last = words.partition("..")
    versions = [migration.version for migration in files.migrations]
    if not dots or first not in versions or last not in versions or first > last:
        raise ConfigError(
            f"{words!r} is not a range of versions of this project",
            hint="Pass FROM..TO, the versions of two files, as their names begin.",
        )
    before = tuple(m for m in files.migrations if m.version < first)
    chosen = tuple(m for m in files.migrations if first <= m.version <= last)
    for migration in chosen:
        if not migration.transactional:
            raise ConfigError(
                f"{migration.file_name} cannot run in a transaction, and the new file has to",
                hint="Choose a range that ends before it, or begins after it.",
                file=migration.label,
            )
    return Range(before, chosen)


# -------------------------------------------------------------------------------------------------
# the text


@dataclass(frozen=True)
class _Part:
    """A statement of a file of the range."""

    migration: Migration
    statement: FileStatement


def parts_of(chosen: Range) -> list[_Part]:
    """The statements of the range that run, in order."""
    return [_Part(m, s) for m in chosen.files for s in m.executable_statements]


def text_from(chosen: Range, parts: Sequence[_Part]) -> str:
    """The text of the new migration; settings of a file end with its statements."""
    texts = []
    for migration in chosen.files:
        own = [part.statement.text for part in parts if part.migration is migration]
        if not own:
            continue
        texts.append(f"-- {migration.file_name}\n\n{text_of(own)}")
        if any(_sets_something(text) for text in own):
            texts.append("reset all;\n\n")
    body = "".join(texts)
    return header([m.version for m in chosen.files], body) + body


def _sets_something(text: str) -> bool:
    for node in syntax.parse(text) or []:
        setting = node.get("VariableSetStmt")
        if (setting is not None and not setting.get("is_local")) or syntax.calls(
            node.get("SelectStmt"), "set_config"
        ):
            return True
    return False


def replaced(parts: Sequence[_Part]) -> list[int]:
    """The numbers of the statements that a later one of the range replaces."""
    last: dict[str, int] = {}
    found = []
    for number in range(len(parts) - 1, -1, -1):
        name = _replaceable(parts[number].statement.text)
        if name is None:
            continue
        if name in last:
            found.append(number)
        last[name] = number
    return sorted(found)


def _replaceable(text: str) -> str | None:
    """The function, view or comment that a statement creates, and a later one can replace."""
    nodes = syntax.parse(text) or []
    if len(nodes) != 1:
        return None
    kind, fields = next(iter(nodes[0].items()))
    if kind == "CreateFunctionStmt":
        types = [p["FunctionParameter"].get("argType") for p in fields.get("parameters", [])]
        return syntax.part_meaning([kind, _in_public(fields["funcname"], 2), types])
    if kind == "ViewStmt":
        view = fields["view"]
        return f"{kind} {view.get('schemaname', _PUBLIC)} {view['relname']}"
    if kind == "CommentStmt":
        length = 3 if fields["objtype"] == "OBJECT_COLUMN" else 2
        object_ = fields["object"]
        names = object_.get("List", {}).get("items")
        what = _in_public(names, length) if names else object_
        return syntax.part_meaning([kind, fields["objtype"], what])
    return None


def _in_public(names: Sequence[syntax.Node], length: int) -> list[syntax.Node]:
    """The parts of a name; one without a schema is in public."""
    missing = [{"String": {"sval": _PUBLIC}}] if len(names) < length else []
    return [*missing, *names]


# -------------------------------------------------------------------------------------------------
# the proof


@dataclass(frozen=True)
class Reference:
    """The state after the original files, and after another run of them.

    `columns` are those whose values are the same after both, and `together` the digest of these.
    """

    one: State
    again: State
    columns: Mapping[rows.Table, Sequence[str]]
    together: Mapping[rows.Table, str]


def read_state(connection: Connection) -> State:
    """The contents of the connected database."""
    return State(read_facts(connection), rows.read_rows(connection))


def reference(build: Build, chosen: Range) -> Reference:
    """Build the project with the original files twice. Raises what `build` raises."""
    with build(chosen.original) as project, project.connected() as connection:
        one = read_state(connection)
    with build(chosen.original) as project, project.connected() as connection:
        again = read_state(connection)
        columns = rows.stable_columns(one.rows, again.rows)
        return Reference(one, again, columns, rows.together(connection, columns))


def lost(build: Build, chosen: Range, text: str, expected: Reference) -> list[str]:
    """Phrases that name what differs if a text replaces the range; none if it is proven equal."""
    try:
        with build(chosen.squashed(text)) as project, project.connected() as connection:
            found = read_state(connection)
            phrases = [_phrase(d) for d in compare(found.facts, expected.one.facts)]
            phrases += rows.differing(expected.one.rows, expected.again.rows, found.rows)
            if phrases:
                return phrases
            together = rows.together(connection, expected.columns)
    except SupabaseJobsError as error:
        return [f"it does not run in one transaction: {error.message}"]
    wrong = [".".join(t) for t in together if together[t] != expected.together[t]]
    return [f"rows of {name}: other combinations of values" for name in wrong]


def _phrase(difference: Difference) -> str:
    what = {"more": "is new", "less": "is lost", "other": "is another"}[difference.direction]
    return f"{difference.subject} of {difference.key[0]} {what}"


def shortened(build: Build, chosen: Range, expected: Reference) -> tuple[str, list[str]]:
    """The new text, and what it loses.

    It leaves out the statements that a later one replaces, as far as it is proven to do the same
    without them.
    """
    parts = parts_of(chosen)
    left_out: set[int] = set()
    groups = [replaced(parts)]
    for _ in range(_TRIES):
        group = groups.pop(0) if groups else []
        if not group:
            break
        tried = left_out | set(group)
        if not lost(build, chosen, text_from(chosen, _without(parts, tried)), expected):
            left_out = tried
        elif len(group) > 1:
            middle = len(group) // 2
            groups += [group[:middle], group[middle:]]
    text = text_from(chosen, _without(parts, left_out))
    return text, [] if left_out else lost(build, chosen, text, expected)


def _without(parts: Sequence[_Part], numbers: set[int]) -> list[_Part]:
    return [part for number, part in enumerate(parts) if number not in numbers]
