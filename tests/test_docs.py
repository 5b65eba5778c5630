"""README, the reference and the guides: every command is in them, their links resolve, their examples run."""

import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
import pytest

from supabase_jobs.cli import cli as group
from supabase_jobs.settings import load_settings
from supabase_jobs.sources.files import load_sources
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.functions import scenarios
from tests.fix_cli import Run
from tests.fix_cron import Cron
from tests.fix_cron import apply as apply_packaged
from tests.programs import postgres_bin

ROOT = Path(__file__).parents[1]
NAMES = (
    "README.md",
    "README.es.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/CI.md",
    "docs/RESULT_FORMAT.md",
    "docs/README.md",
    "docs/accuracy.md",
    "docs/audit-reference.md",
    "docs/audit.md",
    "docs/backups.md",
    "docs/client-guide.md",
    "docs/leaks.md",
    "docs/ledger.md",
    "docs/limits.md",
    "docs/lints.md",
    "docs/mutation-testing.md",
    "docs/operations.md",
    "docs/partitions.md",
    "docs/performance.md",
    "docs/reference.md",
    "docs/rls-faults.md",
    "docs/security.md",
    "docs/testing-rls.md",
    "docs/MIGRATION_GUIDE.md",
)
DOCUMENTS = [ROOT / name for name in NAMES]
# README has absolute links, so that they work on a package index
REPOSITORY = "https://github.com/supabase-jobs/supabase-jobs"
BLOB = f"{REPOSITORY}/blob/main/"
# references and catalogues, where a reader looks something up: docs/README.md marks them
REFERENCES = {
    "RESULT_FORMAT.md": "Reference",
    "accuracy.md": "Reference",
    "audit-reference.md": "Reference",
    "leaks.md": "Catalogue",
    "lints.md": "Catalogue",
    "performance.md": "Reference",
    "reference.md": "Reference",
    "rls-faults.md": "Catalogue",
}
MAX_PAGES, MAX_WORDS = 12, 2500
# their settings are those of audit: tests/audit/test_guide.py, tests/audit/leaks
AUDIT_FILES = ("audit.md", "audit-reference.md", "leaks.md")
README = DOCUMENTS[0].read_text(encoding="utf-8")
GUIDE = DOCUMENTS[-1].read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def _paths(text: str) -> list[str]:
    """The files and folders in backticks."""
    return [path for path in re.findall(r"`([^`\s]+)`", text) if "/" in path]


@pytest.mark.parametrize(
    ("title", "folders"),
    [
        ("Where is …", [ROOT / "supabase_jobs"]),
        ("What a change touches", [ROOT, ROOT / "supabase_jobs"]),
    ],
)
def test_the_files_that_contributing_names_exist(title: str, folders: list[Path]) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = _paths(_section(text, title))
    assert len(paths) > 20
    missing = [p for p in paths if not any(list(folder.glob(p)) for folder in folders)]
    assert missing == []


def _commands(
    parent: click.Group, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(parent)
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        assert command is not None
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*words, name))


COMMANDS = dict(_commands(group))
each_command = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def _parse(words: list[str]) -> None:
    """Parse a command line as the program would, without running it; click raises where it is
    wrong.
    """
    command: click.Command = group
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"there is no command {name}"
        command = found
    command.make_context("supabase-jobs", words)


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, flags=re.DOTALL | re.MULTILINE)


