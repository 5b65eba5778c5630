"""`supabase-jobs squash`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.access import State, compare_states
from supabase_jobs.cli.common import (
    as_json,
    json_option,
    narrate,
    print_json,
    progress,
    settings,
    shared_options,
)
from supabase_jobs.cli.project_database import audit_configuration, narration, project_files
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.exit_codes import passed

if TYPE_CHECKING:
    from supabase_jobs.projects.squash import Build, Range
    from supabase_jobs.settings import Settings


@click.command(
    epilog="Example: supabase-jobs squash 20240101000000..20240301000000 --out squash.sql"
)
@click.argument("versions", metavar="FROM..TO")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the new file here (default: stdout); the originals stay.",
)
@click.option(
    "--check",
    "checked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Prove this file instead of writing one, such as that of supabase migration squash.",
)
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, versions: str, out: Path | None, checked: Path | None) -> None:
    """Write one migration for the files FROM to TO, if it is proven that it does the same.

    The project is built on embedded servers with the originals and with the new file, which runs in
    one transaction. Catalogs, the access of every kind of caller, and the rows that migrations
    insert have to be equal; otherwise nothing is written, and the differences are named (exit 1).
    """
    from supabase_jobs.projects import squash
    from supabase_jobs.projects.built import built
    from supabase_jobs.sources.files import read_sql, write_sql

    given = settings(ctx)
    if out is not None and checked is not None:
        raise ConfigError("--check writes no file", hint="Pass only one of --out and --check.")
    _check_place(given, out)
    chosen = squash.find_range(project_files(given), versions)
    build = partial(built, given.directory, narration=narration())
    with progress("building the project with the original files"):
        expected = squash.reference(build, chosen)
    with progress("proving that the new file does the same"):
        if checked is None:
            text, lost = squash.shortened(build, chosen, expected)
        else:
            text = read_sql(checked)
            lost = squash.lost(build, chosen, text, expected)
        not_audited = None
        if not lost:
            try:
                lost = _changed_access(given, build, chosen, text)
            except SupabaseJobsError as error:
                not_audited = error.message
    before, after = len(squash.parts_of(chosen)), len(chosen.migration(text).statements)
    if as_json(ctx):
        print_json(
            {
                "ok": not lost,
                "versions": [migration.version for migration in chosen.files],
                "lost": lost,
                "not_audited": not_audited,
                "statements": {"before": before, "after": after},
                "file": str(out) if out is not None and not lost else None,
            }
        )
    for phrase in lost:
        narrate(f"lost: {phrase}")
    if not_audited is not None:
        narrate(
            f"note: who can do what was not audited: {not_audited}; catalogs and rows are equal"
        )
    if lost:
        narrate("nothing was written" if checked is None else f"{checked} does not do the same")
        ctx.exit(passed(ok=False))
    if out is not None:
        try:
            write_sql(out, text)
        except OSError as error:
            raise ConfigError(f"cannot write {out}: {error.strerror}") from error
        narrate(f"wrote {out}: {before} statements became {after}")
    elif checked is None and not as_json(ctx):
        click.echo(text, nl=False)
    else:
        narrate("proven: it does the same")


def _check_place(given: "Settings", out: Path | None) -> None:
    if out is None:
        return
    folder = out.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"no folder {out.parent}", hint="Create the folder.")
    if given.migrations is not None and folder == given.migrations.absolute():
        raise ConfigError(
            f"{out} would be a migration beside the originals, which stay",
            hint="Write it into another folder; docs/ledger.md says how to use it.",
        )


def _changed_access(given: "Settings", build: "Build", chosen: "Range", text: str) -> list[str]:
    """Phrases for the differences in who can do what."""
    from supabase_jobs.audit.baseline import Baseline
    from supabase_jobs.audit.options import Files, Options
    from supabase_jobs.sources.config_toml import load_api_settings

    served = load_api_settings(given.directory).schemas
    options = Options(
        files=Files(configuration=audit_configuration(given.directory)), stable=True, repairs=False
    )
    with (
        build(chosen.original) as original,
        build(chosen.squashed(text)) as squashed,
        original.connected() as old,
        squashed.connected() as new,
    ):
        diff = compare_states(
            given,
            (old, State("the original files", chosen.original, served)),
            (new, State("the new file", chosen.squashed(text), served)),
            options,
            Baseline(),
        )
    return [change.message for change in diff.changes]
