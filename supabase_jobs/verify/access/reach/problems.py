"""Problems of the uses of a candidate: a change of what is not the caller's, or an answer
that shows it.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from supabase_jobs.findings import Severity
from supabase_jobs.verify.access.problem import Problem
from supabase_jobs.verify.access.reach.candidate import Kind
from supabase_jobs.verify.access.reach.tokens import ROLES_OF_SERVICE, has_token
from supabase_jobs.verify.access.reach.use import Use
from supabase_jobs.verify.access.reach.values import ADDRESS
from supabase_jobs.verify.access.reach.world import ANOTHER_CALLER, World

# the names of watched rows are those of the queries that watch
_ANOTHER = "another user"
_OWN_CLAIMS, _OWN_ADDRESS, _RUN = "own claims", "own address", "run"
_OWN_CONFIRMATION = "own confirmation"
_RUNS = "runs text that users write"
_CHANGES = {
    _ANOTHER: "changes or deletes a user, or a session or key, that is not the caller's",
    "a job or guest of another": "changes or deletes a job or guest that is not the caller's",
    "way to sign in": (
        "changes the providers that sign users in: its caller signs in as whoever has an address of"
        " the domain"
    ),
    "own role": (
        "lets its caller choose the role of its next token: service_role, which bypasses row level"
        " security"
    ),
    _OWN_CLAIMS: "lets its caller choose app_metadata of its next token, which policies trust",
    "own identity": (
        "adds or changes a way to sign in that no provider has confirmed: its caller can take the"
        " account of somebody else before they sign up"
    ),
    _OWN_ADDRESS: (
        "lets its caller have any address without a confirmation: whoever trusts an address takes"
        " the caller for somebody else"
    ),
    _OWN_CONFIRMATION: (
        "confirms the address of its caller: whoever trusts it takes the caller for somebody else"
    ),
    _RUN: _RUNS,
    "scheduled": "schedules text of its caller, which pg_cron runs as another role",
}
# what only the backend may see, by the mark that it has beside the secret
_OF_BACKEND = {
    "key": "a secret of Vault",
    "header": "the headers of requests that the server sends, which hold keys",
    "answer": "the answers to requests that the server sends",
    "entry": "the audit log of Auth, with the addresses of all users",
    "command": "the commands of scheduled jobs, which may hold keys",
}
_FIX_OF_FILES = (
    "Let the policies of storage.objects compare the folder or the owner of a file with the caller."
)


@dataclass(frozen=True)
class Undisturbed:
    """The state without a use: the watched rows, the address of the other user, and the tables
    whose rows keep the owner of a job from deleting it.
    """

    seen: Mapping[str, Sequence[str]]
    address: str
    blocking: Collection[str]

    @classmethod
    def after(cls, nothing: Use, deleting: Iterable[Use] = ()) -> "Undisturbed":
        """The state after a use that only asks for the address, and deletes without another use."""
        return cls(
            seen=nothing.seen or {},
            address=nothing.answer or "",
            blocking={use.blocking for use in deleting},
        )


def problem_of(world: World, uses: Sequence[Use], undisturbed: Undisturbed) -> Problem | None:
    """The first problem of the uses of a candidate."""
    found = (_problem(world, use, undisturbed) for use in uses)
    return next((problem for problem in found if problem is not None), None)


def reaches_account(use: Use, undisturbed: Mapping[str, Sequence[str]]) -> bool:
    """Whether a use has changed the account, a session or a key of the other user."""
    return use.seen is not None and use.seen.get(_ANOTHER) != undisturbed.get(_ANOTHER)


def _problem(world: World, use: Use, undisturbed: Undisturbed) -> Problem | None:
    if _keeps_job(use, undisturbed):
        return Problem(
            "can keep the owner of a job from deleting it: a row refers to it",
            "Let the foreign key have ON DELETE CASCADE or SET NULL.",
        )
    before = undisturbed.seen if use.control is None else use.control.seen
    if use.seen is None or use.is_control or before is None:
        return None
    if use.candidate is not None and use.candidate.kind is Kind.STATE:
        if use.control is None or use.control.answer == use.answer:
            return None
        return Problem("gives a job to another owner when its state changes, whom nobody has asked")
    return _change(world, before, use.seen) or _leak(world, use, undisturbed.address)


def _keeps_job(use: Use, undisturbed: Undisturbed) -> bool:
    """Whether a row that the caller can write prevents a delete, which rows that the project
    writes by itself may prevent too.
    """
    written = use.candidate.name.replace('"', "") if use.candidate is not None else ""
    return bool(use.blocking) and (
        use.blocking == written or use.blocking not in undisturbed.blocking
    )


def _change(
    world: World, before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> Problem | None:
    for what, message in _CHANGES.items():
        seen = after.get(what)
        if before.get(what) != seen and _is_chosen(world, what, seen or ()):
            return Problem(message)
    return None


def _is_chosen(world: World, what: str, seen: Sequence[str | None]) -> bool:
    """Whether what is there now is of the caller's choice, where it may be harmless otherwise."""
    if what == _OWN_CLAIMS:
        return any(_gives_rights(world, text) for text in seen)
    if what == _OWN_ADDRESS:
        # another address, as of an account that is closed, is not of the caller's choice
        return any(world.values.address in (text or "") for text in seen)
    if what == _OWN_CONFIRMATION:
        return any(seen)
    if what == _RUN:
        return f"{world.secret} run" in seen
    return True


