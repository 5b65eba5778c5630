"""Draw docs/demo.svg: the demo as a terminal shows it, without what differs between machines."""

import os
import re
import sys
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"
COLUMNS = 100
# rich's picture of a terminal without its window and its fonts, which are on another server
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def run() -> str:
    """The output of the demo on a terminal, with its colours."""
    with TemporaryDirectory() as folder:
        output, code = pexpect.run(
            f"{sys.executable} -m supabase_jobs demo",
            cwd=folder,
            timeout=300,
            withexitstatus=True,
            encoding="utf-8",
            env={**_environ(), "TERM": "xterm-256color"},
            dimensions=(60, COLUMNS),
        )
        if code:
            raise SystemExit(f"the demo exited with {code}:\n{output}")
        return settled(output, folder)


def settled(output: str, folder: str) -> str:
    """The output without a spinner, and without the times, the path and the minor version of one
    run.
    """
    lines = [line.rpartition("\x1b[2K")[2] for line in output.replace("\r\n", "\n").split("\n")]
    text = re.sub(r"\d+\.\d+ s\b", "… s", "\n".join(lines).strip("\n"))
    text = re.sub(r"PostgreSQL (\d+)\.\d+", r"PostgreSQL \1", text)
    return text.replace(f"{Path(folder).resolve()}/", "").replace(f"{folder}/", "")


def draw(output: str) -> str:
    """The picture of an output."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ ./scripts/demo\n{output}"))
    svg = console.export_svg(title="./scripts/demo", code_format=_FORMAT, unique_id="demo")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _environ() -> dict[str, str]:
    """As in a new clone, where supabase-jobs is not installed."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("SUPABASE", "PG", "GITHUB", "NO_COLOR"))
    }
    return {**kept, "PATH": "/usr/bin:/bin"}


if __name__ == "__main__":
    PICTURE.write_text(draw(run()), encoding="utf-8")
