"""Compare the catalogs of a database with those that its migrations create, fact by fact.

A difference is one finding with two texts: SQL that makes the migrations' state that of the
database (capture), and SQL for the reverse (restore). A fact that cannot exist without another one
that differs belongs to the finding of the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.projects.catalog import Fact, Facts, Key, read_facts_here, value_of
from supabase_jobs.session.savepoint import rolled_back

# From what others depend on to what depends on others: the order in which objects are created.
ORDER = (
    *("schema", "extension", "enum", "label", "range", "composite type", "attribute", "domain"),
    *("default", "not null", "sequence", "parameters", "table", "foreign table", "partition"),
    *("column", "nullability of column", "identity of column", "owned by", "function"),
    *("procedure", "definition", "generation of column", "default of column", "persistence"),
    *("view", "materialized view", "rule", "option", "constraint", "index", "replica identity"),
    *("trigger", "state of trigger", "event trigger", "publication", "publication of table"),
    *("policy", "row level security", "row level security of the owner", "owner", "grant"),
    *("grant of column", "default privileges", "comment", "bucket", "cron job"),
)
# facts that an object exists
WHOLE = {
    *("schema", "extension", "enum", "range", "composite type", "domain", "sequence", "table"),
    *("foreign table", "function", "procedure", "view", "materialized view", "event trigger"),
    *("publication", "bucket", "cron job"),
}
# facts that the statement which creates their object, or their column, also creates
_INLINE = {
    *("column", "nullability of column", "default of column", "identity of column"),
    *("generation of column", "label", "attribute", "definition", "parameters", "persistence"),
    *("partition",),
}
# facts with an expression, which PostgreSQL prints otherwise after it has read its own print once
_EXPRESSIONS = {
    *("constraint", "index", "policy", "default of column", "generation of column", "definition"),
    *("materialized view", "trigger", "rule", "publication of table"),
}
_OWNER = "postgres"
# qualifies the names in definitions
_NO_PATH = Statement("set local search_path = ''")


@dataclass(frozen=True)
class Difference:
    """A fact that the database has and the migrations do not create, or the reverse, or both with
    different values.

    `direction` is more, less or other, seen from the database.
    """

    key: Key
    direction: str
    database: str | None
    migrations: str | None
    capture: str
    restore: str

    @property
    def subject(self) -> str:
        """The kind and the name of the fact."""
        _, kind, name = self.key
        return f'{kind} "{name}"' if name else kind


def compare(database: Facts, migrations: Facts, ignored: Iterable[Key] = ()) -> list[Difference]:
    """The differences, in the order in which their captures can run."""
    left_out = set(ignored)
    differing = [
        key
        for key in database.keys() | migrations.keys()
        if key not in left_out and value_of(database, key) != value_of(migrations, key)
    ]
    remade = {key for key in differing if _is_remade(key, database, migrations)}
    wholes = _wholes(database) | _wholes(migrations)
    found = []
    for key in sorted(differing, key=_place):
        if not _is_covered(key, remade, wholes, (database, migrations)):
            found.append(_difference(key, database, migrations))
    return found


def _difference(key: Key, database: Facts, migrations: Facts) -> Difference:
    there, built = database.get(key), migrations.get(key)
    direction = "other"
    if built is None:
        direction = "more"
    if there is None:
        direction = "less"
    return Difference(
        key=key,
        direction=direction,
        database=None if there is None else there.value,
        migrations=None if built is None else built.value,
        capture=change(key, migrations, database),
        restore=change(key, database, migrations),
    )


def change(key: Key, now: Facts, wanted: Facts) -> str:
    """The SQL that makes a fact of one state that of another, with all that belongs to it."""
    old, new = now.get(key), wanted.get(key)
    if old is not None and new is not None and new.replace_sql is not None:
        return new.replace_sql
    statements = [] if old is None else [old.drop_sql]
    if new is not None:
        statements += [fact.create_sql for fact in _with_parts(new, wanted)]
    elif old is not None and old.kind == "grant":
        # REVOKE on the table also revokes the privileges on its columns
        statements += [fact.create_sql for fact in wanted.values() if key in fact.parents]
    return "\n".join(text for text in statements if text)


def _with_parts(fact: Fact, facts: Facts) -> list[Fact]:
    """A fact and those that belong to it, in the order of their creation."""
    parts = [other for other in facts.values() if fact.key in other.parents]
    if fact.kind in WHOLE:
        parts += [f for f in facts.values() if f.object == fact.object and f.key != fact.key]
    own = {f.object for f in parts if f.kind in WHOLE}
    parts += [f for f in facts.values() if f.object in own and f.kind not in WHOLE]
    kept = {f.key: f for f in parts if f.kind not in _INLINE and not _is_default_owner(f)}
    return sorted([fact, *kept.values()], key=lambda other: _place(other.key))


def _is_default_owner(fact: Fact) -> bool:
    return fact.kind == "owner" and fact.value == _OWNER


def _is_remade(key: Key, database: Facts, migrations: Facts) -> bool:
    """Whether the fact is created or dropped, and with it what belongs to it."""
    there, built = database.get(key), migrations.get(key)
    return there is None or built is None or built.replace_sql is None


def _is_covered(
    key: Key, remade: set[Key], wholes: dict[str, Key], states: tuple[Facts, Facts]
) -> bool:
    whole = wholes.get(key[0])
    if whole is not None and whole != key and whole in remade:
        return True
    parents = {p for facts in states if (fact := facts.get(key)) for p in fact.parents}
    if not parents.isdisjoint(remade):
        return True
    # the owner of a sequence that belongs to a new column
    own = states[0].get(whole) or states[1].get(whole) if whole and whole != key else None
    return own is not None and not remade.isdisjoint(own.parents)


def _wholes(facts: Facts) -> dict[str, Key]:
    return {key[0]: key for key in facts if key[1] in WHOLE}


def _place(key: Key) -> tuple[int, Key]:
    kind = key[1].partition(" of ")[0] if key[1].startswith("comment of ") else key[1]
    return ORDER.index(kind) if kind in ORDER else len(ORDER), key


# -------------------------------------------------------------------------------------------------
# expressions


def printed_otherwise(connection: Connection, database: Facts, migrations: Facts) -> set[Key]:
    """The facts that differ only in how PostgreSQL prints an expression.

    A restored dump contains the expressions as they were printed, which are printed otherwise once
    more. So both texts are created on the embedded server, and what it prints is compared. The
    connection is that of the `migrations`; all of it is rolled back.
    """
    keys = [
        key
        for key in sorted(database.keys() & migrations.keys(), key=_place)
        if key[1] in _EXPRESSIONS and database[key].value != migrations[key].value
    ]
    if not keys:
        return set()
    first = _created(connection, [(key, change(key, migrations, database)) for key in keys])
    again = [(key, _created_again(migrations[key], migrations)) for key in keys]
    second = _created(connection, again)
    return {key for key in keys if key in first and first[key] == second.get(key)}


def _created_again(fact: Fact, facts: Facts) -> str:
    if fact.replace_sql is not None:
        return fact.replace_sql
    statements = [fact.drop_sql, *(part.create_sql for part in _with_parts(fact, facts))]
    return "\n".join(text for text in statements if text)


def _created(connection: Connection, texts: Sequence[tuple[Key, str]]) -> dict[Key, str]:
    """The values of facts as they are after these texts have run; none for a text that fails."""
    done = []
    with rolled_back(connection, _NO_PATH):
        for key, text in texts:
            try:
                with connection.transaction():
                    connection.execute(text.encode())
            except psycopg.Error:
                continue
            done.append(key)
        facts = read_facts_here(connection)
    return {key: facts[key].value for key in done if key in facts}


def run_all(connection: Connection, texts: Sequence[str]) -> list[tuple[str, psycopg.Error]]:
    """Run texts that may depend on each other, in the open transaction, in any order that succeeds.

    Returns those that fail in the end.
    """
    left = list(texts)
    while left:
        failed = []
        for text in left:
            try:
                with connection.transaction():
                    connection.execute(text.encode())
            except psycopg.Error as error:
                failed.append((text, error))
        if len(failed) == len(left):
            return failed
        left = [text for text, _ in failed]
    return []


def try_out(
    connection: Connection,
    database: Facts,
    migrations: Facts,
    found: Sequence[Difference],
) -> dict[Key, str]:
    """Run all captures on a copy of the migrations' state, then roll back all restores.

    The copy then has the state of the database, as far as the captures make it so. Returns the
    differences whose capture or restore fails, or does not have its effect, with the reason.
    """
    by_capture = {difference.capture: difference.key for difference in found}
    by_restore = {difference.restore: difference.key for difference in found}
    reasons: dict[Key, str] = {}
    with connection.transaction():
        connection.execute("set local search_path = ''")
        failed = run_all(connection, [d.capture for d in found])
        captured = read_facts_here(connection)
    left = {d.key for d in compare(database, captured)}
    left -= printed_otherwise(connection, database, captured)
    reasons |= dict.fromkeys(left, "its capture does not have the whole effect")
    reasons |= {by_capture[text]: f"its capture fails: {_line(error)}" for text, error in failed}
    with rolled_back(connection, _NO_PATH):
        failed = run_all(connection, [d.restore for d in reversed(found)])
        restored = read_facts_here(connection)
    left = {d.key for d in compare(restored, migrations)} - reasons.keys()
    left -= printed_otherwise(connection, restored, migrations)
    reasons |= dict.fromkeys(left, "its restore does not have the whole effect")
    reasons |= {by_restore[text]: f"its restore fails: {_line(error)}" for text, error in failed}
    keys = {difference.key for difference in found}
    return {key: reason for key, reason in reasons.items() if key in keys}


def _line(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip().splitlines()[0]