def _gives_rights(world: World, claims: str | None) -> bool:
    """Whether app_metadata have a role of the caller's choice, or names that it has sent."""
    found = json.loads(claims or "null")
    return isinstance(found, dict) and (
        found.get("role") in ROLES_OF_SERVICE or found.get("guest_id") == str(world.other)
    )


def _leak(world: World, use: Use, address: str) -> Problem | None:
    answer, said = use.answer or "", use.said if use.names_values else ""

    def has(mark: str) -> bool:
        return f"{world.secret} {mark}" in answer

    if any(text in answer and text not in said for text in world.shown):
        return Problem("shows jobs or guests of others")
    if has_token(answer, world.other):
        return Problem("returns a token of another user, or of the service")
    if has("token"):
        return Problem(
            "returns a token or password of another user: whoever has it can become that user"
        )
    if has("device"):
        return Problem("shows with which devices another user is signed in")
    if world.phone in answer or (address and ADDRESS not in said and address in answer):
        return Problem("shows the address or telephone number of another user")
    if has("run"):
        return Problem(_RUNS)
    if use.returned(ANOTHER_CALLER):
        return Problem("sets the role or a request setting: what follows is done as another caller")
    for mark, what in _OF_BACKEND.items():
        if has(mark):
            return Problem(f"returns {what}")
    if has("setting") and "secret setting" in world.present:
        return Problem(
            "returns a setting that its caller names, and a setting of this database looks like a"
            " secret"
        )
    if has("changed"):
        return Problem("lets them delete or replace files of others", _FIX_OF_FILES)
    if has("file"):
        # whoever has signed in may be meant, but nobody without an account
        is_meant = not use.names_values and use.caller.role == "authenticated"
        return Problem(
            "shows files of others in a bucket that is not public",
            _FIX_OF_FILES,
            Severity.WARNING if is_meant else Severity.ERROR,
        )
    if ADDRESS in said and str(world.other) in answer and str(world.other) not in said:
        return Problem("tells the id of whoever has an address", severity=Severity.WARNING)
    if _is_version(answer, world.impersonation.connection.info.server_version // 10_000):
        return Problem("returns a file of the server that its caller names")
    return None


def _is_version(answer: str, major: int) -> bool:
    """Whether an answer is the content of the file PG_VERSION, as text or bytea."""
    text = f"{major}\n"
    return answer in (text, text.strip(), "\\x" + text.encode().hex())
