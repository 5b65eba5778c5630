"""Two guests and two users with a job each, who else may ask, and the requests that they make.

A case is data: who asks, what for, and what has to come back. Whatever it is, nobody but the service may change or
see what belongs to others; the runner checks that after every case.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

import httpx
import jwt
import pytest

from supabase_jobs.api.keys import sign
from tests.fix_api import Api

GUESTS = ("guest_a", "guest_b")
USERS = ("user_a", "user_b")


@dataclass(frozen=True)
class Case:
    """One request and what it has to end in.

    `$guest_a`, `$job_guest_a`, … in path, body and headers stand for the ids of this test's own rows.
    `rows`: how many come back; `total`: what Content-Range says there are; `jobs`: how many the caller has afterwards
    (it starts with one).
    """

    name: str
    who: str
    request: str
    status: int
    code: str | None = None
    body: Any = None
    prefer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    total: str | None = None
    jobs: int | None = None
    says: str | None = None


@dataclass(frozen=True)
class World:
    """The ids of a test's own rows."""

    api: Api
    ids: dict[str, str]

    def fill(self, text: str) -> str:
        """A text with the ids in it."""
        return Template(text).substitute(self.ids)

    def headers(self, who: str) -> list[tuple[str, str]]:
        """The headers of a caller: `guest_a`, `user_a + guest_b`, `expired user_a`, …"""
        sent = [("apikey", self.api.keys.anon)]
        parts = who.split(" + ")
        if "service" in parts:
            sent = [("apikey", self.api.keys.service_role)]
        for part in parts:
            if part in GUESTS:
                sent.append(("X-Guest-Id", self.ids[part]))
            elif part not in ("nobody", "service"):
                sent.append(("Authorization", f"Bearer {self.token(part)}"))
        return sent

    def token(self, who: str) -> str:
        """A user's token, or one that is wrong in some way."""
        *flaw, name = who.split(" ")
        now = int(time.time())
        sub = self.fill(name) if name.startswith("$") else self.ids[name]
        claims = {"sub": sub, "role": "authenticated", "aud": "authenticated", "exp": now + 60}
        secret = self.api.keys.secret
        match flaw:
            case []:
                return self.api.keys.user(sub)
            case ["anonymous"]:
                return self.api.keys.user(sub, is_anonymous=True)
            case ["expired"]:
                return sign(secret, {**claims, "exp": now - 3600})
            case ["early"]:
                return sign(secret, {**claims, "nbf": now + 3600})
            case ["forged"]:
                return sign("another secret of enough characters", claims)
            case ["unsigned"]:
                return jwt.encode(claims, "", algorithm="none")
            case ["sha512"]:
                return jwt.encode(claims, secret.ljust(64, "x"), algorithm="HS512")
            case ["tampered"]:
                head, _, signature = self.api.keys.user(sub).split(".")
                other = jwt.encode({**claims, "role": "service_role"}, secret, algorithm="HS256").split(".")[1]
                return f"{head}.{other}.{signature}"
            case ["role", role]:
                return sign(secret, {**claims, "role": role})
            case ["roleless"]:
                return sign(secret, {key: value for key, value in claims.items() if key != "role"})
            case ["subless"]:
                return sign(secret, {key: value for key, value in claims.items() if key != "sub"})
            case ["not-uuid"]:
                return sign(secret, {**claims, "sub": "42"})
        raise AssertionError(f"no such token: {who}")

    def send(self, case: Case) -> httpx.Response:
        """Make a case's request."""
        method, path = self.fill(case.request).split(" ", 1)
        given = [(name, self.fill(value)) for name, value in case.headers.items()]
        if case.prefer:
            given.append(("Prefer", case.prefer))
        content = None
        if case.body is not None:
            content = self.fill(case.body if isinstance(case.body, str) else json.dumps(case.body))
            if not any(name.lower() == "content-type" for name, _ in given):
                given.append(("Content-Type", "application/json"))
        return self.api.request(method, path, headers=self.headers(case.who) + given, content=content)

    def callers(self, case: Case) -> set[str]:
        """Whose rows a case may touch: whom it names in full, whether or not it proves it."""
        named = {part.split(" ")[-1] for part in case.who.split(" + ")} & {*GUESTS, *USERS}
        sent = {value.strip().lower() for name, value in case.headers.items() if name.lower() == "x-guest-id"}
        return named | {name for name in (*GUESTS, "fresh") if self.ids[name] in {self.fill(v).lower() for v in sent}}

    def hidden(self, case: Case) -> list[str]:
        """The ids that the answer to a case may not hold: others', where the request does not hold them itself."""
        request = self.fill(json.dumps([case.request, case.body, *case.headers.values()])).lower()
        own = self.callers(case)
        others = [name for name in self.ids if name.removeprefix("job_") not in own and name != "GUEST_A"]
        return [name for name in others if self.ids[name] not in request]

    def owned(self) -> dict[str, list[Any]]:
        """Every row of everybody, by owner: jobs, then the guest's own."""
        found: dict[str, list[Any]] = {name: [] for name in (*GUESTS, *USERS, "fresh")}
        owners = {self.ids[name]: name for name in found}
        for owner, row in self.api.sql(_OWNED, *[list(map(uuid.UUID, owners))] * 3):
            found[owners[owner]].append(row)
        return found


_OWNED = """
select coalesce(guest_id, user_id)::text, to_jsonb(j) from public.async_jobs as j
where guest_id = any(%s) or user_id = any(%s)
union all
select guest_id::text, to_jsonb(g) from public.guest_users as g where guest_id = any(%s)
order by 2
"""


_PLANT = """
with users as (insert into auth.users (id, aud, role) select u, 'authenticated', 'authenticated' from unnest(%s) as u),
guests as (insert into public.guest_users (guest_id) select unnest(%s))
select 1
"""


@pytest.fixture
def world(api: Api) -> Iterator[World]:
    """The rows of one test; gone afterwards."""
    ids = {name: uuid.uuid4() for name in (*GUESTS, *USERS, "fresh")}
    api.sql(_PLANT, [ids[name] for name in USERS], [ids[name] for name in GUESTS])
    jobs = {f"job_{name}": api.new_job(guest=ids[name]) for name in GUESTS}
    jobs |= {f"job_{name}": api.new_job(user=ids[name]) for name in USERS}
    texts = {name: str(value) for name, value in (ids | jobs).items()}
    yield World(api, texts | {"GUEST_A": texts["guest_a"].upper()})
    made = list(ids.values())
    api.sql("delete from public.async_jobs where guest_id = any(%s) or user_id = any(%s)", made, made)
    api.sql("delete from public.guest_users where guest_id = any(%s)", made)
    api.sql("delete from auth.users where id = any(%s)", made)
