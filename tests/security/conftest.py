"""The plugin's rls fixture on two PostgreSQL versions, owners with a job, and the examples of
docs/security.md.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.testing import Caller, Rls
from tests.fix_db import OLDEST_AND_NEWEST

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
EXAMPLES = {
    name: "\n".join(line.removeprefix("   ") if indent else line for line in block.splitlines())
    + "\n"
    for indent, name, block in re.findall(
        r"^( *)<!-- ([a-z]+) -->\n *```\w+\n(.*?)^ *```$", TEXT, re.DOTALL | re.MULTILINE
    )
}

READ = "select * from async_jobs where id = %s"
ADD = "insert into async_jobs (url, guest_id) values ('https://x.com/1', %s)"
ADD_USERS = "insert into async_jobs (url, user_id) values ('https://x.com/1', %s)"


@pytest.fixture(params=OLDEST_AND_NEWEST, ids=lambda major: f"pg{major}")
def each_major(request: pytest.FixtureRequest) -> int:
    """The access rules on which the claims rest run on every version in tests/sql."""
    major: int = request.param
    return major


@pytest.fixture
def rls(rolled_back: Connection) -> Iterator[Rls]:
    with Rls(rolled_back, guest_header="X-Guest-Id") as rls:
        yield rls


@dataclass(frozen=True)
class JobOwner:
    """A guest or a user: its id, the id of its job, and its caller."""

    id: UUID
    job: UUID
    caller: Caller


def _insert_job(rls: Rls, column: str, owner: UUID, caller: Caller) -> JobOwner:
    job = uuid4()
    guest, user = (owner, None) if column == "guest_id" else (None, owner)
    rls.owner.execute(
        "insert into async_jobs (id, url, guest_id, user_id) values (%s, 'https://x.com/1', %s, %s)",
        [job, guest, user],
    )
    return JobOwner(owner, job, caller)


def new_guest(rls: Rls) -> JobOwner:
    """Insert a guest with a job."""
    guest = uuid4()
    rls.owner.execute("insert into guest_users (guest_id) values (%s)", [guest])
    return _insert_job(rls, "guest_id", guest, rls.as_guest(guest))


def new_user(rls: Rls) -> JobOwner:
    """Insert a user with a job."""
    user = rls.new_user()
    return _insert_job(rls, "user_id", user, rls.as_user(user))
