"""The world in which candidates are used: the caller and another user, what has happened, and what
is watched.
"""

import re
import secrets
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from string import Template

from supabase_jobs.database.batch import Statement, read
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.session import script
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import (
    CHECK_DEFERRED,
    Impersonation,
    caller_statement,
    committed,
    own_role,
    reset_statement,
)
from supabase_jobs.session.runner import Runner, probes_of
from supabase_jobs.verify.access.matrix import AccessDeclaration, Given, Reach
from supabase_jobs.verify.access.reach.candidate import Candidate, Kind
from supabase_jobs.verify.access.reach.use import Answered, Use
from supabase_jobs.verify.access.reach.values import Values
from supabase_jobs.verify.context import Context

_HERE = Path(__file__).parent
_PRESENT = sql_file(_HERE / "present.sql")
_PREPARE = sql_file(_HERE / "prepare.sql")
_USERS = sql_file(_HERE / "watch_users.sql")
_AUTH = sql_file(_HERE / "watch_auth.sql")
_CRON = sql_file(_HERE / "watch_cron.sql")
_EVENT = sql_file(_HERE / "event.sql")
_TOPIC = sql_file(_HERE / "topic.sql")
_ATTEMPT = sql_file(_HERE / "attempt.sql")
_CALLER = sql_file(_HERE / "caller.sql")
_ANOTHER_CALLER = sql_file(_HERE / "another_caller.sql")

_IDENTITY = ["role", *REQUEST_SETTINGS]
_CALLS_PER_PROBE = 30
# what the answers of a relation need not contain because it was sent
_WITHOUT_VALUES = (Kind.RELATION, Kind.MESSAGES)

# returns a row if the caller has become another one
ANOTHER_CALLER = _ANOTHER_CALLER.statement(_IDENTITY)


def attempt(statement: str) -> list[Statement]:
    """A statement of the own role, of which nothing remains if it fails."""
    return [
        Statement("select set_config('verify.statement', %s, true)", (statement,)),
        _ATTEMPT.statement(),
    ]


def happened(given: Given, impersonation: Impersonation) -> list[Statement]:
    """The statements for one that happens before, as a request if it has a caller."""
    statements = attempt(script.filled(given.sql, script.quoted(impersonation.ids)))
    if given.caller is None:
        return statements
    caller = given.caller.filled(impersonation.texts)
    return [caller_statement(caller), *statements, reset_statement(impersonation, caller)]


@dataclass(frozen=True)
class World:
    """The circumstances that the uses of all candidates share. `own` is the user who calls, `other`
    another one, and `stranger` one without rows; `ids` are the other user and what belongs to it,
    `shown` the texts that only its rows show, `secret` and `phone` what nobody else has. `tables`
    are the managed ones, `sources` those that users write; `present` says what the server has.
    `watch` are the queries whose rows are compared.
    """

    impersonation: Impersonation
    context: Context
    reach: Reach
    frame: Frame
    watch: Sequence[Statement]
    values: Values
    own: uuid.UUID
    stranger: uuid.UUID
    phone: str
    present: Collection[str]
    tables: Sequence[str]
    sources: Sequence[Candidate]

    @property
    def ids(self) -> Sequence[uuid.UUID]:
        """The other user, and what belongs to it."""
        return self.values.ids

    @property
    def other(self) -> uuid.UUID:
        """The other user."""
        return self.values.other

    @property
    def secret(self) -> str:
        """A text that only what the other user or the service has contains."""
        return self.values.secret

    @property
    def shown(self) -> Sequence[str]:
        """The texts that the rows of the other user show."""
        return self.values.shown

    @property
    def own_role(self) -> Statement:
        """Gives the own role back."""
        return own_role(self.impersonation)

    @property
    def joined(self) -> Statement:
        """The statement that returns a row after the guest has become a user."""
        return self.statement(self.reach.joined)

    def statement(self, text: str) -> Statement:
        """A statement of the declaration, with the ids of this run."""
        return Statement(text, self.impersonation.ids)

    def caller(self, candidate: Candidate | None, role: str) -> Caller:
        """The caller who uses a candidate."""
        claims = {"role": role}
        if role == "authenticated":
            # nothing of what a relation shows is that of a user without rows
            is_relation = candidate is not None and candidate.kind is Kind.RELATION
            claims["sub"] = str(self.stranger if is_relation else self.own)
        return Caller(
            role=role,
            claims=claims,
            headers={},
            settings={"search_path": "public, extensions"},
        )

    def become(self, candidate: Candidate, role: str = "") -> Statement:
        """Becomes the caller of a candidate, the first one unless it is said which."""
        return caller_statement(self.caller(candidate, role or candidate.callers[0]))

    def identified(self, candidate: Candidate) -> list[Statement]:
        """Keeps who the caller is, if the text of a function or trigger may change it."""
        return [_CALLER.statement(_IDENTITY)] if candidate.may_change_caller else []

    def use(self, candidate: Candidate | None, role: str, statements: Sequence[Statement]) -> Use:
        """A use, after which the own role looks at what is watched."""
        own = [*statements, *([CHECK_DEFERRED] if self.impersonation.deferred else [])]
        if candidate is not None and candidate.may_change_caller:
            own.append(ANOTHER_CALLER)
        return Use(
            candidate=candidate,
            caller=self.caller(candidate, role),
            statements=[*own, self.own_role, *self.watch],
            own=len(own),
            names_values=candidate is None or candidate.kind not in _WITHOUT_VALUES,
            deletes=(candidate is None or candidate.kind is Kind.TABLE)
            and self.own_role in statements[1:],
        )

    def run(self, uses: Iterable[Use | Answered], before: Iterable[Statement] = ()) -> None:
        """Use each, after these statements."""
        frame = replace(self.frame, before=(*self.frame.before, *before))
        runner = Runner(self.impersonation, self.context.deadline, frame)
        runner.run(probes_of(uses, _CALLS_PER_PROBE))


