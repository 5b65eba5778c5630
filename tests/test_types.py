"""supabase_jobs/types.py and docs/types.ts: as generated, and the client guide's code is correct by
them.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import pytest

import client_types
from supabase_jobs import types
from tests.api.test_client_guide import RESULT, code
from tests.programs import tsc

ROOT = Path(__file__).parents[1]

# a mistake in a copy of the guide, by language: text → wrong text, and what the checker says about
# it
MISTAKES = {
    "python": [
        ('{"status": "cancelled"}', '{"status": "canceled"}', "status"),
        ('{"progress": 50}', '{"progres": 50}', "progres"),
        ('"progress": 100', '"progress": "100"', "progress"),
        ('{"url": url, "guest_id": guest_id()}', '{"guest_id": guest_id()}', '"url"'),
        ('"vision": "…",\n', "", '"vision"'),
        ('"p_user_id": session', '"p_user": session', "p_user"),
        ('row["migrated_count"]', 'row["migrated"]', "migrated"),
    ],
    "js": [
        ("status: 'cancelled'", "status: 'canceled'", "canceled"),
        (".insert({ url, guest_id: guestId() })", ".insert({ guest_id: guestId() })", "'url'"),
        (
            "select('status, progress, result, error')",
            "select('state, progress, result, error')",
            "state",
        ),
        ("p_user_id: session", "p_user: session", "p_user"),
        ("rpc('migrate_guest_jobs'", "rpc('migrate_guests'", "migrate_guests"),
        ("from('guest_users')", "from('guests')", "guests"),
        ("return data[0].migrated_count", "return data[0].migrated", "migrated"),
    ],
}


def wrong(language: str) -> dict[str, tuple[str, str]]:
    """Name of a file → the guide's code with one mistake, and what must be reported."""
    right = code(language)
    files = {}
    for number, (text, mistake, report) in enumerate(MISTAKES[language], 1):
        assert right.count(text) >= 1, text
        files[f"wrong_{number}"] = (right.replace(text, mistake, 1), report)
    return files


def assert_reports(output: str, language: str) -> None:
    """Assert that the checker's output has a message about each mistake, and none about the right
    file.

    A message may continue in indented lines.
    """
    messages = re.findall(
        r"^\S+\.(?:py|mjs|ts)\b.*\berror\b.*\n(?: .*\n)*", output, flags=re.MULTILINE
    )
    assert [message for message in messages if not message.startswith("wrong_")] == []
    for name, (_, report) in wrong(language).items():
        found = [message for message in messages if message.startswith(f"{name}.")]
        assert [message for message in found if report in message], (name, found)


def test_both_files_are_as_generated() -> None:
    """If not: scripts/record, or scripts/client_types.py."""
    model = client_types.model()
    assert client_types.PYTHON_FILE.read_text(encoding="utf-8") == client_types.python(model)
    assert client_types.TYPESCRIPT_FILE.read_text(encoding="utf-8") == client_types.typescript(
        model
    )


@pytest.mark.parametrize("name", ["result", "metadata"])
def test_the_examples_of_the_result_format_have_the_keys_of_the_types(name: str) -> None:
    text = (ROOT / "docs" / "RESULT_FORMAT.md").read_text(encoding="utf-8")
    block = re.search(rf"^## {name}\n+```json\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert block is not None
    example: dict[str, Any] = json.loads(block[1])
    assert example.keys() == get_type_hints(getattr(types, f"Job{name.title()}")).keys()


def test_the_result_in_the_guide_is_valid() -> None:
    folder = ROOT / "supabase_jobs" / "operations" / "schemas"
    schema = json.loads((folder / "result.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(RESULT, schema)


@pytest.mark.slow
def test_mypy_accepts_the_guide_and_reports_mistakes(tmp_path: Path) -> None:
    (tmp_path / "guide.py").write_text(code("python"), encoding="utf-8")
    for name, (text, _) in wrong("python").items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    files = sorted(str(path) for path in tmp_path.glob("*.py"))
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            "--cache-dir",
            str(ROOT / ".mypy_cache"),
            *files,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert_reports(ran.stdout, "python")


CLIENT = """
import type { Database } from './types'
import type { SupabaseClient, SupabaseClientOptions } from 'original'
export function createClient(
  url: string, key: string, options?: SupabaseClientOptions<'public'>,
): SupabaseClient<Database>
"""
GLOBALS = """
declare const SUPABASE_URL: string
declare const SUPABASE_ANON_KEY: string
declare const process: { env: { SUPABASE_SERVICE_ROLE_KEY: string } }
"""
PROJECT = {
    "compilerOptions": {
        "strict": True,
        "noImplicitAny": False,
        "allowJs": True,
        "checkJs": True,
        "noEmit": True,
        "skipLibCheck": True,
        "target": "es2022",
        "lib": ["es2022", "dom"],
        "module": "esnext",
        "moduleResolution": "bundler",
        "types": [],
        "paths": {
            "@supabase/supabase-js": ["./client.d.ts"],
            "original": ["./node_modules/@supabase/supabase-js"],
        },
    },
    "include": ["*.ts", "*.mjs"],
}


@pytest.mark.slow
def test_tsc_accepts_the_guide_and_reports_mistakes(tmp_path: Path) -> None:
    """The guide's `createClient` returns a client with the types of docs/types.ts."""
    command = tsc(tmp_path)
    written = {
        "types.ts": client_types.TYPESCRIPT_FILE.read_text(encoding="utf-8"),
        "guide.mjs": code("js"),
    }
    written |= {
        "client.d.ts": CLIENT,
        "globals.d.ts": GLOBALS,
        "tsconfig.json": json.dumps(PROJECT),
    }
    written |= {f"{name}.mjs": text for name, (text, _) in wrong("js").items()}
    for name, text in written.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode != 0, ran.stderr
    assert_reports(ran.stdout, "js")
