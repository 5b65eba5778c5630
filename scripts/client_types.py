"""Writes supabase_jobs/types.py and docs/types.ts: the types of the tables, the functions and the
JSON columns.

The columns are those of structure.json, the arguments those of the SQL sources, and the JSON
columns have schemas.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from supabase_jobs.database.parser import syntax
from supabase_jobs.operations.check_results import SCHEMAS
from supabase_jobs.settings import Settings
from supabase_jobs.sources.files import packaged_sql
from supabase_jobs.sources.project import rendered
from supabase_jobs.verify.structure import snapshot

ROOT = Path(__file__).parents[1]
PYTHON_FILE = ROOT / "supabase_jobs" / "types.py"
TYPESCRIPT_FILE = ROOT / "docs" / "types.ts"

_WIDTH = 116
# a comment of a class, in lines of at most 100 characters
_PYTHON_WIDTH = 94
# the argument with the reports of a function, and what each report contains, next to the id of the
# job and of its claim
_REPORTED: dict[str, tuple[str, dict[str, str]]] = {
    "complete_jobs": ("p_jobs", {"result": "jsonb"}),
    "fail_jobs": ("p_jobs", {"error": "text"}),
    "complete_and_claim": ("p_reports", {"result": "jsonb", "error": "text"}),
}
# type of PostgreSQL, in both of its spellings → types of Python and TypeScript, as PostgREST writes
# and reads them
_SCALARS = {
    "uuid": ("str", "string"),
    "text": ("str", "string"),
    "timestamp with time zone": ("str", "string"),
    "timestamptz": ("str", "string"),
    "interval": ("str", "string"),
    "integer": ("int", "number"),
    "int4": ("int", "number"),
    "bigint": ("int", "number"),
    "int8": ("int", "number"),
    "boolean": ("bool", "boolean"),
    "bool": ("bool", "boolean"),
}
_JSON_SCALARS = {
    "string": ("str", "string"),
    "integer": ("int", "number"),
    "number": ("float", "number"),
    "boolean": ("bool", "boolean"),
    "null": ("None", "null"),
}


@dataclass(frozen=True)
class Type:
    """A type in both languages."""

    python: str
    typescript: str

    def or_null(self, is_null: bool = True) -> "Type":
        """The type, or null too."""
        return Type(f"{self.python} | None", f"{self.typescript} | null") if is_null else self


@dataclass(frozen=True)
class Key:
    """A key of an object; an optional one may be missing."""

    name: str
    type: Type
    description: str = ""
    is_optional: bool = False


@dataclass(frozen=True)
class Object:
    """An object type: a TypedDict, or a type of TypeScript. `is_open`: it may have further keys."""

    name: str
    description: str
    keys: tuple[Key, ...]
    is_open: bool = False


@dataclass(frozen=True)
class Function:
    """A function of the API: its arguments, and the type that a request returns."""

    name: str
    arguments: Object
    returns: Type


@dataclass(frozen=True)
class Table:
    """A table of the API. `references` are foreign keys to other tables of the API: name, column,
    table, its column.
    """

    name: str
    row: Object
    insert: Object
    part: Object
    references: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class Model:
    """Everything that both files declare; `statuses` are the values of the column `status`."""

    statuses: tuple[str, ...]
    objects: tuple[Object, ...]
    tables: tuple[Table, ...]
    functions: tuple[Function, ...]


def model() -> Model:
    """The types of the packaged sources."""
    structure = snapshot.load()
    facts: dict[tuple[str, str], dict[str, str]] = {}
    for fact in structure.facts:
        facts.setdefault((fact.object, fact.kind), {})[fact.name] = fact.value
    columns: dict[str, Type] = {}
    objects: list[Object] = []
    for path in sorted(SCHEMAS.glob("*.schema.json"), reverse=True):
        column = path.name.partition(".")[0]
        schema = json.loads(path.read_text(encoding="utf-8"))
        columns[column] = _of_schema(f"Job{column.title()}", schema, objects)
    constraint = facts["public.async_jobs", "constraint"]["chk_valid_status"]
    statuses = tuple(re.findall(r"'(\w+)'::text", constraint))
    columns["status"] = Type("JobStatus", "JobStatus")
    tables = tuple(
        _table(name, facts, columns)
        for name in structure.scope["relations"]
        if name.startswith("public.")
    )
    claimed = [*_claimed_job(tables, objects)]
    functions = []
    for name, parameters in _functions().items():
        [signature] = [s for s in structure.scope["functions"] if s.startswith(f"public.{name}(")]
        functions.append(
            _function(name, parameters, facts[signature, "function"][""], columns, objects)
        )
    api = [s for s in structure.scope["functions"] if s.startswith("public.")]
    if len(api) != len(functions):
        raise SystemExit(
            f"the sources create {len(functions)} functions, and structure.json has {len(api)}"
        )
    return Model(statuses, (*objects, *claimed), tables, tuple(functions))


def _claimed_job(tables: Sequence[Table], objects: Sequence[Object]) -> Iterator[Object]:
    """A job as the claiming functions return it: PostgreSQL's type is that of a row, but `metadata`
    has the claim's id.
    """
    [metadata] = [one for one in objects if one.name == "JobMetadata"]
    [row] = [table.row for table in tables if table.name == "async_jobs"]
    claim = Key(
        "claim_id",
        Type("str", "string"),
        "Identifies the claim; the worker passes it when it reports.",
    )
    name = "ClaimedJobMetadata"
    yield replace(
        metadata,
        name=name,
        description="The metadata of a claimed job.",
        keys=(*metadata.keys, claim),
    )
    keys = (
        replace(key, type=Type(name, name)) if key.name == "metadata" else key for key in row.keys
    )
    yield Object("ClaimedJob", "A job that claim_jobs or complete_and_claim returns.", tuple(keys))


def _of_schema(name: str, schema: Mapping[str, Any], objects: list[Object]) -> Type:
    """The type of a JSON Schema; object types are added to `objects`, the inner ones first."""
    wanted = schema["type"]
    if isinstance(wanted, list):
        kinds = [_of_schema(name, {**schema, "type": one}, objects) for one in wanted]
        return Type(
            " | ".join(kind.python for kind in kinds), " | ".join(kind.typescript for kind in kinds)
        )
    if wanted == "array":
        if "items" not in schema:
            return Type("list[Any]", "unknown[]")
        item = _of_schema(
            _singular(name), {"description": schema["description"], **schema["items"]}, objects
        )
        return Type(f"list[{item.python}]", f"{item.typescript}[]")
    if wanted == "object":
        required = schema.get("required", ())
        keys = tuple(
            Key(
                key,
                _of_schema(name + _camel(key), inner, objects),
                inner.get("description", ""),
                key not in required,
            )
            for key, inner in schema["properties"].items()
        )
        description = schema.get("title") or schema["description"]
        objects.append(Object(name, description.removesuffix(".") + ".", keys, is_open=True))
        return Type(name, name)
    return Type(*_JSON_SCALARS[wanted])


def _singular(name: str) -> str:
    return f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")


def _camel(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


def _table(
    name: str, facts: Mapping[tuple[str, str], Mapping[str, str]], columns: Mapping[str, Type]
) -> Table:
    def of(kind: str) -> Mapping[str, str]:
        return facts.get((name, kind), {})

    comments, defaults, nulls = (
        of("comment of column"),
        of("default of column"),
        of("nullability of column"),
    )
    keys = [
        (
            Key(
                column,
                _scalar(type_, column, columns).or_null(nulls[column] == "null"),
                comments.get(column, ""),
            )
        )
        for column, type_ in of("column").items()
    ]
    short = name.removeprefix("public.")
    title = _camel(_singular(short))
    has_default = {
        key.name for key in keys if nulls[key.name] == "null" or defaults[key.name] != "none"
    }
    return Table(
        short,
        Object(title, f"A row of {name}.", tuple(keys)),
        Object(
            f"{title}Insert",
            f"A new row of {name}: columns with a default may be missing.",
            tuple(Key(key.name, key.type, "", key.name in has_default) for key in keys),
        ),
        Object(
            f"{title}Part",
            f"Some columns of a row of {name}: what an update sends, or a select of columns"
            " returns.",
            tuple(Key(key.name, key.type, "", True) for key in keys),
        ),
        tuple(_references(of("constraint"))),
    )


def _references(constraints: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for name, definition in constraints.items():
        found = re.match(r"FOREIGN KEY \((\w+)\) REFERENCES public\.(\w+)\((\w+)\)", definition)
        if found:
            yield (name, found[1], found[2], found[3])


def _functions() -> dict[str, list[dict[str, Any]]]:
    """The parameters of each function in `public`, from PostgreSQL's parser, which reads the
    rendered sources.
    """
    found = {}
    for migration in rendered(Settings(packaged_sql().parent)):
        for statement in migration.statements:
            for node in syntax.parse(statement.text) or []:
                created = node.get("CreateFunctionStmt")
                if created is None:
                    continue
                schema, name = (part["String"]["sval"] for part in created["funcname"])
                if schema == "public":
                    found[name] = [
                        one["FunctionParameter"] for one in created.get("parameters", ())
                    ]
    return found


def _function(
    name: str,
    parameters: Sequence[Mapping[str, Any]],
    result: str,
    columns: Mapping[str, Type],
    objects: list[Object],
) -> Function:
    if name in _REPORTED:
        argument, _ = _REPORTED[name]
        columns = {**columns, argument.removeprefix("p_"): _items(name, columns, objects)}
    arguments = Object(
        f"{_camel(name)}Args",
        f"The arguments of {name}.",
        tuple(_argument(one, columns) for one in parameters if one["mode"] != "FUNC_PARAM_TABLE"),
    )
    if table := re.fullmatch(r"TABLE\((.*)\)", result):
        keys = [column.split(" ", 1) for column in table[1].split(", ")]
        row = Object(
            f"{_camel(name)}Row",
            f"The row that {name} returns.",
            tuple(Key(key, _scalar(type_, key, columns)) for key, type_ in keys),
        )
        objects.append(row)
        return Function(name, arguments, Type(f"list[{row.name}]", f"{row.name}[]"))
    if result == "SETOF public.async_jobs":
        return Function(name, arguments, Type("list[ClaimedJob]", "ClaimedJob[]"))
    return Function(name, arguments, _scalar(result, "", columns))


def _items(name: str, columns: Mapping[str, Type], objects: list[Object]) -> Type:
    """The type of an array of reports. A key may be missing if a report has a choice of them."""
    argument, reported = _REPORTED[name]
    ids = [Key(column, _scalar("uuid", column, columns)) for column in ("id", "claim_id")]
    contents = [
        Key(column, _scalar(type_, column, columns), is_optional=len(reported) > 1)
        for column, type_ in reported.items()
    ]
    item = Object(
        f"{_camel(name)}Item", f"An item of the argument {argument} of {name}.", (*ids, *contents)
    )
    objects.append(item)
    return Type(f"list[{item.name}]", f"{item.name}[]")


def _argument(parameter: Mapping[str, Any], columns: Mapping[str, Type]) -> Key:
    name = parameter["name"]
    type_ = parameter["argType"]["names"][-1]["String"]["sval"]
    default = parameter.get("defexpr")
    is_null = default is not None and bool(default.get("A_Const", {}).get("isnull"))
    column = name.removeprefix("p_")
    return Key(name, _scalar(type_, column, columns).or_null(is_null), "", default is not None)


def _scalar(type_: str, column: str, columns: Mapping[str, Type]) -> Type:
    if type_ == "jsonb" or column == "status":
        return columns[column]
    return Type(*_SCALARS[type_])


def _all_objects(types: Model) -> Iterator[Object]:
    yield from types.objects
    for table in types.tables:
        yield from (table.row, table.insert, table.part)
    yield from (function.arguments for function in types.functions)


def python(types: Model) -> str:
    """supabase_jobs/types.py."""
    lines = [
        '"""Types for clients: rows, arguments of functions, `result` and `metadata`. Written by',
        "`scripts/record`.",
        '"""',
        "",
        "from typing import Any, Literal, NotRequired, TypedDict",
        "",
        f"JobStatus = Literal[{', '.join(json.dumps(status) for status in types.statuses)}]",
    ]
    for one in _all_objects(types):
        lines += ["", "", f"class {one.name}(TypedDict):", *_docstring(one.description), ""]
        for key in one.keys:
            lines += [f"    # {line}" for line in textwrap.wrap(key.description, _PYTHON_WIDTH)]
            type_ = key.type.python
            lines.append(f"    {key.name}: {f'NotRequired[{type_}]' if key.is_optional else type_}")
    return "\n".join(lines) + "\n"