def _calls(text: str) -> list[str]:
    """The supabase-jobs command lines in the shell blocks and in the running text."""
    lines = [line.strip() for block in _blocks(text, "sh") for line in block.splitlines()]
    lines += re.findall(r"`(supabase-jobs [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line for line in lines if line.startswith("supabase-jobs ")]


def _section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_command
def test_every_command_has_a_description(words: tuple[str, ...]) -> None:
    assert COMMANDS[words].help


@each_command
def test_every_command_has_an_example_that_parses(words: tuple[str, ...]) -> None:
    example = re.search(r"Example: .*?(supabase-jobs [^)\"]*)", COMMANDS[words].epilog or "")
    assert example, "no example in its epilog"
    _, *arguments = shlex.split(example[1])
    assert tuple(arguments[: len(words)]) == words or isinstance(COMMANDS[words], click.Group)
    _parse(arguments)


@each_command
def test_every_command_has_a_row_in_the_reference(words: tuple[str, ...]) -> None:
    rows = [
        line
        for line in _section(REFERENCE, "Commands").splitlines()
        if re.match(rf"\| `{words[0]}\b", line)
    ]
    assert len(rows) == 1
    first_cell = rows[0].split("|")[1]
    assert all(re.search(rf"\b{word}\b", first_cell) for word in words)


@pytest.mark.parametrize("code", range(8))
def test_every_exit_code_is_in_the_reference(code: int) -> None:
    assert re.search(rf"^\| {code} \| \S", REFERENCE, flags=re.MULTILINE)


@each_document
def test_every_command_line_in_the_documents_parses(document: Path) -> None:
    for line in _calls(document.read_text(encoding="utf-8")):
        _, *words = shlex.split(line, comments=True)
        if words[0] != "COMMAND":
            _parse(words)


@each_document
def test_every_internal_link_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        inside = target.startswith(BLOB)
        if target.startswith("https://") and not inside:
            continue
        name, _, anchor = target.removeprefix(BLOB).partition("#")
        path = (ROOT if inside else document.parent) / name if name else document
        assert path.exists(), target
        assert not anchor or anchor in _anchors(path.read_text(encoding="utf-8")), target


def _index() -> dict[str, str]:
    """The contents of each page, by its name."""
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| \[([^]]+)\]\(\1\) \| (.+) \|$", text, flags=re.MULTILINE))


def test_the_index_lists_every_page_and_marks_the_references() -> None:
    index = _index()
    assert index.keys() == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert index.keys() < {path.name for path in DOCUMENTS}
    marked = {
        name: contents.partition(":")[0]
        for name, contents in index.items()
        if contents.startswith(("Reference:", "Catalogue:"))
    }
    assert marked == REFERENCES


def test_the_pages_to_read_are_few_and_short() -> None:
    pages = _index().keys() - REFERENCES.keys()
    assert 0 < len(pages) <= MAX_PAGES
    words = {name: len((ROOT / "docs" / name).read_text("utf-8").split()) for name in pages}
    assert {name: count for name, count in words.items() if count > MAX_WORDS} == {}


def test_long_pages_begin_with_a_table_of_contents() -> None:
    pages = {name: (ROOT / "docs" / name).read_text("utf-8") for name in _index()}
    long = {name: text for name, text in pages.items() if len(text.split()) > 1000}
    openings = {name: text.partition("\n## ")[0] for name, text in long.items()}
    assert len(openings) > 10
    assert [name for name, opening in openings.items() if opening.count("](#") < 2] == []


def test_the_first_screen_of_readme_names_both_scripts() -> None:
    first = README.splitlines()[:8]
    assert any("./scripts/demo" in line for line in first)
    assert any("./scripts/test" in line for line in first)


def test_every_installation_in_the_documents_is_from_the_repository() -> None:
    """The package is on no index."""
    files = [*DOCUMENTS, *(ROOT / "docs").glob("*.yml")]
    lines = [
        line
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(words in line for words in ("pip install", "pipx install", "uvx --from"))
    ]
    assert len(lines) >= 8
    assert [line for line in lines if f" @ git+{REPOSITORY}" not in line] == []


