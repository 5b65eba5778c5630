"""Transaction control in a file: the pairs that are skipped, and the statements that are rejected."""

import pytest

from supabase_jobs.database.parser.statements import split
from supabase_jobs.database.parser.transactions import transaction_control


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("select 1;", []),
        ("-- begin;\nselect 'commit;';\ndo $$ begin commit; end $$;", []),
        ("begin;\nselect 1;\ncommit;", [(1, 3)]),
        ("/* x */ BEGIN WORK;\nselect 1;\n-- done\nEND;\n", [(1, 4)]),
        ("start transaction;\nselect 1;\nend transaction;", [(1, 3)]),
        ("select 1;\nbegin transaction;\nselect 2;\ncommit work;\nselect 3;", [(2, 4)]),
        ("begin;\nselect 1;\ncommit;\nbegin;\nselect 2;\ncommit;", [(1, 3), (4, 6)]),
        ("begin;\nsavepoint a;\nrollback to a;\nrelease a;\ncommit;", [(1, 5)]),
        ("begin;\nset local search_path = '';\ncommit;\n-- end", [(1, 3)]),
        ("begin;\nset local search_path = '';\nreset search_path;\ncommit;\nselect 1;", [(1, 4)]),
        ("begin;\nset local search_path = '';\nreset all;\ncommit;\nselect 1;", [(1, 4)]),
        ("begin;\nset search_path = '';\ncommit;\nselect 1;", [(1, 3)]),
        ("set local search_path = '';\nbegin;\ncommit;\nselect 1;", [(2, 3)]),
        ("begin;\nset transaction read only;\ncommit;", [(1, 3)]),
        ("begin read write;\nselect 1;\ncommit;", [(1, 3)]),
        (
            "start transaction isolation level READ COMMITTED, not deferrable;\nselect 1;\ncommit;",
            [(1, 3)],
        ),
        ("begin;\nset transaction isolation level read committed;\ncommit;", [(1, 3)]),
        ("set session characteristics as transaction isolation level serializable;\nselect 1;", []),
    ],
)
def test_pairs_are_found(text: str, lines: list[tuple[int, int]]) -> None:
    control = transaction_control(split(text))
    assert [(block.begin.line, block.commit.line) for block in control.blocks] == lines
    assert control.rejected == ()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("select 1;\nbegin;\nselect 2;", 2, "without a commit; remove it"),
        ("select 1;\ncommit;", 2, "begins or ends a transaction; remove it"),
        ("begin;\nselect 1;\ncommit;\nend;", 4, "begins or ends a transaction; remove it"),
        ("begin;\nbegin;\nselect 1;\ncommit;", 2, "inside another; remove it"),
        ("begin;\nselect 1;\nrollback;", 3, "rolls back the transaction; remove it"),
        ("select 1;\nabort;", 2, "rolls back the transaction; remove it"),
        ("begin isolation level serializable;\nselect 1;\ncommit;", 1, "remove the mode"),
        ("begin read only;\nselect 1;", 1, "remove the mode"),
        (
            "set transaction isolation level serializable;\nselect 1;",
            1,
            "remove it, because it is not applied",
        ),
        (
            "begin;\nset transaction deferrable;\nselect 1;\ncommit;",
            2,
            "remove it, because it is not applied",
        ),
        (
            "set local transaction_isolation = 'serializable';",
            1,
            "remove it, because it is not applied",
        ),
        ("begin;\nselect 1;\ncommit and chain;\ncommit;", 3, "begins or ends a transaction"),
        ("prepare transaction 'x';", 1, "begins or ends a transaction"),
        ("commit prepared 'x';", 1, "begins or ends a transaction"),
        (
            "begin;\nset local search_path = '';\ncommit;\nselect 1;",
            2,
            "write `reset search_path;` before that commit",
        ),
        (
            "begin;\nset local a.b = 1;\ncommit;\nbegin;\nselect 1;\ncommit;",
            2,
            "write `reset a.b;`",
        ),
    ],
)
def test_statements_are_rejected_with_a_remedy(text: str, line: int, reason: str) -> None:
    [(statement, message)] = transaction_control(split(text)).rejected
    assert statement.line == line
    assert reason in message


def test_prepared_statements_are_no_transaction_control() -> None:
    assert transaction_control(split("prepare p as select 1;\nexecute p;")) == transaction_control(
        ()
    )
