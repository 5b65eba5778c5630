"""Fixes for access that should have ended: the condition on the column that marks a former member,
where it is missing.

The policy of a table, or a function that it calls, reads the memberships. Each place that reads all
of them reads only those that have not ended. So nobody else loses access.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.policies import parse_trees, printed
from supabase_jobs.audit.repairs.helpers import Missing
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Ended
from supabase_jobs.database.parser import syntax
from supabase_jobs.findings import as_comment

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d]\w*)'
_QUALIFIED = re.compile(rf"{_NAME}(?:\s*\.\s*{_NAME})?")
# a table that a query in PL/pgSQL reads, and the word after it, which is its alias or a keyword
_READ = re.compile(
    rf"(?<!delete )\b(?:from|join)\s+(?P<name>{_NAME}(?:\s*\.\s*{_NAME})?)(?!\s*\()"
    rf"(?P<rest>\s+(?:as\s+)?(?P<next>{_NAME}))?",
    re.IGNORECASE,
)
_KEYWORD = re.compile(
    "where|join|on|inner|left|right|full|cross|natural|using|order|group|having|limit|offset|fetch"
    "|for|union|intersect|except|window|loop|into|returning|then|and|or",
    re.IGNORECASE,
)
# a place that reads a table: the position of its name in the bytes of a text, and whether the name
# has an alias
_Place = tuple[int, bool]


def missing_condition(where: str, ended: Ended | Missing) -> str:
    """An SQL comment that says what to add to a policy or function, for which no statement can be
    derived.
    """
    return as_comment(f"Let {where} {ended.advice}")


def policies(
    catalog: Catalog, given: Iterable[tuple[Relation, Policy]], role: str
) -> list[tuple[Relation, Policy]]:
    """These policies, and those for SELECT of the tables that they read as their caller, directly
    or not.
    """
    found, waiting = list[tuple[Relation, Policy]](), list(given)
    while waiting:
        relation, policy = waiting.pop(0)
        if (relation, policy) in found:
            continue
        found.append((relation, policy))
        names = parse_trees.tables(
            [parse_trees.expression_tree(t) for t in (policy.visible, policy.checked) if t]
        )
        for other in catalog.tables:
            if other is not relation and {other.name, other.label} & names:
                waiting += [
                    (other, p)
                    for p in other.policies
                    if p.permissive and p.command in ("r", "*") and p.applies_to(role)
                ]
    return found


def functions(plan: Plan, relation: Relation, policy: Policy, ended: Ended) -> list[Function]:
    """The functions that a policy calls and that read the memberships, whether they have ended or
    not.
    """
    called = plan.usage.policies.policy_functions.get((relation.oid, policy.name), [])
    return [
        f
        for f in plan.catalog.functions
        if f.signature in called
        and re.search(rf"\b{re.escape(ended.relation.name)}\b", f.body)
        and not re.search(rf"\b{re.escape(ended.column)}\b", f.body)
    ]


def with_condition(text: str, marks: Sequence[Ended]) -> str | None:
    """An expression whose queries leave out what has ended; None if none reads these tables."""
    prefix = "select "
    changed = _rewritten(f"{prefix}{text}", marks)
    return None if changed is None else changed.removeprefix(prefix)


def redefined(function: Function, definition: str, marks: Sequence[Ended | Missing]) -> str | None:
    """The statement that makes a function leave out what has ended; None if none of its queries
    reads it, or if its language is another one.
    """
    body = None
    if function.language == "sql":
        body = _rewritten(function.body, marks)
    elif function.language == "plpgsql":
        body = _rewritten_block(function.body, marks)
    if body is None or definition.count(function.body) != 1:
        return None
    return f"{definition.replace(function.body, body).rstrip().rstrip(';')};"


def _rewritten(text: str, marks: Sequence[Ended | Missing]) -> str | None:
    """A text of SQL with a subquery in each place that reads one of the tables."""
    if (trees := syntax.parse(text)) is None:
        return None
    conditions: dict[Relation, list[sql.Composable]] = {}
    for mark in dict.fromkeys(marks):
        conditions.setdefault(mark.relation, []).append(mark.condition)
    places = {
        place: composed
        for relation, composed in conditions.items()
        for place in _places(trees, relation)
    }
    if not places or any(_names_with_schema(trees, relation) for relation in conditions):
        return None
    data = text.encode()
    for (start, has_alias), composed in sorted(places.items(), reverse=True):
        named = _QUALIFIED.match(data[start:].decode())
        if named is None:
            return None
        name = named[0]
        changed = sql.SQL("(select * from {} where {})").format(
            sql.SQL(name), sql.SQL(" and ").join(composed)
        )
        if not has_alias:
            changed += sql.SQL(" as {}").format(sql.SQL(name.split(".")[-1].strip()))
        data = data[:start] + changed.as_string(None).encode() + data[start + len(name.encode()) :]
    return data.decode()


def _rewritten_block(body: str, marks: Sequence[Ended | Missing]) -> str | None:
    """A body in PL/pgSQL with a subquery in each place that reads one of the tables."""
    conditions: dict[str, list[sql.Composable]] = {}
    for mark in dict.fromkeys(marks):
        for name in (mark.relation.name, mark.relation.label):
            conditions.setdefault(name, []).append(mark.condition)
    plain = {at for at, _ in printed.outside_quotes(body)}

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        composed = conditions.get(re.sub(r'[\s"]', "", name))
        if composed is None or match.start() not in plain:
            return match[0]
        text = sql.SQL("(select * from {} where {})").format(
            sql.SQL(name), sql.SQL(" and ").join(composed)
        )
        has_alias = bool(match["next"]) and _KEYWORD.fullmatch(match["next"]) is None
        alias = "" if has_alias else f" as {name.split('.')[-1].strip()}"
        start = match[0][: match.start("name") - match.start()]
        return f"{start}{text.as_string(None)}{alias}{match['rest'] or ''}"

    changed = _READ.sub(replaced, body)
    return None if changed == body else changed


def _places(tree: Any, relation: Relation) -> Iterator[_Place]:
    """The places of the FROM clauses of queries that name a table."""
    for select in parse_trees.nodes(tree, "SelectStmt"):
        for variable in _variables(select.get("fromClause", [])):
            schema = variable.get("schemaname", relation.schema)
            if (schema, variable["relname"]) == (relation.schema, relation.name) and variable.get(
                "inh"
            ):
                yield variable.get("location", 0), "alias" in variable


def _names_with_schema(tree: Any, relation: Relation) -> bool:
    """Whether a column is named with the schema of its table, which a subquery has not."""
    for reference in parse_trees.nodes(tree, "ColumnRef"):
        names = [part["String"]["sval"] for part in reference["fields"] if "String" in part]
        if names[:2] == [relation.schema, relation.name]:
            return True
    return False


def _variables(clause: Any) -> Iterator[Mapping[str, Any]]:
    """The tables of a FROM clause, not those of its subqueries."""
    for part in clause if isinstance(clause, list) else [clause]:
        if "RangeVar" in part:
            yield part["RangeVar"]
        elif "JoinExpr" in part:
            yield from _variables([part["JoinExpr"]["larg"], part["JoinExpr"]["rarg"]])
