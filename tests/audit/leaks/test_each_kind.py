"""Each kind of leak: its table of facts, its example with a database, and its section of the docs."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from supabase_jobs.audit import baseline
from supabase_jobs.audit.leaks import kinds
from supabase_jobs.audit.leaks.leak import AnyLeak, ExplainedLeak
from supabase_jobs.database.parser import syntax
from tests.audit.catalogue import names, project
from tests.audit.leaks import tables

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "supabase_jobs" / "audit" / "leaks"
LEAKS = (ROOT / "docs" / "leaks.md").read_text(encoding="utf-8")
MODULES = {module.KIND.code.replace("-", "_"): module for module in kinds.MODULES}
STEMS = sorted(path.stem for path in FOLDER.glob("*.py"))
CASES = [
    pytest.param(stem, case, id=f"{stem}: {case['name']}")
    for stem in tables.stems()
    for case in tables.load(stem)["cases"]
]


@pytest.mark.parametrize(("stem", "case"), CASES)
def test_facts_show_leaks(stem: str, case: dict[str, Any]) -> None:
    found: list[AnyLeak] = list(MODULES[stem].find(tables.facts_of(tables.load(stem), case)))
    assert [f"{leak.severity} {leak.id}" for leak in found] == case["finds"]
    if "messages" in case:
        assert [leak.message for leak in found] == case["messages"]
    explained = [leak.explanation for leak in found if isinstance(leak, ExplainedLeak)]
    if "causes" in case:
        assert [explanation.cause for explanation in explained] == case["causes"]
    if "fixes" in case:
        assert [explanation.fix for explanation in explained] == case["fixes"]


@pytest.mark.parametrize("stem", MODULES)
def test_facts_show_each_severity(stem: str) -> None:
    found = {one.split()[0] for case in tables.load(stem)["cases"] for one in case["finds"]}
    assert found == {str(severity) for severity in MODULES[stem].KIND.severities}


@pytest.mark.parametrize("stem", MODULES)
def test_some_facts_show_none(stem: str) -> None:
    assert any(case["finds"] == [] for case in tables.load(stem)["cases"])


def test_modules_tables_and_sections_are_the_same() -> None:
    assert set(MODULES) <= set(STEMS)
    assert set(MODULES) == set(tables.stems())
    assert set(MODULES) == {code.replace("-", "_") for code in _sections()}


def test_each_kind_has_an_order_of_its_own() -> None:
    orders = [module.KIND.order for module in kinds.MODULES]
    assert orders == sorted(set(orders))


@pytest.mark.parametrize("stem", MODULES)
def test_no_kind_imports_another(stem: str) -> None:
    leaks = "supabase_jobs.audit.leaks."
    found = {name.removeprefix(leaks) for name in _imported(stem) if name.startswith(leaks)}
    assert not {name.partition(".")[0] for name in found} & MODULES.keys()


@pytest.mark.parametrize("stem", MODULES)
def test_section_has_sentence_and_severities(stem: str) -> None:
    kind = MODULES[stem].KIND
    severities = " or ".join(str(severity) for severity in kind.severities)
    text = " ".join(_sections()[kind.code].split())
    assert text.startswith(f"{kind.sentence} ({severities})")


@pytest.mark.parametrize("stem", STEMS)
def test_only_the_facts_read_probes(stem: str) -> None:
    probes = ("supabase_jobs.audit.probes", "supabase_jobs.session")
    names = {name for name in _imported(stem) if name.startswith(probes)}
    constants = {name for name in names if name.rpartition(".")[2].isupper()}
    assert names == constants, "only words such as SELECT and OTHER"


@pytest.mark.parametrize("stem", MODULES)
def test_example_exists(stem: str) -> None:
    example, code = tables.load(stem)["example"], MODULES[stem].KIND.code
    where, _, name = example.partition(": ")
    if where in names():
        [fault] = [fault for fault in project(where).faults if fault.name == name]
        assert fault.finds.split()[1].startswith(f"{code}:")
        return
    if where == "examples":
        text = (ROOT / "tests/audit/examples" / f"{name}.toml").read_text(encoding="utf-8")
        finds = tomllib.loads(text)["finds"]
        assert any(found.split()[1].startswith(f"{code}:") for found in finds)
        return
    text = (ROOT / where).read_text(encoding="utf-8")
    assert f"def {name}(" in text
    assert code in text


@pytest.mark.parametrize("stem", MODULES)
def test_section_has_the_sql_of_a_leak_and_of_its_repair(stem: str) -> None:
    text = _sections()[MODULES[stem].KIND.code]
    blocks = re.findall(r"```sql\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert syntax.parse(block), block
    assert re.search(r"^Repair: ", text, flags=re.MULTILINE)
    assert "accept" in text.lower()


def test_acceptance_in_the_docs_is_a_baseline(tmp_path: Path) -> None:
    [block] = re.findall(r"```toml\n(.*?)```", LEAKS, flags=re.DOTALL)
    file = tmp_path / "access.toml"
    file.write_text(block, encoding="utf-8")
    assert baseline.load(file).accepted == {
        "give-away:public.lists:update:owner_id": "an owner may hand a list over"
    }


def _sections() -> dict[str, str]:
    """Code → the text below its heading."""
    parts = re.split(r"^### `([a-z-]+)`\n", LEAKS, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _imported(stem: str) -> set[str]:
    """The names that a module of the folder imports, with their modules."""
    text = (FOLDER / f"{stem}.py").read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
