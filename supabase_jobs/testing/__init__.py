"""The pytest plugin for tests of row level security, and the classes behind its fixtures.

pytest loads this package in every run, so the names below are imported only when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supabase_jobs.testing.assertions import Outcome
    from supabase_jobs.testing.impersonation import Result
    from supabase_jobs.testing.rls import Caller, Rls
    from supabase_jobs.testing.rls_api import RlsApi
    from supabase_jobs.testing.rls_async import AsyncCaller, AsyncRls

__all__ = [
    "AsyncCaller",
    "AsyncRls",
    "Caller",
    "Outcome",
    "Result",
    "Rls",
    "RlsApi",
]

_MODULES = {
    "AsyncCaller": "rls_async",
    "AsyncRls": "rls_async",
    "Caller": "rls",
    "Outcome": "assertions",
    "Result": "impersonation",
    "Rls": "rls",
    "RlsApi": "rls_api",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
