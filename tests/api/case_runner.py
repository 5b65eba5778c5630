"""Cases of the API: a caller, a request and the expected response, run on two guests and two users
with one job each.

After every case the test checks that only the service read or changed rows of others.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import TYPE_CHECKING, Any

import pytest

from supabase_jobs.api.keys import sign
from tests.fix_api import Api

if TYPE_CHECKING:
    import httpx

GUESTS = ("guest_a", "guest_b")
USERS = ("user_a", "user_b")


@dataclass(frozen=True)
class Case:
    """One request and its expected response.

    `$guest_a`, `$job_guest_a`, … in path, body and headers are replaced with the ids of the fixture
    rows. `rows`: the number of returned rows; `total`: the total in Content-Range; `contains`: a
    text of the response; `jobs`: the number of jobs of the caller afterwards (one before).
    """

    name: str
    caller: str
    request: str
    status: int
    code: str | None = None
    body: Any = None
    prefer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    total: str | None = None
    jobs: int | None = None
    contains: str | None = None


@dataclass(frozen=True)
class CaseRunner:
    """Sends requests with the ids of the fixture rows."""

    api: Api
    ids: dict[str, str]

    def fill(self, text: str) -> str:
        """Replace the placeholders in a text with ids."""
        return Template(text).substitute(self.ids)

    def headers(self, caller: str) -> list[tuple[str, str]]:
        """The headers of a caller: `guest_a`, `user_a + guest_b`, `expired user_a`, …"""
        sent = [("apikey", self.api.keys.anon)]
        parts = caller.split(" + ")
        if "service" in parts:
            sent = [("apikey", self.api.keys.service_role)]
        for part in parts:
            if part in GUESTS:
                sent.append(("X-Guest-Id", self.ids[part]))
            elif part not in ("anon", "service"):
                sent.append(("Authorization", f"Bearer {self.token(part)}"))
        return sent

    def token(self, caller: str) -> str:
        """A user's token, or an invalid one."""
        import jwt

        *flaw, name = caller.split(" ")
        now = int(time.time())
        sub = self.fill(name) if name.startswith("$") else self.ids[name]
        claims = {"sub": sub, "role": "authenticated", "aud": "authenticated", "exp": now + 60}
        secret = self.api.keys.secret
        match flaw:
            case []:
                return self.api.keys.user_token(sub)
            case ["anonymous"]:
                return self.api.keys.user_token(sub, is_anonymous=True)
            case ["expired"]:
                return sign(secret, {**claims, "exp": now - 3600})
            case ["not-yet-valid"]:
                return sign(secret, {**claims, "nbf": now + 3600})
            case ["forged"]:
                return sign("another secret of enough characters", claims)
            case ["unsigned"]:
                return jwt.encode(claims, "", algorithm="none")
            case ["HS512"]:
                return jwt.encode(claims, secret.ljust(64, "x"), algorithm="HS512")
            case ["tampered"]:
                head, _, signature = self.api.keys.user_token(sub).split(".")
                other = jwt.encode(
                    {**claims, "role": "service_role"}, secret, algorithm="HS256"
                ).split(".")[1]
                return f"{head}.{other}.{signature}"
            case ["role", role]:
                return sign(secret, {**claims, "role": role})
            case ["no-role"]:
                return sign(secret, {key: value for key, value in claims.items() if key != "role"})
            case ["no-sub"]:
                return sign(secret, {key: value for key, value in claims.items() if key != "sub"})
            case ["not-uuid"]:
                return sign(secret, {**claims, "sub": "42"})
        raise AssertionError(f"unknown kind of token: {caller}")

    def send(self, case: Case) -> "httpx.Response":
        """Send the request of a case."""
        method, path = self.fill(case.request).split(" ", 1)
        headers = [(name, self.fill(value)) for name, value in case.headers.items()]
        if case.prefer:
            headers.append(("Prefer", case.prefer))
        content = None
        if case.body is not None:
            content = self.fill(case.body if isinstance(case.body, str) else json.dumps(case.body))
            if not any(name.lower() == "content-type" for name, _ in headers):
                headers.append(("Content-Type", "application/json"))
        return self.api.request(
            method, path, headers=self.headers(case.caller) + headers, content=content
        )

    def callers(self, case: Case) -> set[str]:
        """The owners whose rows a case may read and change: those whose full id it sends, with or
        without proof.
        """
        named = {part.split(" ")[-1] for part in case.caller.split(" + ")} & {*GUESTS, *USERS}
        header_values = {
            value.strip().lower()
            for name, value in case.headers.items()
            if name.lower() == "x-guest-id"
        }
        return named | {
            name
            for name in (*GUESTS, "fresh")
            if self.ids[name] in {self.fill(v).lower() for v in header_values}
        }

    def hidden(self, case: Case) -> list[str]:
        """The ids that the response must not contain: ids of others that are not in the request."""
        request = self.fill(json.dumps([case.request, case.body, *case.headers.values()])).lower()
        own = self.callers(case)
        others = [
            name for name in self.ids if name.removeprefix("job_") not in own and name != "GUEST_A"
        ]
        return [name for name in others if self.ids[name] not in request]

    def rows_by_owner(self) -> dict[str, list[Any]]:
        """All rows by owner: the jobs, and the guest's own row."""
        rows: dict[str, list[Any]] = {name: [] for name in (*GUESTS, *USERS, "fresh")}
        owners = {self.ids[name]: name for name in rows}
        for owner, row in self.api.sql(_ROWS_BY_OWNER, *[list(map(uuid.UUID, owners))] * 3):
            rows[owners[owner]].append(row)
        return rows


_ROWS_BY_OWNER = """
select coalesce(guest_id, user_id)::text, to_jsonb(j) from public.async_jobs as j
where guest_id = any(%s) or user_id = any(%s)
union all
select guest_id::text, to_jsonb(g) from public.guest_users as g where guest_id = any(%s)
order by 2
"""


_INSERT_OWNERS = """
with users as (insert into auth.users (id, aud, role) select u, 'authenticated', 'authenticated' from unnest(%s) as u),
guests as (insert into public.guest_users (guest_id) select unnest(%s))
select 1
"""


@pytest.fixture
def case_runner(api: Api) -> Iterator[CaseRunner]:
    """A runner with fixture rows, which are deleted after the test."""
    ids = {name: uuid.uuid4() for name in (*GUESTS, *USERS, "fresh")}
    api.sql(_INSERT_OWNERS, [ids[name] for name in USERS], [ids[name] for name in GUESTS])
    jobs = {f"job_{name}": api.new_job(guest=ids[name]) for name in GUESTS}
    jobs |= {f"job_{name}": api.new_job(user=ids[name]) for name in USERS}
    texts = {name: str(value) for name, value in (ids | jobs).items()}
    yield CaseRunner(api, texts | {"GUEST_A": texts["guest_a"].upper()})
    owners = list(ids.values())
    api.sql(
        "delete from public.async_jobs where guest_id = any(%s) or user_id = any(%s)",
        owners,
        owners,
    )
    api.sql("delete from public.guest_users where guest_id = any(%s)", owners)
    api.sql("delete from auth.users where id = any(%s)", owners)
