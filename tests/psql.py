"""Run scripts in the real psql, and read the outcome of a probe from its output."""

import re
import subprocess
from pathlib import Path

from tests.programs import DEFAULT_MAJOR, find, unavailable

_ROWS = re.compile(r"^(?:\((\d+) rows?\)|(?:UPDATE|DELETE|INSERT 0) (\d+)|(TRUNCATE TABLE))$", flags=re.MULTILINE)


def psql() -> Path:
    """The psql of the embedded server."""
    folder = find(DEFAULT_MAJOR)
    program = (folder or Path()) / "pginstall" / "bin" / "psql"
    if not program.exists():
        unavailable("psql is not installed (extra local)")
    return program


def run_in_psql(url: str, script: str) -> tuple[str, str]:
    """Run a script on psql's standard input and return (stdout, stderr); psql continues after an error."""
    completed = subprocess.run(
        [psql(), "--no-psqlrc", "-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=verbose", url],
        input=script, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return completed.stdout, completed.stderr


def psql_outcome(url: str, script: str) -> str:
    """The outcome of a probe script, named as in the access matrix."""
    out, err = run_in_psql(url, script)
    assert out.rstrip().endswith("ROLLBACK")
    if error := re.search(r"ERROR:  (\w{5}): ", err):
        if error[1] != "42501":
            return error[1]
        return "violates" if "ExecWithCheckOptions" in err else "denied"
    assert err == ""
    if "every row: t" in out:
        return "rows"
    count, tag, truncated = _ROWS.findall(out)[-1]
    return "rows" if truncated or int(count or tag) else "hidden"
