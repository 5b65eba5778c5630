"""A missing test as source text: for the pytest plugin, and for pgTAP."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from psycopg import sql

from supabase_jobs.audit.emit.folder import foreign_file
from supabase_jobs.audit.recording import Check, RecordedRow
from supabase_jobs.mutation.suite.missing import MissingTest

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
_TOKEN = re.compile(r"zq[abcx][0-9a-f]{6}")
_STANDARD_CLAIMS = {"role", "aud", "sub"}
_MAX_NAME = 90
PYTEST_FILE = "test_missing_access.py"
_PYTEST_START = '"""Tests that `supabase-jobs mutate --run` has found missing.'


def pytest_test(test: MissingTest, sentence: str) -> str:
    """A test function that uses the fixture `rls`. Its name is the same in every run."""
    test = _stable(test)
    attempt, check = test.attempt, test.check
    lines = [f"def {test_name(test)}(rls):", f"    # {_one_line(sentence)}"]
    for row in test.rows:
        lines += [f"    rls.owner.execute({_literal(text)})" for text in _requests(row)]
    lines.append(f"    caller = {_caller(test)}")
    if check.target:
        lines.append(f"    caller.assert_untouched({_literal(check.target)}, by={_literal(check.sql)})")
    elif test.outcome == "rows" and attempt.action == "truncate":
        lines.append(f"    caller.execute({_literal(check.sql)})")
    elif test.outcome in ("hidden", "denied", "violates"):
        lines.append(f"    caller.assert_{test.outcome}({_literal(check.sql)})")
    elif test.outcome == "rows":
        lines.append(f"    caller.assert_allowed({_literal(check.sql)})")
    else:
        lines.append(f"    caller.assert_fails({test.outcome!r}, {_literal(check.sql)})")
    return "\n".join(lines) + "\n"


def pgtap_test(test: MissingTest, sentence: str) -> str:
    """A file with one pgTAP test, for `supabase test db` and pg_prove."""
    test = _stable(test)
    attempt, check = test.attempt, test.check
    lines = [
        f"-- {_one_line(sentence)}",
        "begin;",
        "create extension if not exists pgtap;",
        "select plan(1);",
    ]
    for row in test.rows:
        lines += [f"{text};" for text in _requests(row)]
    if check.target:
        lines.append(f"create temporary table before_the_test as {check.target};")
    lines.append(f'set local "request.jwt.claims" to {_quoted(attempt.claims)};')
    lines.append(f'set local "request.headers" to {_quoted(attempt.headers)};')
    lines.append(f"set local role {attempt.role};")
    title = _quoted(test.title)
    if check.target:
        body = f"begin execute {_quoted(check.sql)}; exception when insufficient_privilege then null; end"
        lines += [f"do {_quoted(body)};", "reset role;"]
        compared = "select * from before_the_test"
        lines.append(f"select set_eq({_quoted(check.target)}, {_quoted(compared)}, {title});")
    else:
        lines += [f"select {_pgtap_assertion(test)}, {title});", "reset role;"]
    lines += ["select * from finish();", "rollback;"]
    return "\n".join(lines) + "\n"


def test_name(test: MissingTest) -> str:
    """A name for the function or file of a test."""
    words = re.sub(r"\W+", "_", test.title.lower(), flags=re.ASCII).strip("_")
    return f"test_{words}"[:_MAX_NAME].rstrip("_")


test_name.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