def _docstring(text: str) -> list[str]:
    """The lines of a class's docstring; those of a long one end with a line of its own."""
    if len(text) + len('    """"""') <= 100:
        return [f'    """{text}"""']
    lines = textwrap.wrap(f'"""{text}', 96)
    return [*(f"    {line}" for line in lines), '    """']


def typescript(types: Model) -> str:
    """docs/types.ts."""
    lines = [
        "// Types for clients of supabase-js: createClient<Database>(…). Written by"
        " `scripts/record`.",
        "",
        f"export type JobStatus = {' | '.join(repr(status) for status in types.statuses)}",
    ]
    for one in _all_objects(types):
        lines += ["", f"/** {one.description} */", f"export type {one.name} = {{"]
        for key in one.keys:
            lines += [f"  /** {key.description} */"] if key.description else []
            lines.append(f"  {key.name}{'?' if key.is_optional else ''}: {key.type.typescript}")
        lines += ["  [key: string]: unknown"] if one.is_open else []
        lines.append("}")
    lines += ["", "export type Database = {", "  public: {", "    Tables: {"]
    for table in types.tables:
        lines += [
            f"      {table.name}: {{",
            f"        Row: {table.row.name}",
            f"        Insert: {table.insert.name}",
            f"        Update: {table.part.name}",
            "        Relationships: [" if table.references else "        Relationships: []",
        ]
        for name, column, other, other_column in table.references:
            lines += [
                "          {",
                f"            foreignKeyName: '{name}'",
                f"            columns: ['{column}']",
                "            isOneToOne: false",
                f"            referencedRelation: '{other}'",
                f"            referencedColumns: ['{other_column}']",
                "          },",
            ]
        lines += ["        ]"] if table.references else []
        lines.append("      }")
    lines += ["    }", "    Views: Record<never, never>", "    Functions: {"]
    for function in types.functions:
        returned = function.returns.typescript
        lines.append(
            f"      {function.name}: {{ Args: {function.arguments.name}; Returns: {returned} }}"
        )
    lines += [
        "    }",
        "    Enums: Record<never, never>",
        "    CompositeTypes: Record<never, never>",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    types = model()
    PYTHON_FILE.write_text(python(types), encoding="utf-8")
    TYPESCRIPT_FILE.write_text(typescript(types), encoding="utf-8")


if __name__ == "__main__":
    main()
