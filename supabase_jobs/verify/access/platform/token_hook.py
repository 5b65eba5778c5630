"""The access token hook."""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.database.request import REQUEST_SETTINGS, request_settings
from supabase_jobs.findings import Id
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.platform.auth import ROLE, Auth, become
from supabase_jobs.verify.access.platform.trial import Function, Trial
from supabase_jobs.verify.access.problem import Problem
from supabase_jobs.verify.access.reach.candidate import Candidate
from supabase_jobs.verify.access.reach.rows import rows_of, writes_of
from supabase_jobs.verify.access.reach.values import qualified
from supabase_jobs.verify.access.reach.world import attempt

_SERVICE = "service_role"


@dataclass(frozen=True)
class Written:
    """Objects that hooks may read: the tables that users write (`sources`), the functions that
    write for them, and all tables of the project.
    """

    sources: Sequence[Candidate]
    functions: Sequence[Candidate]
    tables: Sequence[Candidate]


def hooks(
    functions: Sequence[Function],
    triggers: Sequence[Function],
    written: Written,
    auth: Auth,
) -> Iterator[Trial]:
    """A token for a user who has chosen the metadata, for one who has written a row, or called
    a function that writes one, and for one whom a row names beside another user.
    """
    names = [name for trigger in triggers for name in trigger.literals]
    for function in functions:
        yield _hook(function, None, names, auth)
        for source in (*written.sources, *written.functions):
            if source.is_read_by(function.text) or source.writes_for(function.text):
                yield _hook(function, source, (), auth)
        for table in written.tables:
            if table.is_read_by(function.text):
                yield _beside_another(function, table, auth)


def _hook(
    function: Function,
    source: Candidate | None,
    names: Sequence[str],
    auth: Auth,
) -> Trial:
    """A token for a new user who has chosen the metadata, also under these names, or written its
    row of a table.
    """
    chosen = function.every(_SERVICE, "role", *names) if source is None else {}
    user, created = auth.signed_up(chosen)
    app_metadata = {"provider": "email", "providers": ["email"]}
    claims = {
        "sub": str(user),
        "role": "authenticated",
        "aud": "authenticated",
        "user_metadata": chosen,
        "app_metadata": app_metadata,
    }
    event = {"user_id": str(user), "claims": claims, "authentication_method": "password"}
    written = [] if source is None else _written(source, user, auth)
    where = "user_metadata" if source is None else source.object
    name = qualified(function.name)
    call = sql.SQL("select {}({}::jsonb)").format(name, sql.Literal(json.dumps(event)))

    def judge(result: GroupResult) -> Problem | None:
        error = result.error
        if error is not None:
            reached = len(result.answers) >= len(created)
            if not reached or source is not None or not auth.is_stopped_by(error):
                return None
            message = f"Auth issues no token: the hook fails with {sqlstate_and_message(error)}"
            return Problem(message, f"Grant {ROLE} what {function.name} uses, or correct it.")
        [(answer,)] = result.answer().rows
        issued = answer.get("claims") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or not {"claims", "error"} & answer.keys():
            message = "Auth issues no token: for a new user, the hook returns no claims"
            return Problem(message, f"Let {function.name} return the event where it adds nothing.")
        if not isinstance(issued, dict):
            return None
        taken = [name for name in ("role", "sub") if issued.get(name) != claims[name]]
        if _SERVICE in json.dumps(issued.get("app_metadata")):
            taken.append("app_metadata")
        for name in taken:
            message = (
                f"a new user chooses the claim {name} of its token: the hook takes it from"
                f" {where}, which every user writes"
            )
            fix = f"Let {function.name} take {name} from the event or app_metadata."
            return Problem(message, fix)
        return None

    return Trial(
        Id(AREA, function.name, "token"),
        function.name,
        [*created, *written, Statement(call.as_string(None))],
        judge,
    )


def _beside_another(function: Function, table: Candidate, auth: Auth) -> Trial:
    """A token for a user whom a row of a table names beside another one."""
    other, others = auth.signed_up()
    user, created = auth.signed_up()
    rows = [one for text in rows_of(table, user, other) for one in attempt(text)]
    claims = {"sub": str(user), "role": "authenticated", "aud": "authenticated"}
    event = {"user_id": str(user), "claims": claims, "authentication_method": "password"}
    name = qualified(function.name)
    call = sql.SQL("select {}({}::jsonb)").format(name, sql.Literal(json.dumps(event)))

    def judge(result: GroupResult) -> Problem | None:
        if result.error is not None:
            return None
        [(answer,)] = result.answer().rows
        issued = answer.get("claims") if isinstance(answer, dict) else None
        if not isinstance(issued, dict) or issued.get("sub") != str(other):
            return None
        return Problem(
            "the token of a user becomes that of another one: the hook takes the claim sub from"
            f" {table.object}",
            f"Let {function.name} keep sub, and add a claim of its own.",
        )

    statements = [
        *others,
        *created,
        become("none"),
        *rows,
        auth.become(),
        Statement(call.as_string(None)),
    ]
    return Trial(
        Id(AREA, function.name, f"token beside {table.object}"), function.name, statements, judge
    )


def _written(source: Candidate, user: uuid.UUID, auth: Auth) -> list[Statement]:
    """A row of the user in a table, into which the user writes the role of the service."""
    claims = {"role": "authenticated", "sub": str(user)}
    own, chosen = writes_of(source, user, _SERVICE)
    without = dict.fromkeys(REQUEST_SETTINGS, "")
    return [
        become("none"),
        *attempt(own),
        become("authenticated", request_settings(claims, {})),
        *(statement for change in chosen for statement in attempt(change)),
        auth.become(without),
    ]
