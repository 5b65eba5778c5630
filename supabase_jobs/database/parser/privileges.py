"""The privileges in GRANT and REVOKE statements about tables and functions."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from supabase_jobs.database.parser.syntax import Node

TABLE, FUNCTION, PUBLIC = "table", "function", "public"
_KINDS = {"OBJECT_TABLE": TABLE, "OBJECT_FUNCTION": FUNCTION, "OBJECT_ROUTINE": FUNCTION}
_PRIVILEGES = {TABLE: ("select", "insert", "update", "delete"), FUNCTION: ("execute",)}


@dataclass(frozen=True)
class Privilege:
    """A privilege of a role (`public`: of everybody) on a table or function, whose arguments are
    not told; on some columns of it, if there are any. An empty `name` means each one of the schema.
    """

    kind: str
    schema: str
    name: str
    privilege: str
    role: str
    columns: tuple[str, ...] = ()

    def covers(self, other: "Privilege") -> bool:
        """Whether this one is the other one or a part of it, or has it as a part, for any role."""
        return (
            (self.kind, self.schema, self.privilege) == (other.kind, other.schema, other.privilege)
            and self.name in ("", other.name)
            and not (self.columns and other.columns and not {*self.columns} & {*other.columns})
        )


def granted(node: Node, default_schema: str = "public") -> tuple[Privilege, ...]:
    """The privileges that a statement grants; none if it is no GRANT on tables or functions."""
    return tuple(_privileges(node, default_schema, is_grant=True))


def revoked(node: Node, default_schema: str = "public") -> tuple[Privilege, ...]:
    """The privileges that a statement revokes from named objects."""
    found = _privileges(node, default_schema, is_grant=False)
    return tuple(privilege for privilege in found if privilege.name)


def _privileges(node: Node, default_schema: str, *, is_grant: bool) -> Iterator[Privilege]:
    fields = node.get("GrantStmt")
    if fields is None or (fields.get("grant_option") and not is_grant):
        return
    kind = _KINDS.get(fields["objtype"])
    if kind is None or fields.get("is_grant", False) is not is_grant:
        return
    roles = [role["RoleSpec"].get("rolename", PUBLIC) for role in fields["grantees"]]
    named = [one["AccessPriv"] for one in fields.get("privileges", ())]
    objects = [_object(fields["targtype"], one, default_schema) for one in fields["objects"]]
    for (schema, name), one, role in product(objects, named or [{}], roles):
        columns = tuple(part["String"]["sval"] for part in one.get("cols", ()))
        for privilege in [one["priv_name"]] if "priv_name" in one else _PRIVILEGES[kind]:
            yield Privilege(
                kind=kind,
                schema=schema,
                name=name,
                privilege=privilege.lower(),
                role=role,
                columns=columns,
            )


def _object(target: str, node: Node, default_schema: str) -> tuple[str, str]:
    """Schema and name of an object; the name is empty if it is each one of the schema."""
    if target == "ACL_TARGET_ALL_IN_SCHEMA":
        return node["String"]["sval"], ""
    table = node.get("RangeVar")
    if table is not None:
        return table.get("schemaname", default_schema), table["relname"]
    *schema, name = (part["String"]["sval"] for part in node["ObjectWithArgs"]["objname"])
    return (schema or [default_schema])[-1], name
