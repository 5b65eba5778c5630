"""Private channels of Realtime: who may receive and send on the topics of whose rows."""

from collections.abc import Callable, Iterator

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.parser import syntax
from supabase_jobs.findings import AccessObject, Audit, Severity
from supabase_jobs.report.producers.audit import rows
from tests.audit.conftest import run_audit
from tests.audit.recorded import in_words

OWN = """
create policy "lists: receive" on realtime.messages for select to authenticated using (
  exists (select from public.lists as l where 'list:' || l.id = (select realtime.topic()) and l.owner_id = auth.uid())
);
create policy "users: send" on realtime.messages for insert to authenticated with check (
  split_part((select realtime.topic()), ':', 1) = 'user' and split_part(realtime.topic(), ':', 2) = auth.uid()::text
)
"""
EVERYONE = "create policy \"everyone\" on realtime.messages for {} to authenticated {} (realtime.topic() like '{}:%')"
CLOSED = """
create function public.close() returns trigger language plpgsql as $$ begin raise exception 'closed'; end $$;
create trigger close before insert on realtime.messages execute function public.close();
"""
LIST, USER = "realtime.messages (list:{lists.id})", "realtime.messages (user:{user id})"


@pytest.fixture
def todos(project_url: Callable[[str], str]) -> Iterator[Connection]:
    """A transaction on the database of the project todos, with policies for topics; undone after
    the test.
    """
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        yield connection


def of_topics(result: Audit) -> list[tuple[str, str, str]]:
    return [
        (f.severity, f.id, f.cause)
        for f in result.findings
        if f.object.startswith("realtime.messages")
    ]


def test_topics_without_policies_are_not_probed(todos: Connection) -> None:
    result = run_audit(todos, repairs=False)
    assert not [cell for cell in result.cells if cell.object.startswith("realtime.messages")]


def test_topics_of_ones_own_are_no_finding(todos: Connection) -> None:
    todos.execute(OWN.encode())
    result = run_audit(todos, repairs=False)
    assert of_topics(result) == []
    assert in_words(result)[LIST]["owner"] == "read"
    assert in_words(result)[USER]["owner"] == "insert"
    assert {in_words(result)[topic]["stranger"] for topic in (LIST, USER)} == {"none"}
    assert result.not_tested == ()
    shown = {row.object: dict(row.access) for row in rows(result)}
    assert shown[LIST] == {"select": "own", "insert": "none"}
    assert shown[USER] == {"select": "none", "insert": "own"}
    [cell, *_] = [cell for cell in result.cells if cell.object == LIST]
    assert callable(cell.sql)
    assert cell.sql().startswith("select set_config('realtime.topic', 'list:")
    assert syntax.parse(cell.sql())


@pytest.mark.parametrize(
    ("sql", "severity", "id_"),
    [
        (EVERYONE.format("select", "using", "list"), Severity.ERROR, f"topic:{LIST}:select"),
        (EVERYONE.format("insert", "with check", "user"), Severity.WARNING, f"topic:{USER}:insert"),
    ],
)
def test_topic_that_strangers_use_is_a_finding_that_its_fix_ends(
    todos: Connection, sql: str, severity: Severity, id_: str
) -> None:
    todos.execute(sql.encode())
    result = run_audit(todos)
    assert of_topics(result) == [(severity, id_, 'policy "everyone"')]
    [finding] = [f for f in result.findings if f.id == id_]
    assert finding.proven
    assert finding.fix.startswith("-- Tried: it closes ")
    todos.execute(finding.fix.encode())
    assert of_topics(run_audit(todos, repairs=False)) == []


def test_fixes_of_topics_leave_owners_their_channels(todos: Connection) -> None:
    todos.execute(OWN.encode())
    intended = run_audit(todos, repairs=False)
    todos.execute(EVERYONE.format("select", "using", "list").encode())
    todos.execute(
        EVERYONE.format("insert", "with check", "user").replace("everyone", "all").encode()
    )
    todos.execute(
        'create policy "presence" on realtime.messages for select to authenticated using (extension = $$x$$)'
    )
    found = [f for f in run_audit(todos).findings if f.object in (LIST, USER)]
    assert len(found) == 2
    for finding in found:
        todos.execute(finding.fix.encode())
        todos.execute(finding.fix.encode())
    again = run_audit(todos, repairs=False)
    assert of_topics(again) == []
    for topic in map(AccessObject, (LIST, USER)):
        assert again.access[topic] == intended.access[topic]


def test_topic_of_a_row_that_everyone_reads_is_no_finding(todos: Connection) -> None:
    todos.execute(EVERYONE.format("select", "using", "list").encode())
    todos.execute('create policy "all" on public.lists for select to authenticated using (true)')
    assert of_topics(run_audit(todos, repairs=False)) == []


def test_messages_that_cannot_be_inserted_are_reported(todos: Connection) -> None:
    todos.execute(OWN.encode())
    todos.execute(CLOSED.encode())
    [item] = run_audit(todos, repairs=False).not_tested
    assert item.object == "realtime.messages"
    assert item.why.startswith("no message could be inserted: P0001: closed")
