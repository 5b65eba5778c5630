"""Tests of row level security, for a project's own tables: the pytest plugin and what its fixtures give.

Loading this costs next to nothing, because pytest loads the plugin wherever this package is installed: the names
below are looked up when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supabase_jobs.testing.api import RlsApi
    from supabase_jobs.testing.asynchronous import AsyncCaller, AsyncRls
    from supabase_jobs.testing.identity import Identity
    from supabase_jobs.testing.outcome import Outcome, Result
    from supabase_jobs.testing.synchronous import Caller, Rls

__all__ = ["AsyncCaller", "AsyncRls", "Caller", "Identity", "Outcome", "Result", "Rls", "RlsApi"]

_HOMES = {
    "AsyncCaller": "asynchronous",
    "AsyncRls": "asynchronous",
    "Caller": "synchronous",
    "Identity": "identity",
    "Outcome": "outcome",
    "Result": "outcome",
    "Rls": "synchronous",
    "RlsApi": "api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