def test_readme_is_short_and_shows_output_of_both_parts() -> None:
    """The outputs are parts of those that the tests of the guide and of the faults compare."""
    recorded = "".join(
        (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("audit.md", "rls-faults.md")
    )
    shown = _blocks(README, "text")
    assert any("is_admin" in block for block in shown)
    assert any("async_jobs" in block for block in shown)
    for block in shown:
        assert block in recorded
        assert len(block.splitlines()) < 10
    assert len(README.splitlines()) <= 130


def test_readme_has_absolute_links_only() -> None:
    assert [
        t for t in re.findall(r"\]\(([^)\s]+)\)", README) if not t.startswith(("https://", "#"))
    ] == []


def test_readme_shows_the_picture_of_the_demo() -> None:
    """tests/packaging/test_readme.py compares it with the demo."""
    assert (
        f"{REPOSITORY.replace('github.com', 'raw.githubusercontent.com')}/main/docs/demo.svg"
        in README
    )


def test_the_migration_guide_changes_a_variable_and_undoes_everything(
    cli: Run, platform_url: str, tmp_path: Path
) -> None:
    """Its commands, in its order, in one project."""

    def follow(heading: str, block: int = 0) -> None:
        for line in _blocks(_section(GUIDE, heading), "sh")[block].splitlines():
            ran = cli(*shlex.split(line)[1:], SUPABASE_DB_URL=platform_url)
            assert ran.code == 0, (line, ran.err)

    def defaults() -> str | None:
        with psycopg.connect(platform_url) as connection:
            query = "select string_agg(pg_get_function_arguments(oid), '') from pg_proc where proname = 'cleanup_old_jobs'"
            [[found]] = connection.execute(query)
            return str(found) if found else None

    for words in (["render"], ["apply"]):
        assert cli(*words, SUPABASE_DB_URL=platform_url).code == 0
    [toml] = _blocks(_section(GUIDE, "Changing a variable"), "toml")
    (tmp_path / "supabase-jobs.toml").write_text(toml)
    assert "DEFAULT 7" in str(defaults())
    follow("Changing a variable")
    assert "DEFAULT 14" in str(defaults())
    follow("Uninstalling")
    assert defaults() is None
    follow("Uninstalling", 1)
    assert cli("apply", SUPABASE_DB_URL=platform_url).code == 0
    assert cli("verify", SUPABASE_DB_URL=platform_url).code == 0


def test_the_settings_in_the_documents_load_and_accept_checks_that_exist(tmp_path: Path) -> None:
    declared = scenarios.load(scenarios.DEFAULT_FILE).scenarios
    names = {*AREAS, *(f"functions:{scenario.subject}:{scenario.name}" for scenario in declared)}
    accepted: set[str] = set()
    settings = [path for path in DOCUMENTS if path.name not in AUDIT_FILES]
    for block in (
        block for path in settings for block in _blocks(path.read_text(encoding="utf-8"), "toml")
    ):
        (tmp_path / "supabase-jobs.toml").write_text(block)
        accepted |= load_settings(tmp_path, {}).accepted_unchecked.keys()
    assert len(accepted) >= 2
    assert accepted <= names


def test_the_reference_lists_every_variable_with_its_default() -> None:
    [block] = [
        block
        for block in _blocks(_section(REFERENCE, "Configuration"), "toml")
        if "[variables]" in block
    ]
    defaults = {
        name: variable.default
        for name, variable in load_sources().variables.items()
        if name != "drop_data"
    }
    assert tomllib.loads(block)["variables"] == defaults


def test_the_migration_guide_runs_the_schedule_again(cron: Cron, root: Path) -> None:
    """Its psql line, on a server where pg_cron was switched on after the migrations were applied."""
    [line, *_] = _blocks(_section(GUIDE, "Scheduled cleanup"), "sh")
    assert line.startswith("psql ")
    apply_packaged(cron.url)
    cron.install()
    ran = subprocess.run(
        ["/bin/sh", "-c", line.replace("psql ", f"{postgres_bin(17)}/psql -v ON_ERROR_STOP=1 ")],
        cwd=root,
        env={**os.environ, "SUPABASE_DB_URL": cron.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    [query] = _blocks(_section(GUIDE, "Scheduled cleanup"), "sql")
    with psycopg.connect(cron.url) as connection:
        assert connection.execute("select jobname from cron.job").fetchall() == [
            ("async_jobs_cleanup",)
        ]
        connection.execute(query.encode())


def _locked(name: str) -> set[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return {line.split(" ")[0] for line in text.splitlines() if re.match(r"\w[^ ]*==", line)}


def test_the_development_lock_holds_the_demo_lock() -> None:
    assert _locked("demo") < _locked("dev")


@pytest.mark.parametrize(
    "lock", ["requirements/demo.txt", "requirements/dev.txt", "tests/package-lock.json"]
)
def test_locks_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r'--index-url|--find-links|"resolved"|@ (https?|file):', text)


def test_documents_name_only_released_versions_of_this_repository() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = set(re.findall(r"^## v?(\d+\.\d+\.\d+)(?!\S*, unreleased)", changelog, re.MULTILINE))
    pattern = r"supabase-jobs/supabase-jobs(?:@|\n +rev: )(\S+?)['\s]"
    named = [
        (path.name, name)
        for path in (*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.yml"))
        for name in re.findall(pattern, path.read_text(encoding="utf-8"))
    ]
    assert {"CI.md", "github-workflow.yml", "gitlab-ci.yml"} <= {path for path, _ in named}
    assert [
        place
        for place in named
        if place[1] != "main" and place[1].removeprefix("v") not in released
    ] == []
