"""The tables, views and functions that a statement is about, as reports name them."""

from collections.abc import Iterator

from supabase_jobs.database.parser import syntax

# the fields of a statement that hold the table that it is about
_RELATIONS = ("relation", "table", "view")


def tables(text: str) -> list[str]:
    """The tables and views of a statement; in schema public if it names no schema."""
    return [name for node in syntax.parse(text) or () for name in _tables(node)]


def functions(text: str) -> list[str]:
    """The functions that a statement creates, without their arguments."""
    found = []
    for node in syntax.parse(text) or ():
        function = node.get("CreateFunctionStmt")
        if function is not None:
            parts = [part["String"]["sval"] for part in function["funcname"]]
            found.append(".".join(["public", *parts][-2:]))
    return found


def _tables(node: syntax.Node) -> Iterator[str]:
    for fields in node.values():
        targets = [fields.get(name) for name in _RELATIONS]
        targets += [target.get("RangeVar") for target in fields.get("objects", ())]
        for target in targets:
            if target is not None and "relname" in target:
                yield f"{target.get('schemaname', 'public')}.{target['relname']}"
