"""The table locks of a statement, from its parse tree: those that block writers, or readers too.
Knows no database.

Source of the modes: the PostgreSQL manual, "Explicit Locking" and "ALTER TABLE". Locks of code that
a statement runs (a function, a DO block, an event trigger), and those that need the catalogs (DROP
TABLE locks the tables that its foreign keys refer to), are not in its tree.
"""

from collections.abc import Iterator
from typing import Any

from supabase_jobs.database.parser.syntax import Node

# as in pg_locks, weakest first
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_SHARE, _SHARE_ROW_EXCLUSIVE, _EXCLUSIVE, _ACCESS_EXCLUSIVE = MODES[4:]
# the modes that conflict with the row locks of INSERT, UPDATE and DELETE
BLOCKING_MODES = MODES[4:]
# ALTER TABLE takes ACCESS EXCLUSIVE but for these; None: a lock that does not block writers
_ALTER_MODES = {
    "AT_AttachPartition": None,
    "AT_ClusterOn": None,
    "AT_DropCluster": None,
    "AT_ResetOptions": None,
    "AT_ResetRelOptions": None,
    "AT_SetOptions": None,
    "AT_SetRelOptions": None,
    "AT_SetStatistics": None,
    "AT_ValidateConstraint": None,
    "AT_DisableTrig": _SHARE_ROW_EXCLUSIVE,
    "AT_DisableTrigAll": _SHARE_ROW_EXCLUSIVE,
    "AT_DisableTrigUser": _SHARE_ROW_EXCLUSIVE,
    "AT_EnableAlwaysTrig": _SHARE_ROW_EXCLUSIVE,
    "AT_EnableReplicaTrig": _SHARE_ROW_EXCLUSIVE,
    "AT_EnableTrig": _SHARE_ROW_EXCLUSIVE,
    "AT_EnableTrigAll": _SHARE_ROW_EXCLUSIVE,
    "AT_EnableTrigUser": _SHARE_ROW_EXCLUSIVE,
}
_RELATIONS = {"OBJECT_TABLE", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE", "OBJECT_INDEX"}
_PARTS = {"OBJECT_POLICY", "OBJECT_RULE", "OBJECT_TRIGGER"}
# statement kind → its mode on `relation` (a policy: `table`)
_ON_RELATION = {
    "AlterObjectSchemaStmt": _ACCESS_EXCLUSIVE,
    "AlterPolicyStmt": _ACCESS_EXCLUSIVE,
    "ClusterStmt": _ACCESS_EXCLUSIVE,
    "CreatePolicyStmt": _ACCESS_EXCLUSIVE,
    "CreateTrigStmt": _SHARE_ROW_EXCLUSIVE,
    "IndexStmt": _SHARE,
    "ReindexStmt": _SHARE,
    "RenameStmt": _ACCESS_EXCLUSIVE,
    "RuleStmt": _ACCESS_EXCLUSIVE,
}

TableLock = tuple[str | None, str, str]


def table_locks(node: Node) -> Iterator[TableLock]:
    """(schema, table or index, mode) of each lock that blocks writers; an unqualified name has no
    schema.
    """
    kind, fields = next(iter(node.items()))
    relation = (
        fields.get("relation") or (fields.get("table") if "policy_name" in fields else None) or {}
    )
    match kind:
        case "AlterTableStmt":
            commands = [command["AlterTableCmd"] for command in fields["cmds"]]
            modes = [mode for command in commands if (mode := _alter_mode(command)) is not None]
            if modes:
                yield _lock(relation, max(modes, key=MODES.index))
            partitions = [
                c["def"]["PartitionCmd"]["name"]
                for c in commands
                if c["subtype"] == "AT_AttachPartition"
            ]
            yield from (_lock(partition, _ACCESS_EXCLUSIVE) for partition in partitions)
        case "DropStmt" if fields["removeType"] in _RELATIONS | _PARTS and not fields.get(
            "concurrent"
        ):
            for names in fields["objects"]:
                path = [part["String"]["sval"] for part in names["List"]["items"]]
                *schema, table = path[:-1] if fields["removeType"] in _PARTS else path
                yield (schema[-1] if schema else None, table, _ACCESS_EXCLUSIVE)
        case "TruncateStmt":
            for table in fields["relations"]:
                yield _lock(table["RangeVar"], _ACCESS_EXCLUSIVE)
        case "LockStmt":
            mode = MODES[fields["mode"] - 1]
            yield from (
                _lock(table["RangeVar"], mode)
                for table in fields["relations"]
                if mode in BLOCKING_MODES
            )
        case "RefreshMatViewStmt":
            yield _lock(relation, _EXCLUSIVE if fields.get("concurrent") else _ACCESS_EXCLUSIVE)
        case "CreateStmt" if "partbound" in fields:
            yield from (
                _lock(parent["RangeVar"], _ACCESS_EXCLUSIVE) for parent in fields["inhRelations"]
            )
        case "RenameStmt" if fields["renameType"] == "OBJECT_INDEX":
            return  # SHARE UPDATE EXCLUSIVE on the index only
        case _ if kind in _ON_RELATION and relation and not fields.get("concurrent"):
            yield _lock(relation, _ON_RELATION[kind])
    if kind in {"AlterTableStmt", "CreateStmt"}:
        # a foreign key adds triggers to the table that it refers to
        yield from (_lock(table, _SHARE_ROW_EXCLUSIVE) for table in _referenced(fields))


def _alter_mode(command: Node) -> str | None:
    constraint = command.get("def", {}).get("Constraint", {})
    if command["subtype"] == "AT_AddConstraint" and constraint.get("contype") == "CONSTR_FOREIGN":
        return _SHARE_ROW_EXCLUSIVE
    return _ALTER_MODES.get(command["subtype"], _ACCESS_EXCLUSIVE)


def _referenced(tree: Any) -> Iterator[Node]:
    if isinstance(tree, list):
        for part in tree:
            yield from _referenced(part)
    elif isinstance(tree, dict):
        if "pktable" in tree:
            yield tree["pktable"]
        for part in tree.values():
            yield from _referenced(part)


def _lock(relation: Node, mode: str) -> TableLock:
    return relation.get("schemaname"), relation["relname"], mode