def add_to(folder: Path, tests: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """File name → text that adds the tests to those that a folder has: a file for pytest, and one for each pgTAP test.

    Nothing is removed: the tests of an earlier run may be the reason that a fault survives no more. Raises ConfigError
    (2) if another program wrote a file of this name.
    """
    given = list(tests)
    old = earlier_tests(folder)
    found = {}
    if added := _distinct((test["pytest"] for test in given), re.split(r"^(?=def )", old, flags=re.MULTILINE)):
        found[PYTEST_FILE] = _pytest_file(old, added)
    paths = sorted(folder.glob("missing_access_*.sql"))
    numbers = [int(number) for path in paths if (number := path.stem.rpartition("_")[2]).isdecimal()]
    added = _distinct((test["pgtap"] for test in given), [path.read_text("utf-8") for path in paths])
    return found | {f"missing_access_{n:03d}.sql": text for n, text in enumerate(added, max(numbers, default=0) + 1)}


def earlier_tests(folder: Path) -> str:
    """The file for pytest of an earlier run, '' if there is none. Raises ConfigError (2) if it is another file."""
    path = folder / PYTEST_FILE
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    if text and not text.startswith(_PYTEST_START):
        raise foreign_file(path, "mutate --run COMMAND --tests DIR")
    return text


def _pytest_file(old: str, tests: Iterable[str]) -> str:
    """A file with these functions after the old ones, each with a name of its own."""
    names = set(re.findall(r"^def (\w+)\(", old, re.MULTILINE))
    parts = [old or f'{_PYTEST_START}"""\n']
    for text in tests:
        first = text[len("def ") : text.index("(")]
        name = next(n for n in chain([first], (f"{first}_{number}" for number in count(2))) if n not in names)
        names.add(name)
        parts.append(text.replace(f"def {first}(", f"def {name}(", 1))
    return "\n\n".join(parts)


def _distinct(tests: Iterable[str], known: Iterable[str]) -> list[str]:
    """The tests, each once, without the known ones: they may differ in their comment, which names the fault."""
    kept = dict.fromkeys(map(_code, known), "")
    for text in tests:
        kept.setdefault(_code(text), text)
    return [text for text in kept.values() if text]


def _code(text: str) -> str:
    """A test without its comments and the name of its function."""
    return "\n".join(line for line in text.splitlines() if line and not line.lstrip().startswith(("#", "--", "def ")))


def _pgtap_assertion(test: MissingTest) -> str:
    """The start of the call, without its description."""
    text = test.check.sql
    if test.outcome == "hidden" or test.with_fault == "hidden":
        function = "is_empty" if test.outcome == "hidden" else "isnt_empty"
        if test.outcome not in ("hidden", "rows"):
            return _throws(test)
        if test.attempt.action.partition(" ")[0] in ("update", "delete"):
            text = f"with changed as ({text} returning 1) select 1 from changed"  # noqa: S608  a test's text
        return f"{function}({_quoted(text)}"
    if test.outcome == "rows":
        return f"lives_ok({_quoted(text)}"
    return _throws(test)


def _throws(test: MissingTest) -> str:
    text = _quoted(test.check.sql)
    if test.outcome in ("denied", "violates") and test.with_fault in ("denied", "violates"):
        message = "permission denied%" if test.outcome == "denied" else "new row violates row-level security policy%"
        return f"throws_like({text}, {_quoted(message)}"
    code = "42501" if test.outcome in ("denied", "violates") else test.outcome
    return f"throws_ok({text}, {_quoted(code)}, null"


def _requests(row: RecordedRow) -> list[str]:
    """The insertion, between the settings of a request that a trigger reads."""
    made = [f"set local {sql.Identifier(name).as_string(None)} to {_quoted(value)}" for name, value in row.settings]
    reset = [f"set local {sql.Identifier(name).as_string(None)} to ''" for name, _ in row.settings]
    return [*made, row.sql, *reset]


def _caller(test: MissingTest) -> str:
    claims: dict[str, Any] = json.loads(test.attempt.claims)
    headers = json.loads(test.attempt.headers)
    more = f"headers={headers!r}" if headers else ""
    if test.attempt.role == "anon":
        return f"rls.as_anon({more})"
    extra = {name: value for name, value in claims.items() if name not in _STANDARD_CLAIMS}
    if "sub" not in claims:
        extra_text = ", ".join(part for part in (f"claims={extra!r}" if extra else "", more) if part)
        return f"rls.as_role({test.attempt.role!r}{', ' if extra_text else ''}{extra_text})"
    parts = [repr(claims["sub"]), f"claims={extra!r}" if extra else "", more]
    return f"rls.as_user({', '.join(part for part in parts if part)})"


def _stable(test: MissingTest) -> MissingTest:
    """The test with ids and tokens that are the same in every run; their order remains."""
    texts = [test.check.sql, test.check.target, test.attempt.claims, test.attempt.headers]
    texts += [row.sql for row in test.rows] + [value for row in test.rows for _, value in row.settings]
    whole = "\n".join(texts)
    names = {u: f"00000000-0000-4000-8000-{i:012d}" for i, u in enumerate(sorted(set(_UUID.findall(whole))), 1)}
    names |= {t: f"{t[:3]}{i:06d}" for i, t in enumerate(sorted(set(_TOKEN.findall(whole))), 1)}
    if not names:
        return test
    pattern = re.compile("|".join(map(re.escape, names)))

    def stable(text: str) -> str:
        return pattern.sub(lambda found: names[found[0]], text)

    rows = (RecordedRow(stable(r.sql), tuple((name, stable(v)) for name, v in r.settings)) for r in test.rows)
    attempt = replace(test.attempt, claims=stable(test.attempt.claims), headers=stable(test.attempt.headers))
    check = Check(stable(test.check.sql), stable(test.check.target))
    return replace(test, rows=tuple(rows), attempt=attempt, check=check)


def _quoted(text: str) -> str:
    return sql.Literal(text).as_string(None).removeprefix(" ")


def _literal(text: str) -> str:
    """A Python literal of SQL; in three quotes if that needs no escape."""
    if "\\" in text or '"""' in text or text.endswith('"'):
        return repr(text)
    return f'"""{text}"""'


def _one_line(text: str) -> str:
    return " ".join(text.split())
