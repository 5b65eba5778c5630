"""Things that `audit` does not test, and says so: functions that change something, unknown names, a
read-only database.
"""

from collections.abc import Callable, Iterator

import pytest

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import ConfigError, PrivilegeError
from supabase_jobs.findings import NotTested

FUNCTION = """
create function public.touch() returns void language sql as 'update public.lists set name = name';
create function public.how_many() returns bigint language sql stable as 'select count(*) from public.lists';
"""


@pytest.fixture
def todos(project_url: Callable[[str], str]) -> Iterator[Connection]:
    """A transaction on the database of the project todos; undone after the test."""
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        yield connection


def test_every_function_is_called(todos: Connection) -> None:
    todos.execute(FUNCTION.encode())
    result = audit(todos, Options(repairs=False))
    assert result.not_tested == ()
    assert {cell.object for cell in result.cells if "(" in cell.object} == {
        "public.how_many()",
        "public.touch()",
    }
    assert not [
        c for c in audit(todos, Options(functions=False, repairs=False)).cells if "(" in c.object
    ]


def test_one_table(todos: Connection) -> None:
    result = audit(todos, Options(tables=["public.lists"], repairs=False))
    assert {cell.object for cell in result.cells} == {"public.lists"}
    assert result.tables == 1


@pytest.mark.parametrize("options", [Options(tables=["lost"]), Options(schemas=["lost"])])
def test_unknown_name_is_refused(todos: Connection, options: Options) -> None:
    with pytest.raises(ConfigError, match=r"no (table|schema) 'lost'"):
        audit(todos, options)


def test_read_only_database_is_refused(todos: Connection) -> None:
    todos.execute("set transaction read only")
    with pytest.raises(PrivilegeError, match="read-only"):
        audit(todos, Options())


def test_time_limit_is_reported(todos: Connection) -> None:
    result = audit(todos, Options(seconds=-1))
    assert result.cells == ()
    assert isinstance(result.not_tested[0], NotTested)
    assert result.not_tested[0].object == "database"
