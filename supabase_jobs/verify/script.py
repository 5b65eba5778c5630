"""What a probe does, as SQL that a person pastes into psql: the same statements, in a transaction that is undone.

A script is an opening, which an area's probes share (`Context.preambles`), and the probe's own part, which ends
the transaction (`Case.script`). Nothing here is executed by us. Values are quoted by psycopg.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence

from psycopg.sql import Literal

# So that no probe stands behind somebody else's lock for long, and a database or role with settings of its own is seen
# as any other is: the last five change how definitions are written and read, or refuse what row level security hides.
# Compiling a question to the catalogs takes ten times as long as answering it.
SETTINGS = """select
  set_config('search_path', '', true),
  set_config('statement_timeout', '10s', true),
  set_config('lock_timeout', '2s', true),
  set_config('jit', 'off', true),
  set_config('quote_all_identifiers', 'off', true),
  set_config('standard_conforming_strings', 'on', true),
  set_config('intervalstyle', 'postgres', true),
  set_config('extra_float_digits', '1', true),
  set_config('row_security', 'on', true)"""

_OPENING = """\
-- {about}
-- To paste into psql. The rollback at the end undoes all of it; after an error, only the rollback counts.
-- \\set VERBOSITY verbose shows an error's SQLSTATE.
begin;
"""
_BEFORE = """\
-- What is there now, to compare with afterwards.
select set_config('verify.before', ({watch})::text, true) is not null as looked;
"""
_AFTER = """\
-- What has changed: each row as it was and as it is.
select key, before.value as before, after.value as after
from jsonb_each(current_setting('verify.before')::jsonb) as before
full join jsonb_each(({watch})) as after using (key)
where before.value is distinct from after.value;
"""
_ONE_OF_MANY = """\
savepoint call;
{call}\\if :ERROR
rollback to savepoint call;
\\endif
"""
_GUARDED = """\
-- Asked first: true (t) means that the statement would reach every row, and it is not run.
select ({condition}) as every_row \\gset
\\echo every row: :every_row
\\if :every_row
\\else
{statement}\\endif
"""


def quoted(values: Mapping[str, object]) -> dict[str, str]:
    """Each value as an SQL literal, for `preamble` and `probe`; a None is NULL. Quoting costs more than filling in."""
    return {name: literal(value) for name, value in values.items()}


def filled(statement: str, literals: Mapping[str, str] | None) -> str:
    """A statement that ends in a semicolon, with a literal for each `%(name)s`, as psycopg takes it.

    None for a statement that is executed without parameters, in which psycopg leaves every % alone.
    """
    text = (statement if literals is None else statement % literals).strip().rstrip(";").rstrip()
    # a comment in the last line would hide the semicolon
    return text + ("\n;\n" if "--" in text.rpartition("\n")[2] else ";\n")


def preamble(about: str, fixture: Iterable[str] = (), literals: Mapping[str, str] | None = None) -> str:
    """The opening that the probes of an area share: `begin`, the settings of verify, and the planted rows."""
    planted = "".join(filled(statement, literals) for statement in fixture)
    rows = f"\n-- The rows that it is about, planted as the owner.\n{planted}" if planted else ""
    return _OPENING.format(about=_line(about)) + filled(SETTINGS, None) + rows + "\n"


def identity(role: str, settings: Mapping[str, str]) -> str:
    """The statement that makes the rest of the transaction a request of this role, with these settings."""
    return f"-- As {_line(role)}:\n{setting({**settings, 'role': role})}"


def setting(values: Mapping[str, str]) -> str:
    """The statement that makes settings until the end of the transaction."""
    calls = ", ".join(f"set_config({literal(name)}, {literal(value)}, true)" for name, value in values.items())
    return f"select {calls};\n"


def probe(
    about: Sequence[str],
    become: str,
    statement: str,
    literals: Mapping[str, str] | None = None,
    *,
    guard: str | None = None,
    owner: str = "none",
    reached: str | None = None,
) -> str:
    """The probe's own part. `about` are its comments, a line each; `become` comes from `identity`, or is ''.

    `guard` is asked first, and the statement not run where it is true. `reached` is asked afterwards by `owner`,
    the role that verify itself has (`current_setting('role')`).
    """
    run = filled(statement, literals)
    if guard is not None:
        run = _GUARDED.format(condition=filled(guard, literals).rstrip().rstrip(";"), statement=run)
    parts = [comment(*about) + become, f"-- The probe:\n{run}"]
    if reached is not None:
        back = f"select set_config('role', {literal(owner)}, true);\n"
        parts.append(f"-- As the owner again: did it reach its target?\n{back}{filled(reached, literals)}")
    return "\n".join([*parts, "rollback;\n"])


def scenario(
    about: Sequence[str],
    given: Iterable[str],
    calls: Iterable[tuple[str, str]],
    literals: Mapping[str, str],
    *,
    watch: str,
    back: str,
) -> str:
    """The own part of a probe that is judged by what it changed: what it starts from, its calls, and the difference.

    `calls` are pairs of what `identity` gives, or '', and a statement; several go on after an error. `watch` is a query
    for one JSON object of key → row; `back` is what `setting` gives for the owner, after a call as somebody else.
    """
    looked = filled(watch, literals).rstrip().removesuffix(";").rstrip()
    start = "".join(filled(statement, literals) for statement in given)
    parts = [
        "".join(f"-- {_line(line)}\n" for line in about) + (f"\n-- What it starts from:\n{start}" if start else ""),
        _BEFORE.format(watch=looked),
    ]
    calls = tuple(calls)
    alone = len(calls) == 1  # an error of one call must not keep the next from being made
    for become, statement in calls:
        call = "\n".join((become or "-- As the owner:\n", f"-- The call:\n{filled(statement, literals)}"))
        parts += [call if alone else _ONE_OF_MANY.format(call=call)]
        parts += [f"-- As the owner again:\n{back}"] if become else []
    return "\n".join([*parts, _AFTER.format(watch=looked), "rollback;\n"])


def comment(*lines: str) -> str:
    """Lines as SQL comments; empty ones are left out."""
    return "".join(f"-- {_line(line)}\n" for line in lines if line)


def literal(value: object) -> str:
    """A value as an SQL literal."""
    if isinstance(value, uuid.UUID):  # with dashes, as it stands in the headers
        return Literal(str(value)).as_string(None) + "::uuid"
    return Literal(value).as_string(None).strip()


def _line(text: str) -> str:
    return " ".join(text.split())  # a line end would end the comment
