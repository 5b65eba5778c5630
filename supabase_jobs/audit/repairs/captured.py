"""Conditions in which the table is written before a name that means a column of a nearer one."""

import re
from collections.abc import Collection

from psycopg import sql

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.policies import captured_names
from supabase_jobs.audit.policies.captured_names import CapturedName


def names(catalog: Catalog, relation: Relation, policy: Policy) -> list[CapturedName]:
    """The names of a policy that the row of its own table may have been meant by."""
    found = captured_names.of_policy(catalog, relation, policy)
    return [one for one in found if one.column in relation.by_name]


def qualified(text: str, relation: Relation, found: Collection[CapturedName]) -> str:
    """An expression, as the server prints it, in which these names mean the columns of the table of
    its policy.
    """
    for one in found:
        name = _printed(one.alias, one.column)
        meant = sql.Identifier(relation.name, one.column).as_string(None)
        if one.is_path:
            text = text.replace(f"({name}", f"({meant}")
        else:
            text = _equal_to_itself(name).sub(rf"\1 = \2{_escaped(meant)}\3", text)
    return text


def body(catalog: Catalog, function: Function) -> str:
    """The body of a function in SQL in which the names of arguments are these arguments; '' if
    columns have taken the place of none.
    """
    text = function.body
    for one in captured_names.of_function(catalog, function):
        if one.is_argument and function.language == "sql":
            at = list(function.argument_names).index(one.column) + 1
            column, alias = re.escape(one.column), re.escape(one.alias)
            same = re.compile(
                rf"((?:\b{alias}\s*\.\s*)?\b{column})(\s*=\s*){column}\b(?!\s*\.)", re.IGNORECASE
            )
            text = same.sub(rf"\1\2${at}", text)
    return "" if text == function.body else text


def _printed(alias: str, column: str) -> str:
    """A column as the server prints it."""
    return ".".join(map(_quoted, (alias, column)))


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{name}"'


def _equal_to_itself(name: str) -> re.Pattern[str]:
    """A comparison of a column with itself, with or without a cast."""
    one = re.escape(name)
    return re.compile(rf"(\(?{one}\)?(?:::\w+)?) = (\(?){one}(\)?(?:::\w+)?)")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\")
