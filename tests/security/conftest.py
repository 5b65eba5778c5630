"""Two guests and two users with a job each, on every version; the examples of docs/security.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.testing import Caller, Rls

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
EXAMPLES = {
    name: "\n".join(line.removeprefix("   ") if indent else line for line in block.splitlines()) + "\n"
    for indent, name, block in re.findall(
        r"^( *)<!-- ([a-z]+) -->\n *```\w+\n(.*?)^ *```$", TEXT, re.DOTALL | re.MULTILINE
    )
}

READ = "select * from async_jobs where id = %s"
ADD = "insert into async_jobs (url, guest_id) values ('https://x.com/1', %s)"
ADD_USERS = "insert into async_jobs (url, user_id) values ('https://x.com/1', %s)"


@pytest.fixture
def rls(rolled_back: Connection) -> Iterator[Rls]:
    with Rls(rolled_back, guest_header="X-Guest-Id") as session:
        yield session


@dataclass(frozen=True)
class Owner:
    """A guest or a user: its id, its job's, and how to act as it."""

    id: UUID
    job: UUID
    caller: Caller


def _owner(rls: Rls, column: str, owner: UUID, caller: Caller) -> Owner:
    job = uuid4()
    guest, user = (owner, None) if column == "guest_id" else (None, owner)
    rls.owner.execute(
        "insert into async_jobs (id, url, guest_id, user_id) values (%s, 'https://x.com/1', %s, %s)", [job, guest, user]
    )
    return Owner(owner, job, caller)


def new_guest(rls: Rls) -> Owner:
    """A guest with a job."""
    guest = uuid4()
    rls.owner.execute("insert into guest_users (guest_id) values (%s)", [guest])
    return _owner(rls, "guest_id", guest, rls.as_guest(guest))


def new_user(rls: Rls) -> Owner:
    """A user with a job."""
    user = rls.new_user()
    return _owner(rls, "user_id", user, rls.as_user(user))
