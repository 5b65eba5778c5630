"""Run scripts in the real psql, and read the outcome of a probe from its output."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.programs import DEFAULT_MAJOR, find, unavailable

_ROWS = re.compile(
    r"^(?:\((\d+) rows?\)|(?:UPDATE|DELETE|INSERT 0) (\d+)|(TRUNCATE TABLE))$", flags=re.MULTILINE
)
# in a script: the errors that show that the statement reached rows
_MEANS_ROWS = re.compile(
    r"^-- an error (\w{5}(?: or \w{5})*) is the outcome rows$", flags=re.MULTILINE
)
_END = "end-of-script"  # on both outputs, after each script


def psql() -> Path:
    """The psql of the embedded server."""
    folder = find(DEFAULT_MAJOR)
    program = (folder or Path()) / "pginstall" / "bin" / "psql"
    if not program.exists():
        unavailable("psql is not installed (extra local)")
    return program


def run_in_psql(url: str, script: str) -> tuple[str, str]:
    """Run a script on psql's standard input and return (stdout, stderr); psql continues after an
    error.
    """
    completed = subprocess.run(
        [psql(), "--no-psqlrc", "-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=verbose", url],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return completed.stdout, completed.stderr


def psql_outcome(url: str, script: str) -> str:
    """The outcome of a probe script, named as in the access matrix."""
    return _outcome(script, *run_in_psql(url, script))


def psql_outcomes(url: str, scripts: Mapping[str, str]) -> dict[str, str]:
    """Name → outcome of probe scripts, each in a transaction of its own, which one psql runs."""
    joined = "".join(f"{script}\\echo {_END}\n\\warn {_END}\n" for script in scripts.values())
    outputs = (output.split(f"{_END}\n")[:-1] for output in run_in_psql(url, joined))
    return {
        name: _outcome(script, out, err)
        for (name, script), out, err in zip(scripts.items(), *outputs, strict=True)
    }


def _outcome(script: str, out: str, err: str) -> str:
    assert out.rstrip().endswith("ROLLBACK")
    if error := re.search(r"ERROR:  (\w{5}): ", err):
        if (means_rows := _MEANS_ROWS.search(script)) and error[1] in means_rows[1].split(" or "):
            return "rows"
        if error[1] != "42501":
            return error[1]
        return "violates" if "ExecWithCheckOptions" in err else "denied"
    assert err == ""
    if "every row: t" in out:
        return "rows"
    count, tag, truncated = _ROWS.findall(out)[-1]
    return "rows" if truncated or int(count or tag) else "hidden"
