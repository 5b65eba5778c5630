"""`supabase-jobs mutate`."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import (
    as_json,
    connected,
    database_url,
    json_option,
    narrate,
    print_json,
    progress,
    settings,
    shared_options,
)

if TYPE_CHECKING:
    from supabase_jobs.mutation.run import Mutation

SURVIVOR_EXIT_CODE = 1


@click.command(epilog="Example: supabase-jobs mutate --only access,functions,plans")
@click.option(
    "--only",
    metavar="AREA,…",
    help="Only these areas of verify may notice: structure, access, functions, plans. Without structure it shows what"
    " is caught by its effect alone, and takes several times as long.",
)
@click.option("--allow-remote", is_flag=True, help="Also on a database that is not on this machine.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, only: str | None, allow_remote: bool) -> None:
    """Break a local database on purpose, one fault at a time, and report which faults verify catches.

    The faults are derived from the catalogs: policies, privileges, constraints, indexes, functions and so on.
    Each is planted in a transaction, verified and rolled back. Exits 1 where a fault went unnoticed.
    """
    from supabase_jobs.mutation.run import mutate, refuse_remote
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.run import parse

    areas = parse(only)
    given = settings(ctx)
    if not allow_remote:
        refuse_remote(database_url(given))
    expectations = load_expectations(given)
    with connected(given) as connection:
        found = mutate(connection, expectations, areas, progress=progress)
    if as_json(ctx):
        print_json(_document(found))
    else:
        _print(found)
    ctx.exit(SURVIVOR_EXIT_CODE if found.survivors else 0)


def _document(found: "Mutation") -> dict[str, object]:
    return {
        "mutants": [
            {
                "id": m.fault.id,
                "killed": m.killed,
                "waived": None if m.killed else m.waived,
                "by": list(m.by),
                "object": m.fault.object,
                "description": m.fault.description,
                "sql": m.fault.sql,
            }
            for m in found.mutants
        ],
        "killed": found.killed,
        "total": len(found.mutants),
        "waived": [{"id": m.fault.id, "reason": m.waived} for m in found.waived],
        "not_planted": [{"id": fault.id, "error": error, "sql": fault.sql} for fault, error in found.not_planted],
    }


def _print(found: "Mutation") -> None:
    for mutant in found.survivors:
        click.echo(f"SURVIVED  {mutant.fault.id}\n  {mutant.fault.object}: {mutant.fault.description}")
        click.echo("".join(f"  {line}\n" for line in mutant.fault.sql.splitlines()))
    for mutant in found.waived:
        click.echo(f"waived  {mutant.fault.id}\n  {mutant.waived}\n")
    for fault, error in found.not_planted:
        narrate(f"not planted: {fault.id}: {error}")
    planted = Counter(_operator(m.fault.id) for m in found.mutants)
    killed = Counter(_operator(m.fault.id) for m in found.mutants if m.killed)
    width = max((len(name) for name in planted), default=0)
    for name, total in planted.items():
        click.echo(f"{name:<{width}}  {killed[name]:>4} of {total:>4} killed")
    verdict = "FAILED" if found.survivors else "ok"
    click.echo(
        f"{verdict}: {len(found.mutants)} mutants, {found.killed} killed, {len(found.waived)} waived,"
        f" {len(found.survivors)} survived; {len(found.not_planted)} not planted"
    )


def _operator(name: str) -> str:
    """`bodies if-true` for bodies:if-true-2:private.f(): without the number of the place."""
    family, operator, *_ = name.split(":")
    return f"{family} {operator.rstrip('0123456789').rstrip('-')}"
