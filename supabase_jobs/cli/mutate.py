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
    from supabase_jobs.mutation.run import MutationResult

SURVIVOR_EXIT_CODE = 1


@click.command(epilog="Example: supabase-jobs mutate --only access,functions,plans")
@click.option(
    "--only",
    metavar="AREA,…",
    help="Areas of verify that may kill a mutant (default: all): structure, access, functions, plans. Without"
    " structure, only the effect of a fault kills it, and the command takes several times as long.",
)
@click.option("--allow-remote", is_flag=True, help="Allow a database on another machine.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, only: str | None, allow_remote: bool) -> None:
    """Inject faults into a local database, one at a time, and report which of them verify detects.

    The faults are derived from the catalogs: policies, privileges, constraints, indexes, functions and others. Each is
    injected in a transaction, verified and rolled back. Exits 1 if a mutant survived.
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
        result = mutate(connection, expectations, areas, progress=progress)
    if as_json(ctx):
        print_json(_document(result))
    else:
        _print(result)
    ctx.exit(SURVIVOR_EXIT_CODE if result.survivors else 0)


def _document(result: "MutationResult") -> dict[str, object]:
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
            for m in result.mutants
        ],
        "killed": result.killed,
        "total": len(result.mutants),
        "waived": [{"id": m.fault.id, "reason": m.waived} for m in result.waived],
        "not_injected": [{"id": fault.id, "error": error, "sql": fault.sql} for fault, error in result.not_injected],
    }


def _print(result: "MutationResult") -> None:
    for mutant in result.survivors:
        click.echo(f"SURVIVED  {mutant.fault.id}\n  {mutant.fault.object}: {mutant.fault.description}")
        click.echo("".join(f"  {line}\n" for line in mutant.fault.sql.splitlines()))
    for mutant in result.waived:
        click.echo(f"waived  {mutant.fault.id}\n  {mutant.waived}\n")
    for fault, error in result.not_injected:
        narrate(f"not injected: {fault.id}: {error}")
    totals = Counter(_operator(m.fault.id) for m in result.mutants)
    killed = Counter(_operator(m.fault.id) for m in result.mutants if m.killed)
    width = max((len(name) for name in totals), default=0)
    for name, total in totals.items():
        click.echo(f"{name:<{width}}  {killed[name]:>4} of {total:>4} killed")
    verdict = "FAILED" if result.survivors else "ok"
    click.echo(
        f"{verdict}: {len(result.mutants)} mutants, {result.killed} killed, {len(result.waived)} waived,"
        f" {len(result.survivors)} survived; {len(result.not_injected)} not injected"
    )


def _operator(fault_id: str) -> str:
    """The family and the operator of a fault: `bodies if-true` for `bodies:if-true-2:private.f()`."""
    family, operator, *_ = fault_id.split(":")
    return f"{family} {operator.rstrip('0123456789').rstrip('-')}"
