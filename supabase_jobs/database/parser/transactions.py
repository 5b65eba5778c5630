"""Transaction control in a migration file: pairs of `begin` and `commit`, and what is rejected.
Knows no database.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import FileStatement, first_word

# The first words of transaction control, and of a setting that ends with its transaction; only
# these are parsed.
_WORDS = {"begin", "start", "commit", "end", "rollback", "abort", "prepare"}
_SETTING_WORDS = {"set", "reset"}
_BEGIN = ("TRANS_STMT_BEGIN", "TRANS_STMT_START")
_NOT_APPLIED = (
    "sets a mode of the transaction, which must come before its first"
    " statement; remove it, because it is not applied"
)
_IN_A_TRANSACTION = "because each file already runs in a transaction"


@dataclass(frozen=True)
class TransactionBlock:
    """A `begin` and its `commit`."""

    begin: FileStatement
    commit: FileStatement


@dataclass(frozen=True)
class TransactionControl:
    """The transaction blocks of a file, and the rejected statements, each with the reason and the
    remedy.
    """

    blocks: tuple[TransactionBlock, ...] = ()
    rejected: tuple[tuple[FileStatement, str], ...] = ()

    @property
    def paired(self) -> frozenset[FileStatement]:
        """Every `begin` and `commit` that belongs to a block."""
        return frozenset(
            statement for block in self.blocks for statement in (block.begin, block.commit)
        )


def transaction_control(statements: Sequence[FileStatement]) -> TransactionControl:
    """Find the transaction blocks of a file that runs in one transaction.

    Rejected are a statement without its counterpart, a rollback, and what means something else in
    one transaction: a transaction mode, a chained or prepared transaction, and a `set local` that
    would outlast its block.
    """
    blocks: list[TransactionBlock] = []
    rejected: list[tuple[FileStatement, str]] = []
    begin: FileStatement | None = None
    local: dict[str, FileStatement] = {}  # the settings of the open block, and of all finished ones
    outlasting: dict[str, FileStatement] = {}
    for statement in statements:
        word = first_word(statement.text)
        node = _only_node(statement) if word in _WORDS or (word in _SETTING_WORDS) else {}
        if syntax.sets_first_mode(node):
            rejected.append((statement, _NOT_APPLIED))
        elif begin is not None and "VariableSetStmt" in node:
            _track(node["VariableSetStmt"], statement, local)
        if not syntax.ends_transaction(node):
            if outlasting and syntax.parse(statement.text) != []:
                rejected += [(setting, _outlasts(name)) for name, setting in outlasting.items()]
                outlasting = {}
            continue
        control = node["TransactionStmt"]
        if control["kind"] in _BEGIN:
            if begin is not None:
                rejected.append(
                    (
                        statement,
                        f"begins a transaction inside another; remove it, {_IN_A_TRANSACTION}",
                    )
                )
            elif syntax.changes_mode(control.get("options", [])):
                rejected.append(
                    (
                        statement,
                        "sets the mode of a transaction; remove the mode, which is not applied",
                    )
                )
                begin = statement
            else:
                begin = statement
        elif (
            control["kind"] == "TRANS_STMT_COMMIT"
            and begin is not None
            and not control.get("chain")
        ):
            blocks.append(TransactionBlock(begin, statement))
            outlasting, local, begin = {**outlasting, **local}, {}, None
        elif control["kind"] == "TRANS_STMT_ROLLBACK":
            rejected.append(
                (statement, f"rolls back the transaction; remove it, {_IN_A_TRANSACTION}")
            )
            local, begin = {}, None
        else:
            rejected.append(
                (statement, f"begins or ends a transaction; remove it, {_IN_A_TRANSACTION}")
            )
    if begin is not None and not any(statement is begin for statement, _ in rejected):
        rejected.append(
            (begin, f"begins a transaction without a commit; remove it, {_IN_A_TRANSACTION}")
        )
    return TransactionControl(tuple(blocks), tuple(rejected))


def _only_node(statement: FileStatement) -> syntax.Node:
    nodes = syntax.parse(statement.text) or [{}]
    return nodes[0]


def _track(setting: syntax.Node, statement: FileStatement, local: dict[str, FileStatement]) -> None:
    """Add a `set local` to the settings of the open block, or remove one that is reset."""
    name = setting.get("name", "")
    if setting["kind"] in ("VAR_RESET", "VAR_SET_DEFAULT"):
        local.pop(name, None)
    elif setting["kind"] == "VAR_RESET_ALL":
        local.clear()
    elif setting.get("is_local"):
        local[name] = statement


def _outlasts(name: str) -> str:
    return (
        f"set local {name} would apply to the rest of the file, because the commit after it is not"
        " run; write"
        f" `reset {name};` before that commit, or move the rest to a file of its own"
    )
