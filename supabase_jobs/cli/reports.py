"""The options of reports, and where each report goes."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from supabase_jobs.cli.common import JSON_HELP, write_file
from supabase_jobs.cli.private import without_private
from supabase_jobs.cli.terminal import report_width
from supabase_jobs.errors import ConfigError
from supabase_jobs.report.phrases import counted

if TYPE_CHECKING:
    from supabase_jobs.report.document import Document

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Target:
    """A format, and the file of the report; None for stdout."""

    form: str
    file: Path | None = None


def report_options(formats: Sequence[str]) -> Callable[[F], F]:
    """The options `--format`, `--json` and `--output` of a command that can write several reports,
    as parameters of `targets`.
    """
    options = (
        click.option(
            "--format",
            "forms",
            type=click.Choice(formats),
            multiple=True,
            help="The format of the report (default: text). With --output it may be repeated.",
        ),
        click.option("--json", "as_json", is_flag=True, help=JSON_HELP),
        click.option(
            "--output",
            "files",
            type=click.Path(dir_okay=False, readable=False, path_type=Path),
            multiple=True,
            help="Write the report to this file; an existing file is replaced. One for each"
            " --format, in the same order.",
        ),
    )

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def targets(forms: Sequence[str], files: Sequence[Path], *, as_json: bool) -> list[Target]:
    """The reports of a run. Raises ConfigError for options that contradict each other, and for a
    report that cannot be written, before a run that may take minutes.
    """
    if as_json and set(forms) - {"json"}:
        other = next(form for form in forms if form != "json")
        raise ConfigError(f"--json conflicts with --format {other}", hint="Pass only one of them.")
    forms = ["json"] if as_json else list(forms) or ["text"]
    if len(forms) != max(len(files), 1):
        raise ConfigError(
            f"{counted(len(forms), 'format')}, but {counted(len(files), 'file')}",
            hint="Pass --format and --output for each report: --format sarif --output a.sarif"
            " --format html --output a.html.",
        )
    if len(set(files)) < len(files):
        raise ConfigError("two reports have the same --output", hint="Pass different files.")
    destinations: Sequence[Path | None] = files or [None]
    found = [Target(form, file) for form, file in zip(forms, destinations, strict=True)]
    for target in found:
        check_report(target.form, target.file)
    return found


def show_reports(document: "Document", found: Sequence[Target], *, whole: bool = True) -> None:
    """Print or write a document in each format."""
    for target in found:
        show_report(document, target.form, target.file, whole=whole)


def report(document: "Document", form: str, *, whole: bool = True) -> str:
    """A document in a report format for stdout. Text is coloured on a terminal, as wide as it or
    COLUMNS, and shortened if not `whole`.
    """
    if form != "text":
        from supabase_jobs.report import write

        return write(document, form)
    from supabase_jobs.report.formats import text

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return text.write(document, colour=colour, whole=whole, width=report_width())


def show_report(
    document: "Document", form: str, output_file: Path | None, *, whole: bool = True
) -> None:
    """Print a document on stdout, or write the whole of it to a file; without the private texts of
    a copied database.
    """
    document = without_private(document)
    if output_file is None:
        click.echo(report(document, form, whole=whole), nl=False)
        return
    from supabase_jobs.report import write

    write_file(output_file, write(document, form))


def check_report(form: str, output_file: Path | None) -> None:
    """Raise ConfigError for a report that cannot be written, before a long run."""
    if output_file is not None:
        if output_file == Path():
            raise ConfigError("--output is empty", hint="Pass a file: --output report.txt.")
        if not output_file.parent.is_dir():
            raise ConfigError(
                f"cannot write {output_file}: no folder {output_file.parent}",
                hint="Create the folder.",
            )
        if not os.access(output_file if output_file.exists() else output_file.parent, os.W_OK):
            raise ConfigError(
                f"cannot write {output_file}: permission denied", hint="Choose another file."
            )
    if form == "html" and output_file is None and sys.stdout.isatty():
        raise ConfigError(
            "an HTML report cannot be shown on a terminal", hint="Pass --output report.html."
        )
