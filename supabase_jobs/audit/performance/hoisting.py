"""Expressions of policies in which calls that do not depend on the row are sub-selects: PostgreSQL
runs these once for each statement.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from supabase_jobs.audit.catalog import Policy
from supabase_jobs.audit.policies import parse_trees, printed
from supabase_jobs.database.parser import syntax

# functions of pg_catalog that identify the caller
_SETTINGS = {("current_setting",), ("pg_catalog", "current_setting")}
_SELECT = "select "


@dataclass(frozen=True)
class Functions:
    """The functions that policies call: schema and name → whether each returns one value and
    changes nothing. `volatile` are those of pg_catalog whose result differs in each call.
    """

    called: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    volatile: frozenset[str] = frozenset()

    def is_hoistable(self, name: tuple[str, ...]) -> bool:
        """Whether a call, if its arguments do not depend on the row, may run once."""
        if name in _SETTINGS:
            return True
        return len(name) == 2 and self.called.get((name[0], name[1]), False)

    def is_constant(self, name: tuple[str, ...]) -> bool:
        """Whether a function gives the same result for the same arguments in a statement."""
        return self.is_hoistable(name) or (name[-1] not in self.volatile and not self.is_own(name))

    def is_own(self, name: tuple[str, ...]) -> bool:
        """Whether it is a function outside of pg_catalog."""
        return len(name) == 2 and (name[0], name[1]) in self.called


def hoisted(text: str, functions: Functions) -> str:
    """The expression with these calls as sub-selects; the same one if there are none."""
    trees = syntax.parse(_SELECT + text)
    if not trees:
        return text
    found = text.encode()
    for start, end in reversed(list(_spans(trees[0], found, functions))):
        found = b"%b(select %b)%b" % (found[:start], found[start:end], found[end:])
    return found.decode()


def names(policy: Policy, functions: Functions) -> list[str]:
    """The calls of a policy that may run once: `auth.uid()`."""
    texts = [text for text in (policy.visible, policy.checked) if text]
    trees = [parse_trees.expression_tree(text) for text in texts]
    found = [".".join(parse_trees.name_of(call)) for call in _calls(trees, functions)]
    return [f"{name}()" for name in dict.fromkeys(found)]


def _spans(tree: Any, text: bytes, functions: Functions) -> Iterator[tuple[int, int]]:
    """The places of the outermost calls that may run once, in bytes, in their order."""
    found = []
    for call in _calls(tree, functions):
        start = call.get("location", 0) - len(_SELECT)
        end = _end(text, start)
        if start >= 0 and end is not None:
            found.append((start, end))
    return iter(sorted(set(found)))


def _end(text: bytes, start: int) -> int | None:
    """The end of a call that starts here: behind its closing parenthesis."""
    rest = text[start:].decode(errors="ignore")
    is_open = False
    for at, depth in printed.outside_quotes(rest):
        is_open = is_open or depth > 0
        if is_open and depth == 0:
            return start + len(rest[: at + 1].encode())
    return None


def _calls(tree: Any, functions: Functions) -> Iterator[syntax.Node]:
    if isinstance(tree, list):
        for part in tree:
            yield from _calls(part, functions)
        return
    if not isinstance(tree, dict) or _is_sub_select(tree.get("SubLink")):
        return
    call = tree.get("FuncCall")
    if isinstance(call, dict) and _may_run_once(call, functions):
        yield call
        return
    for kind, part in tree.items():
        if kind != "RangeFunction":  # which returns rows
            yield from _calls(part, functions)


def _may_run_once(call: syntax.Node, functions: Functions) -> bool:
    """Whether a call depends on no row, and is worth a sub-select."""
    names = [
        parse_trees.name_of(inner) for inner in parse_trees.nodes([{"FuncCall": call}], "FuncCall")
    ]
    if any(parse_trees.nodes(call, "ColumnRef")) or any(parse_trees.nodes(call, "RangeVar")):
        return False
    return functions.is_hoistable(names[0]) and all(map(functions.is_constant, names))


def _is_sub_select(link: Any) -> bool:
    """Whether it is a sub-select without a table and without a column, which runs once already."""
    if not isinstance(link, dict) or link.get("subLinkType") != "EXPR_SUBLINK":
        return False
    select = link.get("subselect", {})
    return not any(parse_trees.nodes(select, "RangeVar")) and not any(
        parse_trees.nodes(select, "ColumnRef")
    )
