"""`supabase-jobs migrate-guest`."""

import re
from uuid import UUID

import click

from supabase_jobs.cli.common import (
    as_json,
    connected,
    json_option,
    print_json,
    settings,
    shared_options,
)

_EFFECT = "migrate-guest moves the jobs of one guest to one user, in one transaction"
_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EXAMPLE = "6f1c2a52-6c1f-4f0e-9a43-1a2b3c4d5e6f 0b9d8c7a-1234-4abc-8def-001122334455"


class _Id(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A UUID in its usual form; the error does not repeat the value, which may be a mistyped
    secret.
    """

    name = "uuid"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        if not _FORM.fullmatch(value):
            self.fail("not a UUID; the form is 01234567-89ab-cdef-0123-456789abcdef", param, ctx)
        return UUID(value)


@click.command(name="migrate-guest", epilog=f"Example: supabase-jobs migrate-guest {_EXAMPLE}")
@click.argument("guest", metavar="GUEST_ID", type=_Id())
@click.argument("user", metavar="USER_ID", type=_Id())
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, guest: UUID, user: UUID) -> None:
    """Move all jobs of a guest to a user, mark the guest as migrated, and print the number of jobs.

    Running it again does no harm. An unknown guest has 0 jobs; an unknown user is an error (exit
    code 2). A guest's id works like a password, so only its last four digits are printed.
    """
    from supabase_jobs.operations.migrate_guest import mask, migrate_guest

    with connected(settings(ctx), _EFFECT) as connection:
        moved = migrate_guest(connection, guest, user)
    if as_json(ctx):
        print_json({"migrated": moved, "guest_id": mask(guest), "user_id": str(user)})
    else:
        click.echo(f"moved {moved:,} jobs of guest {mask(guest)} to user {user}")
