"""Completion of values by the TAB key, and the request that a shell makes for it."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# click's name of the variable; its value is a shell and what is asked of the program
VARIABLE = "_SUPABASE_JOBS_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")

# the kinds of faults of mutation.suite.faults, which the TAB key does not load
KINDS = ("policies", "privileges", "functions")

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def listed(*names: str) -> Complete:
    """Complete the last name of a list separated by commas, without those that the list has."""
    return lambda _ctx, _option, incomplete: complete_list(names, incomplete)


def complete_list(names: Sequence[str], incomplete: str) -> list[str]:
    """The lists that begin with `incomplete` and end with one of the names."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [
        f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in given
    ]


def name_and_folder(
    *names: str,
) -> "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]":
    """Complete an option with two values, of which click does not say which one: a name, else a
    folder.
    """

    def complete(
        _ctx: click.Context, _option: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return [
            CompletionItem(incomplete, "dir"),
            *found,
        ]  # the scripts forget what comes before a folder

    return complete


def prepare(environ: Mapping[str, str] = os.environ) -> None:
    """Before click answers a shell: raise ConfigError if it would not understand the request."""
    if not (request := environ.get(VARIABLE)):
        return
    shell, _, action = request.partition("_")
    if shell not in _SHELLS or action not in ("source", "complete"):
        raise ConfigError(
            f"{VARIABLE} is {request!r}, which is no completion for bash, zsh or fish",
            hint=f"Set it to bash_source, zsh_source or fish_source: {VARIABLE}=bash_source"
            " supabase-jobs",
        )
    position = environ.get("COMP_CWORD") if "COMP_WORDS" in environ else None
    if action == "complete" and (
        position is None or (shell != "fish" and not position.isdecimal())
    ):
        raise ConfigError(
            f"{VARIABLE} is {request!r} without the command line in COMP_WORDS and COMP_CWORD",
            hint=f"The script of {VARIABLE}={shell}_source sets them.",
        )
    if shell == "fish":
        _keep_commas()


def _keep_commas() -> None:
    """Let the script for fish split the type of a value from the value only, and not a list."""
    from click.shell_completion import FishComplete

    FishComplete.source_template = FishComplete.source_template.replace(
        "string split ", "string split --max 1 "
    )
