"""The limits of an audit are those that the docs list."""

import re
from dataclasses import asdict
from pathlib import Path

from supabase_jobs.audit import limits

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit-reference.md"


def test_docs_list_the_limits() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", text, flags=re.MULTILINE)
    assert {name: int(value) for name, value, _ in listed} == asdict(limits.LIMITS)


def test_docs_and_code_say_the_same_about_a_limit() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| \d+ \| (.+) \|$", text, flags=re.MULTILINE)
    code = Path(limits.__file__).read_text(encoding="utf-8")
    assert re.findall(r"# (.+)\n    (\w+): int", code) == [(about, name) for name, about in listed]
