"""Plant the faults of `mutate --run` in the example projects, one at a time, and count those that
`audit` reports.

    .venv/bin/python scripts/audit_score.py [--sample N] [--seed N] [PROJECT …]

Each project has the baseline of its unmodified state. A fault is reported by an error or a warning,
as a note, or missed although a caller's access differs. Faults without any difference change
nothing for the callers of the audit: they are harmless, or the audit cannot see them.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import psycopg

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.baseline import Baseline, apply
from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Audit, Severity
from supabase_jobs.local.platform import load_services
from supabase_jobs.local.server import throwaway
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.migrations.extensions import prepare
from supabase_jobs.mutation.suite.faults import (
    KINDS,
    SuiteFault,
    derive_suite_faults,
    sample,
)
from supabase_jobs.mutation.suite.objects import project_objects
from supabase_jobs.sources.files import MigrationFiles, load_migrations

PROJECTS = Path(__file__).parents[1] / "tests" / "data" / "projects"
REPORTED, NOTED, MISSED, UNCHANGED, REJECTED = (
    "reported",
    "noted",
    "missed",
    "unchanged",
    "rejected",
)
STATES = (REPORTED, NOTED, MISSED, UNCHANGED, REJECTED)


@dataclass(frozen=True)
class Scored:
    """A fault of a project, and what the audit with a baseline, and without one, says about it."""

    project: str
    fault: SuiteFault
    state: str
    without_baseline: bool = False


def main() -> None:
    """Print the counts by kind of fault, and the missed faults."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, help="faults of each project (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("projects", nargs="*", default=sorted(p.name for p in PROJECTS.iterdir()))
    given = parser.parse_args()
    found: list[Scored] = []
    with throwaway() as server:
        load_services(server.own_url)
        for name in given.projects:
            with connect(server.superuser_url) as superuser:
                superuser.execute(
                    f"create database {name} template postgres owner postgres strategy"
                    " file_copy".encode()
                )
            with (
                connect(server.url_for(name)) as connection,
                connect(server.superuser_url_for(name)) as superuser,
            ):
                files = MigrationFiles(load_migrations(PROJECTS / name / "supabase" / "migrations"))
                apply_pending(connection, prepare(superuser, files).files)
                found += score(connection, name, given.sample, given.seed)
            click.echo(f"{name}: {_counts([s for s in found if s.project == name])}")
    click.echo(table(found))
    for scored in found:
        if scored.state == MISSED:
            click.echo(f"missed: {scored.project}: {scored.fault.fault.id}")


def score(connection: Connection, project: str, number: int | None, seed: int) -> Iterator[Scored]:
    """Plant each fault in a savepoint."""
    faults = sample(
        derive_suite_faults(connection, project_objects(connection), KINDS), number, seed
    )
    with connection.transaction(force_rollback=True):
        before = audit(connection, Options(repairs=False))
        accepted = {f.id: "intended" for f in before.findings if f.severity is not Severity.INFO}
        known = Baseline(before.access, before.functions, accepted)
        for fault in faults:
            with connection.transaction(force_rollback=True):
                try:
                    with connection.transaction():
                        connection.execute("set local search_path = ''")
                        connection.execute(fault.fault.sql.encode())
                except psycopg.Error:
                    yield Scored(project, fault, REJECTED)
                    continue
                connection.execute("reset search_path")
                after = audit(connection, Options(accepted=known.access, repairs=False))
            yield Scored(
                project,
                fault,
                _state(before, after, known),
                bool(_counted(after) - _counted(before)),
            )


def table(found: Sequence[Scored]) -> str:
    """The counts by kind, as Markdown."""
    lines = [
        "| faults | planted | reported | noted | missed | no difference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in (*KINDS, "all"):
        of_kind = [s for s in found if kind in (s.fault.kind, "all") and s.state != REJECTED]
        states = Counter(s.state for s in of_kind)
        lines.append(
            f"| {kind} | {len(of_kind)} | " + " | ".join(str(states[s]) for s in STATES[:4]) + " |"
        )
    opened = [s for s in found if s.state == REPORTED]
    return "\n".join(
        [
            *lines,
            f"{sum(s.without_baseline for s in opened)} of the reported ones also without a"
            " baseline",
        ]
    )


def _state(before: Audit, after: Audit, known: Baseline) -> str:
    compared = apply(after, known, strict=False, narrowed=False).findings
    if any(f.severity is not Severity.INFO for f in compared):
        return REPORTED
    if {(f.id, f.message) for f in after.findings} != {(f.id, f.message) for f in before.findings}:
        return NOTED
    return UNCHANGED if _outcomes(before) == _outcomes(after) else MISSED


def _counted(result: Audit) -> set[str]:
    """The leaks that need no baseline."""
    return {f.id for f in result.findings if f.severity is not Severity.INFO}


def _outcomes(result: Audit) -> Mapping[tuple[str, ...], int]:
    """The cells that a caller reaches; whether a privilege or a policy refuses the others makes no
    difference.
    """
    return Counter(
        (c.object, c.caller, c.whose, c.action) for c in result.cells if c.outcome == "rows"
    )


def _counts(found: Sequence[Scored]) -> str:
    states = Counter(s.state for s in found)
    return ", ".join(f"{states[state]} {state}" for state in STATES)


if __name__ == "__main__":
    main()
