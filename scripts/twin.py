"""Write the synchronous twin of the asynchronous fixture: testing/rls.py from testing/rls_async.py.

    .venv/bin/python scripts/twin.py

Nothing is written twice: edit rls_async.py, and run this. A test compares the two files.
"""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "supabase_jobs" / "testing"
SOURCE, TWIN = FOLDER / "rls_async.py", FOLDER / "rls.py"
NOTE = "# Made of rls_async.py by scripts/twin.py: edit that file.\n\n"
# in this order: patterns of words, and what they become
WORDS = {
    r"\basync (?=def|with)": "",
    r"\bawait ": "",
    r"\b__a(enter|exit)__": r"__\1__",
    r"\bAsync(?=ExitStack|Iterator|Connection|Cursor|RawCursor|Rls|Caller)": "",
    r"\bAbstractAsyncContextManager": "AbstractContextManager",
    r"\basynccontextmanager": "contextmanager",
    r"\benter_async_context": "enter_context",
    r"\bconnect_async": "connect_plain",
    r"\brls_async\b": "rls",
}


def twin(text: str) -> str:
    """The synchronous form of an asynchronous module."""
    for pattern, words in WORDS.items():
        text = re.sub(pattern, words, text)
    end = text.index('"""\n\n') + len('"""\n\n')
    text = f"{text[:end]}{NOTE}{text[end:]}"
    for command in (["check", "--select", "I,UP034", "--fix-only", "--silent"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TWIN), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    TWIN.write_text(twin(SOURCE.read_text("utf-8")), "utf-8")