def prepared(
    impersonation: Impersonation,
    declared: AccessDeclaration,
    frame: Frame,
    context: Context,
    events: Sequence[str],
    sources: Sequence[Candidate],
) -> World:
    """The world after the rows of the frame: the other user has what only it or the service may
    see, guests and users have made jobs, and the `events` have happened. The first two users of the
    fixture are the caller and the other one.
    """
    ids, reach = impersonation.ids, declared.reach
    own, other = (ids[name] for name in declared.fixture.users[:2])
    secret, phone = f"verify{secrets.token_hex(8)}", f"1555{secrets.randbelow(10**8):08}"
    present, [(of_auth,)] = read(
        impersonation.connection, [_PRESENT.statement(), _AUTH.statement(str(other), str(own))]
    )
    has = {name for kind, name in present if kind != "queue"}
    values = Values(
        ids=[other, *(ids[name] for name in reach.ids)],
        secret=secret,
        shown=[Template(text).safe_substitute(impersonation.texts) for text in reach.shown],
        texts=reach.texts,
        queues=[name for kind, name in present if kind == "queue"],
        has_jobs="cron.job" in has,
        state=reach.state,
    )
    settings = {
        "verify.victim": str(other),
        "verify.own": str(own),
        "verify.secret": secret,
        "verify.phone": phone,
        "verify.ids": "{" + ",".join(map(str, values.ids)) + "}",
        "verify.shown": "|".join(map(re.escape, values.shown)),
    }
    before = [
        *frame.before,
        *(Statement("select set_config(%s, %s, true)", pair) for pair in settings.items()),
        _PREPARE.statement(),
        _EVENT.statement(),
        *chain.from_iterable(happened(given, impersonation) for given in reach.given),
        *chain.from_iterable(map(attempt, events)),
        _TOPIC.statement(),
        *committed(impersonation),
    ]
    watch = [_USERS.statement(other, own)]
    if reach.watch:
        watch.append(Statement(reach.watch, ids))
    if of_auth is not None:
        watch.append(Statement(of_auth))
    if values.has_jobs:
        watch.append(_CRON.statement(secret))
    return World(
        impersonation=impersonation,
        context=context,
        reach=reach,
        frame=Frame(tuple(before), frame.undo),
        watch=watch,
        values=values,
        own=own,
        stranger=uuid.uuid4(),
        phone=phone,
        present=has,
        tables=sorted({table for table, _, _ in declared.privileges}),
        sources=sources,
    )
