"""Scripts for psql that repeat what verify runs: the same statements, in a transaction that is
rolled back.

A script is a preamble, which the cases of an area share (`Context.preambles`), and the case's part,
which ends the transaction (`Case.script`). Nothing here is executed by verify itself. psycopg
quotes all values.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence

from psycopg.sql import Literal

from supabase_jobs.database.batch import Statement
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.savepoint import Savepoint
from supabase_jobs.session.settings import SETTINGS

_PREAMBLE = """\
-- {about}
-- Paste this into psql. The rollback at the end undoes everything; after an error, \
only the rollback has an effect.
-- \\set VERBOSITY verbose shows the SQLSTATE of an error.
begin;
"""
_BEFORE = """\
-- Save the rows before the calls.
select set_config('verify.before', jsonb_object_agg(key, value::jsonb)::text, true) \
is not null as saved
from (
{watch}
) as watched (key, value);
"""
_AFTER = """\
-- The changes: each row before and after.
select key, before.value as before, after.value as after
from jsonb_each(current_setting('verify.before')::jsonb) as before
full join (
select key, value::jsonb from (
{watch}
) as watched (key, value)
) as after using (key)
where before.value is distinct from after.value;
"""
_COMMIT = """\
-- What a commit would check.
set constraints all immediate;
"""
_SAVE_CALL, _UNDO_CALL = Savepoint("call").as_text()
_ONE_OF_SEVERAL = f"""\
{_SAVE_CALL}
{{call}}\\if :ERROR
{_UNDO_CALL}
\\endif
"""
_GUARDED = """\
-- If this is true (t), the statement would reach every row, and it is not run.
select ({condition}) as every_row \\gset
\\echo every row: :every_row
\\if :every_row
\\else
{statement}\\endif
"""


def quoted(values: Mapping[str, object]) -> dict[str, str]:
    """Each value as an SQL literal; None is NULL. Quote once and fill in often: quoting is the
    slower part.
    """
    return {name: literal(value) for name, value in values.items()}


class _Names(dict[str, str]):
    """Literals of no parameters, which notes the names of those that a text uses."""

    def __missing__(self, name: str) -> str:
        self[name] = ""
        return ""


def parameters(text: str) -> set[str]:
    """The names of the parameters of a statement, `%(name)s`."""
    names = _Names()
    text % names
    return set(names)


def filled(statement: str, literals: Mapping[str, str] | None) -> str:
    """A statement with a semicolon, in which each `%(name)s` is replaced by its literal.

    Pass None for a statement that is run without parameters: psycopg then leaves every % unchanged.
    """
    text = (statement if literals is None else statement % literals).strip().rstrip(";").rstrip()
    # a comment in the last line would hide the semicolon
    return text + ("\n;\n" if "--" in text.rpartition("\n")[2] else ";\n")


def numbered(statement: Statement) -> str:
    """A statement with a semicolon, in which PostgreSQL's placeholders are replaced by the literals
    of its values.
    """
    text = statement.sql.partition("\n")[2] if statement.sql.startswith("-- $1") else statement.sql
    for number, value in reversed([*enumerate(statement.params or (), 1)]):
        text = text.replace(f"${number}", literal(value))
    return filled(text, None)


def preamble(about: str, fixture: str = "") -> str:
    """The beginning that the scripts of an area share: `begin`, the settings of verify, and the
    fixture rows.
    """
    rows = f"\n-- Insert the fixture rows as the owner.\n{fixture}" if fixture else ""
    return _PREAMBLE.format(about=_line(about)) + filled(SETTINGS, None) + rows + "\n"


def caller(acting: Caller) -> str:
    """The statement that makes the rest of the transaction a request of a caller."""
    return role(acting.role, acting.all_settings())


def role(name: str, settings: Mapping[str, str]) -> str:
    """The statement that sets a role, after these settings, for the rest of the transaction."""
    return f"-- As {_line(name)}:\n{setting({**settings, 'role': name})}"


def setting(values: Mapping[str, str]) -> str:
    """The statement that makes settings until the end of the transaction."""
    calls = ", ".join(
        f"set_config({literal(name)}, {literal(value)}, true)" for name, value in values.items()
    )
    return f"select {calls};\n"


def probe(
    about: Sequence[str],
    caller_sql: str,
    statement: str,
    literals: Mapping[str, str] | None = None,
    *,
    guard: str | None = None,
    owner: str = "none",
    reached: str | None = None,
    deferred: bool = False,
) -> str:
    """The script of a probe. `about` are comment lines; `caller_sql` is a result of `caller` or
    `role`,
    or ''.

    If the query `guard` returns true, the statement is not run. `reached` is a query that `owner`
    (the `role` setting of verify's own connection) runs after the statement. `deferred` adds what a
    commit would check.
    """
    run = filled(statement, literals) + (_COMMIT if deferred else "")
    if guard is not None:
        run = _GUARDED.format(condition=filled(guard, literals).rstrip().rstrip(";"), statement=run)
    parts = [comment(*about) + caller_sql, f"-- The statement:\n{run}"]
    if reached is not None:
        reset = f"select set_config('role', {literal(owner)}, true);\n"
        parts.append(
            "-- As the owner: did the statement reach its"
            f" target?\n{reset}{filled(reached, literals)}"
        )
    return "\n".join([*parts, "rollback;\n"])


def scenario(
    about: Sequence[str],
    given: Iterable[str],
    calls: Iterable[tuple[str, str]],
    literals: Mapping[str, str],
    *,
    watch: str,
    back: str,
    deferred: bool = False,
) -> str:
    """The script of a scenario: the statements `given`, its calls, and the rows that have changed.

    `calls` are pairs of a result of `caller` or `role`, or '', and a statement; several calls
    continue
    after an error. `watch` is a query for keys and rows (JSON objects), both as text. `back` is the
    statement that resets the caller after a call. `deferred` adds what a commit would check.
    """
    watch_sql = filled(watch, literals).rstrip().removesuffix(";").rstrip()
    start = "".join(filled(statement, literals) for statement in given)
    parts = [
        "".join(f"-- {_line(line)}\n" for line in about)
        + (f"\n-- Prepare the rows:\n{start}" if start else ""),
        _BEFORE.format(watch=watch_sql),
    ]
    calls = tuple(calls)
    alone = len(calls) == 1  # otherwise an error of one call must not prevent the next
    for caller_sql, statement in calls:
        run = filled(statement, literals) + (_COMMIT if deferred else "")
        call = "\n".join((caller_sql or "-- As the owner:\n", f"-- The call:\n{run}"))
        parts += [call if alone else _ONE_OF_SEVERAL.format(call=call)]
        parts += [f"-- As the owner again:\n{back}"] if caller_sql else []
    return "\n".join([*parts, _AFTER.format(watch=watch_sql), "rollback;\n"])


def comment(*lines: str) -> str:
    """Lines as SQL comments; empty lines are left out."""
    return "".join(f"-- {_line(line)}\n" for line in lines if line)


def literal(value: object) -> str:
    """A value as an SQL literal."""
    if isinstance(value, uuid.UUID):  # with hyphens, as in the headers
        return Literal(str(value)).as_string(None) + "::uuid"
    return Literal(value).as_string(None).strip()


def _line(text: str) -> str:
    return " ".join(text.split())  # a line break would end the comment
