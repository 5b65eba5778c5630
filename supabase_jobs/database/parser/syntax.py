"""Properties of statements, from their parse trees (libpg_query). Knows no database.

The grammar is that of PostgreSQL 17. A statement that it cannot parse (newer syntax, a psql
command, a syntax error) has no properties; the server judges it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

Node = dict[str, Any]

_SHARED_TRANSACTION = {"TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE", "TRANS_STMT_ROLLBACK_TO"}
_ROLES = {"role", "session_authorization"}
# statement kind → the field with the table, and the field with the part of it that is created
_TABLES = {
    "CreateStmt": "relation",
    "ViewStmt": "view",
    "IndexStmt": "relation",
    "CreatePolicyStmt": "table",
    "CreateTrigStmt": "relation",
}
_NAMED_PARTS = {
    "IndexStmt": "idxname",
    "CreatePolicyStmt": "policy_name",
    "CreateTrigStmt": "trigname",
}
_DROP_INDEX = "drop index concurrently"
_CONCURRENT_INDEXES = ("create index concurrently", _DROP_INDEX)
_POSITIONS = {"stmt_len", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"}


@lru_cache(maxsize=512)  # `apply` asks several questions about each statement
def parse(text: str) -> list[Node] | None:
    """The statements of a text as {kind: fields}; [] for only comment, None if it cannot be parsed.

    The result is shared; nobody changes it.
    """
    import pgparse  # takes 20 ms, which `--help` does not need

    try:
        return [tree["stmt"] for tree in pgparse.parse(text.strip("\ufeff"))]
    except pgparse.PGQueryError:
        return None


def meaning(text: str) -> str | None:
    """A text that is equal for statements that differ only in layout and comments; None if it
    cannot be parsed.
    """
    trees = parse(text)
    return None if trees is None else repr(_without_positions(trees))


def part_meaning(part: Any) -> str:
    """The same for a part of a parse tree."""
    return repr(_without_positions(part))


def ends_transaction(node: Node) -> bool:
    """Whether a statement begins or ends a transaction; savepoint commands do not."""
    return "TransactionStmt" in node and node["TransactionStmt"]["kind"] not in _SHARED_TRANSACTION


def sets_first_mode(node: Node) -> bool:
    """Whether a statement sets a mode of its transaction that PostgreSQL accepts only before the
    first query.

    READ COMMITTED, the default, is accepted at any time.
    """
    setting = node.get("VariableSetStmt", {})
    name, arguments = setting.get("name"), setting.get("args")
    if name == "TRANSACTION":
        return changes_isolation(arguments) or "transaction_deferrable" in _options(arguments)
    isolation = name == "transaction_isolation" and setting["kind"] == "VAR_SET_VALUE"
    return name == "TRANSACTION SNAPSHOT" or (
        isolation and str(_texts(arguments)[0]).lower() != "read committed"
    )


def changes_mode(modes: Sequence[Node]) -> bool:
    """Whether the modes of a `begin` differ from READ COMMITTED and READ WRITE; DEFERRABLE alone
    has no effect.
    """
    read_only = [mode["A_Const"]["ival"] for mode in _arguments(modes, "transaction_read_only")]
    return any(read_only) or changes_isolation(modes)


def changes_isolation(modes: Sequence[Node]) -> bool:
    """Whether the modes of a transaction contain an isolation level other than READ COMMITTED."""
    return set(_texts(_arguments(modes, "transaction_isolation"))) - {"read committed"} != set()


def needs_no_transaction(node: Node) -> str | None:
    """The name of a statement that PostgreSQL refuses inside a transaction; None for all others."""
    kind, fields = next(iter(node.items()))
    concurrently = {
        "IndexStmt": "create index concurrently",
        "DropStmt": _DROP_INDEX,
    }
    always = {
        "CreatedbStmt": "create database",
        "DropdbStmt": "drop database",
        "CreateTableSpaceStmt": "create tablespace",
        "DropTableSpaceStmt": "drop tablespace",
        "AlterSystemStmt": "alter system",
        "CreateSubscriptionStmt": "create subscription",
    }
    if kind in concurrently and fields.get("concurrent"):
        return concurrently[kind]
    if kind in always:
        return always[kind]
    if kind == "AlterDatabaseStmt" and "tablespace" in _options(fields.get("options")):
        return "alter database set tablespace"
    if kind == "VacuumStmt" and fields.get("is_vacuumcmd"):
        return "vacuum"
    if kind == "ClusterStmt" and "relation" not in fields:
        return "cluster"
    if kind == "DiscardStmt" and fields["target"] == "DISCARD_ALL":
        return "discard all"
    if kind == "ReindexStmt" and (
        "concurrently" in _options(fields.get("params"))
        or fields["kind"]
        in ("REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE")
    ):
        return "reindex"
    if kind == "AlterTableStmt" and any(
        _detaches_concurrently(c["AlterTableCmd"]) for c in fields["cmds"]
    ):
        return "detach partition concurrently"
    return None


def changes_policy(node: Node) -> bool:
    """Whether a statement creates, alters or drops a policy."""
    drop = node.get("DropStmt", {})
    return (
        bool({"CreatePolicyStmt", "AlterPolicyStmt"} & set(node))
        or drop.get("removeType") == "OBJECT_POLICY"
    )


def copies_to_client(node: Node) -> bool:
    """Whether a statement is COPY FROM STDIN or COPY TO STDOUT."""
    copy = node.get("CopyStmt")
    return copy is not None and "filename" not in copy and not copy.get("is_program")


def role_change(node: Node) -> tuple[str, bool] | None:
    """(role or session_authorization, whether it is set rather than reset); None for other
    statements.
    """
    if (setting := node.get("VariableSetStmt")) is not None and setting.get("name") in _ROLES:
        changed = setting["kind"] == "VAR_SET_VALUE" and _texts(setting.get("args")) != ["none"]
        return setting["name"], changed
    for call in calls(node.get("SelectStmt"), "set_config"):
        name, *value = [*_texts(call.get("args")), None]
        if name in _ROLES:
            return name, value[:1] not in (["none"], ["default"])
    return None


def are_concurrent_indexes(texts: Iterable[str]) -> bool:
    """Whether every statement creates or drops an index concurrently: an index that is half done
    can be found, so that the next run goes on.
    """
    kinds: list[str | None] = []
    for text in texts:
        nodes = parse(text)
        kinds += [None] if nodes is None else map(needs_no_transaction, nodes)
    return bool(kinds) and all(kind in _CONCURRENT_INDEXES for kind in kinds)


def drops_only_once(node: Node) -> bool:
    """Whether a statement drops an index, and fails if it is gone."""
    return needs_no_transaction(node) == _DROP_INDEX and not node["DropStmt"].get("missing_ok")


def concurrent_index(node: Node) -> tuple[str | None, str, str | None] | None:
    """(schema, table, index name) of a `create index concurrently`; None for other statements."""
    index = node.get("IndexStmt")
    if index is None or not index.get("concurrent"):
        return None
    table = index["relation"]
    return table.get("schemaname"), table["relname"], index.get("idxname")


@dataclass(frozen=True)
class Argument:
    """An argument of a function; `default` is equal for expressions that differ only in casts."""

    name: str
    default: str | None
    text: str


@dataclass(frozen=True)
class Function:
    """The body, the language and the arguments of a function. As text: its arguments.

    `replaces`: the statement is CREATE OR REPLACE.
    """

    body: str
    arguments: tuple[Argument, ...]
    language: str = "sql"
    replaces: bool = False

    def __str__(self) -> str:
        return ", ".join(argument.text for argument in self.arguments)


@lru_cache(maxsize=256)  # `mutate` compares the same bodies for every fault
def functions(text: str) -> Mapping[str, Function]:
    """`schema.name` → function, for those with a schema and a string body; the last one counts."""
    by_name = {}
    for node in parse(text) or []:
        function = node.get("CreateFunctionStmt")
        if function is None or len(function["funcname"]) != 2:
            continue
        name = ".".join(part["String"]["sval"] for part in function["funcname"])
        parameters = [part["FunctionParameter"] for part in function.get("parameters", [])]
        arguments = tuple(_argument(p) for p in parameters if p["mode"] != "FUNC_PARAM_TABLE")
        options = {
            option["DefElem"]["defname"]: option["DefElem"]["arg"]
            for option in function.get("options", ())
        }
        if "as" in options:
            by_name[name] = Function(
                body=options["as"]["List"]["items"][0]["String"]["sval"],
                arguments=arguments,
                language=options["language"]["String"]["sval"] if "language" in options else "sql",
                replaces=function.get("replace", False),
            )
    return by_name


def _argument(parameter: Node) -> Argument:
    name, default = parameter.get("name", ""), parameter.get("defexpr")
    if default is None:
        return Argument(name, None, name)
    while "TypeCast" in default:
        default = default["TypeCast"]["arg"]
    value = next((v for key, v in default.get("A_Const", {}).items() if key != "location"), None)
    if isinstance(value, dict):
        value = next(iter(value.values()), 0)  # the parser leaves a zero out
    if value is None:
        value = "an expression"
    elif value is True:
        value = "null"
    return Argument(name, repr(_without_positions(default)), f"{name} default {value}")


# the nodes that only combine other parts of an expression
_CONNECTORS = {
    "BoolExpr",
    "A_Expr",
    "NullTest",
    "BooleanTest",
    "SubLink",
    "SelectStmt",
    "ResTarget",
    "CoalesceExpr",
    "CaseExpr",
    "CaseWhen",
    "TypeCast",
    "TypeName",
    "A_ArrayExpr",
    "RowExpr",
    "List",
    "String",
}


# Operators and types that preserve distinct owners: an access that they allow shows with any owner.
# Other operators and types may allow only some owners.
_EQUALITY = {("=",), ("<>",)}
_LOSSLESS = {("uuid",), ("text",)}


def expression_atoms(expression: str) -> frozenset[str]:
    """The parts of an SQL expression that are not plain logic: columns, functions, constants,
    operators, types.
    """
    atoms: set[str] = set()

    def walk(tree: Any) -> None:
        if isinstance(tree, list):
            for part in tree:
                walk(part)
        elif isinstance(tree, dict):
            for key, part in tree.items():
                if key[:1].isupper() and key not in _CONNECTORS:  # a node; fields are in lower case
                    atoms.add(f"{key} {_without_positions(part)}")
                elif key == "A_Expr" and _strings(part["name"]) not in _EQUALITY:
                    atoms.add(f"operator {_strings(part['name'])}")
                    walk(part)
                elif key == "typeName":
                    if "typmods" in part or _strings(part["names"]) not in _LOSSLESS:
                        atoms.add(f"type {_without_positions(part)}")
                else:
                    walk(part)

    trees = parse(f"select {expression}")
    walk(trees if trees is not None else [{"Unparsed": expression}])
    return frozenset(atoms)


def _strings(name: list[Node]) -> tuple[str, ...]:
    return tuple(part["String"]["sval"] for part in name)


def creates(node: Node, default_schema: str = "") -> list[tuple[str, int]]:
    """The objects that a statement creates: (name, byte offset of the definition; 0 for the whole
    statement).

    Names are `schema`, `schema.object` (functions without arguments) and `schema.object:part`,
    where a part is a column, constraint, index, policy or trigger. Objects without a schema are in
    the default schema, or omitted.
    """
    kind, fields = next(iter(node.items()))
    if kind == "CreateSchemaStmt":
        return [(fields["schemaname"], 0)]
    if kind == "CreateFunctionStmt":
        parts = [part["String"]["sval"] for part in fields["funcname"]]
        return [(".".join([default_schema, *parts][-2:] if default_schema else parts), 0)]
    table = fields.get(_TABLES.get(kind, ""), {})
    schema = table.get("schemaname", default_schema)
    if not schema or "relname" not in table:
        return []
    name = f"{schema}.{table['relname']}"
    if kind in _NAMED_PARTS:
        return [(f"{name}:{fields.get(_NAMED_PARTS[kind])}", 0)]
    parts = [next(iter(part.values())) for part in fields.get("tableElts", [])]
    named = [
        (part.get("colname") or part.get("conname"), part["location"])
        for part in parts
        if "location" in part
    ]
    return [(name, 0), *((f"{name}:{part}", location) for part, location in named if part)]


def policy_scope(text: str) -> tuple[str, tuple[str, ...]] | None:
    """The command and the roles of the policy that a text creates; None if it creates none."""
    for node in parse(text) or ():
        if (policy := node.get("CreatePolicyStmt")) is not None:
            roles = [role["RoleSpec"] for role in policy["roles"]]
            return policy["cmd_name"], tuple(role.get("rolename", "public") for role in roles)
    return None


def referenced_table(text: str) -> str | None:
    """The table `schema.name` that the foreign key refers to which a text adds, or None."""
    for node in parse(text) or ():
        for command in node.get("AlterTableStmt", {}).get("cmds", ()):
            added = command["AlterTableCmd"].get("def", {}).get("Constraint", {})
            if (table := added.get("pktable")) is not None:
                return f"{table['schemaname']}.{table['relname']}"
    return None


def index_columns(text: str) -> tuple[str, ...]:
    """The leading columns of the index that a text creates, up to the first expression."""
    for node in parse(text) or ():
        elements = [part["IndexElem"] for part in node.get("IndexStmt", {}).get("indexParams", ())]
        return tuple(e["name"] for e in takewhile(lambda e: "name" in e, elements))
    return ()


def qualified_names(tree: Any) -> Iterator[str]:
    """The names with a schema in a tree, `schema.name`: of tables, functions, types and others. A
    part has the name of its table.
    """
    if isinstance(tree, list):
        if len(tree) > 1 and all(isinstance(part, dict) and "String" in part for part in tree):
            yield ".".join(_strings(tree)[:2])
        for part in tree:
            yield from qualified_names(part)
    elif isinstance(tree, dict):
        if "schemaname" in tree and "relname" in tree:
            yield f"{tree['schemaname']}.{tree['relname']}"
        if "TypeCast" in tree:
            yield from _registered(tree["TypeCast"])
        for part in tree.values():
            yield from qualified_names(part)


def _registered(cast: Node) -> Iterator[str]:
    """The name in a constant such as 'public.notes'::regclass."""
    text = cast["arg"].get("A_Const", {}).get("sval", {}).get("sval")
    if text and _strings(cast["typeName"]["names"])[-1].startswith("reg"):
        yield text.partition("(")[0].replace('"', "")


def altered_policy(node: Node, default_schema: str = "") -> str | None:
    """The policy that a statement alters or renames, as `creates` names it: with its new name."""
    kind, fields = next(iter(node.items()))
    table, name = fields.get("table", {}), fields.get("policy_name")
    if kind == "RenameStmt" and fields.get("renameType") == "OBJECT_POLICY":
        table, name = fields["relation"], fields["newname"]
    elif kind != "AlterPolicyStmt":
        return None
    schema = table.get("schemaname", default_schema)
    return f"{schema}.{table['relname']}:{name}" if schema else None


def added_columns(node: Node, default_schema: str = "") -> list[str]:
    """The columns that a statement adds to a table that exists, as `schema.table.column`."""
    fields = node.get("AlterTableStmt", {})
    schema = fields.get("relation", {}).get("schemaname", default_schema)
    commands = [command["AlterTableCmd"] for command in fields.get("cmds", ())]
    added = [one for one in commands if one.get("subtype") == "AT_AddColumn"]
    names = [one["def"]["ColumnDef"]["colname"] for one in added]
    return [f"{schema}.{fields['relation']['relname']}.{name}" for name in names if schema]


def same_index(wanted: str, existing: str) -> bool:
    """Whether two `create index` texts define the same index; ignores `concurrently`, `if not
    exists` and schemas.
    """

    def plain(text: str) -> Any:
        index = dict(_without_positions(parse(text) or [{}])[0].get("IndexStmt", {}))
        table = {
            key: part for key, part in index.pop("relation", {}).items() if key != "schemaname"
        }
        return {
            key: part for key, part in index.items() if key not in ("concurrent", "if_not_exists")
        }, table

    return bool(plain(wanted) == plain(existing) != ({}, {}))


def is_psql_command(text: str) -> bool:
    """Whether a text that cannot be parsed contains a psql command."""
    return any(line.lstrip().startswith("\\") for line in text.splitlines())


def _options(definitions: Any) -> set[str]:
    return {definition["DefElem"]["defname"] for definition in definitions or []}


def _arguments(definitions: Any, name: str) -> list[Node]:
    options = [definition["DefElem"] for definition in definitions or []]
    return [option["arg"] for option in options if option["defname"] == name]


def _texts(arguments: Any) -> list[str | None]:
    """Each argument as a string constant, or None."""
    constants = [argument.get("A_Const", {}) for argument in arguments or []]
    return [constant.get("sval", {}).get("sval") for constant in constants]


def _detaches_concurrently(command: Node) -> bool:
    definition = command.get("def", {}).get("PartitionCmd", {})
    return command["subtype"] == "AT_DetachPartition" and bool(definition.get("concurrent"))


def calls(tree: Any, function: str) -> list[Node]:
    """Every call of a function, by its unqualified name, anywhere in a tree."""
    if isinstance(tree, list):
        return [call for part in tree for call in calls(part, function)]
    if not isinstance(tree, dict):
        return []
    found = [call for part in tree.values() for call in calls(part, function)]
    call = tree.get("FuncCall")
    if isinstance(call, dict) and call["funcname"][-1]["String"]["sval"] == function:
        found.append(call)
    return found


def _without_positions(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_without_positions(part) for part in tree]
    if isinstance(tree, dict):
        return {
            key: _without_positions(part)
            for key, part in tree.items()
            if not (isinstance(part, int) and (key in _POSITIONS or key.endswith("location")))
        }
    return tree
