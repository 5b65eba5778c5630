"""The real psql, and what a pasted probe came to in it."""

import re
import subprocess
from pathlib import Path

from tests.parts import DEFAULT_MAJOR, find, unavailable

_DONE = re.compile(r"^(?:\((\d+) rows?\)|(?:UPDATE|DELETE|INSERT 0) (\d+)|(TRUNCATE TABLE))$", flags=re.MULTILINE)


def psql() -> Path:
    """The embedded server's psql."""
    folder = find(DEFAULT_MAJOR)
    program = (folder or Path()) / "pginstall" / "bin" / "psql"
    if not program.exists():
        unavailable("psql is not there (the extra local)")
    return program


def paste(url: str, script: str) -> tuple[str, str]:
    """(stdout, stderr) of psql given a script on its input; errors do not stop it, as nothing stops a person."""
    done = subprocess.run(
        [psql(), "--no-psqlrc", "-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=verbose", url],
        input=script, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def outcome(url: str, script: str) -> str:
    """What a pasted probe came to, in the words of the access matrix, read off psql's output."""
    out, err = paste(url, script)
    assert out.rstrip().endswith("ROLLBACK")
    if error := re.search(r"ERROR:  (\w{5}): ", err):
        denied = "violates" if "ExecWithCheckOptions" in err else "denied"
        return denied if error[1] == "42501" else error[1]
    assert err == ""
    if "every row: t" in out:
        return "rows"
    count, tag, truncated = _DONE.findall(out)[-1]
    return "rows" if truncated or int(count or tag) else "hidden"
