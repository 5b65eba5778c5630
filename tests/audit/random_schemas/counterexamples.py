"""Schemas that have shown a defect of the audit."""

from tests.audit.random_schemas.schema import (
    DEFINER,
    DELETE,
    INSERT,
    ORGANIZATION,
    SELECT,
    UPDATE,
    Both,
    Claim,
    Either,
    Equals,
    Everyone,
    Member,
    Owner,
    Policy,
    Schema,
    Table,
    Tenant,
)

_IDENTITY = "id bigint primary key generated always as identity"
_SIGNED_IN = ("authenticated",)


def _of_members(*policies: Policy) -> Schema:
    """A schema with groups, and policies of their members."""
    groups = Table("groups", group="id", columns=(("name", "", None),))
    members = Table(
        "members",
        key="",
        owner="user_id",
        group="group_id",
        columns=(("role", "", "member"),),
        policies=policies,
    )
    return Schema((Table("t0", owner="user_id"),), (groups, members))


COUNTEREXAMPLES = {
    # no UPDATE can be written: the audit ended with an IndexError
    "a grant of UPDATE on a column that the server fills": Schema(
        (
            Table(
                "t0",
                key=_IDENTITY,
                owner="user_id",
                columns=(("title", "text not null", None),),
                policies=(Policy("all", _SIGNED_IN, Owner(), None),),
                granted=(("authenticated", UPDATE, ("id",)),),
            ),
        )
    ),
    # the one column that was tried on rows of others violated the constraint: "none"
    "a constraint ties all columns": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(
                    ("least", "integer not null", None),
                    ("most", "integer not null", None),
                ),
                constraints=("check (least <= most)",),
                policies=(Policy(UPDATE, (), Everyone(value=True), None),),
            ),
        )
    ),
    "a constraint ties a flag that a policy asks for": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(
                    ("done", "boolean not null default false", "false"),
                    ("done_at", "timestamptz", None),
                    ("tags", "text[] not null default '{}'", "{}"),
                ),
                constraints=("check (done = (done_at is not null))",),
                policies=(Policy(UPDATE, (), Equals("done", "true"), None),),
            ),
        )
    ),
    # staff reach every row, theirs too: the matrix said "own"
    "a claim opens all rows": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(("title", "text not null", None),),
                policies=(Policy("all", _SIGNED_IN, Claim("staff"), None),),
            ),
        )
    ),
    "a claim is needed for own rows": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(("title", "text not null", None),),
                policies=(Policy("all", _SIGNED_IN, Both(Claim("staff"), Owner()), None),),
            ),
        )
    ),
    # who has the claim adds own rows, to others' groups too: the matrix said "none"
    "a claim is needed to join": Schema(
        (Table("t0", owner="user_id", policies=(Policy("all", _SIGNED_IN, Owner(), None),)),),
        (
            Table("groups", group="id", columns=(("name", "", None),)),
            Table(
                "members",
                key="",
                owner="user_id",
                group="group_id",
                columns=(("role", "", "member"),),
                policies=(Policy(INSERT, _SIGNED_IN, None, Both(Claim("staff"), Owner())),),
            ),
        ),
    ),
    # a row without columns can be inserted: the matrix said "none"
    "a grant of INSERT on a column that the server fills": Schema(
        (
            Table(
                "t0",
                key=_IDENTITY,
                owner="user_id",
                owner_required=False,
                policies=(Policy(INSERT, _SIGNED_IN, None, Everyone(value=True)),),
                granted=(("authenticated", INSERT, ("id",)),),
            ),
        )
    ),
    # a stranger moves rows of others into the own organization: the matrix said "own"
    "a claim limits what a row becomes": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=((ORGANIZATION, "uuid not null", None), ("title", "text not null", None)),
                policies=(
                    Policy(SELECT, _SIGNED_IN, Tenant(), None),
                    Policy(UPDATE, _SIGNED_IN, Everyone(value=True), Tenant()),
                ),
            ),
        )
    ),
    # anybody may archive rows that are done: the matrix said "none"
    "a label limits what a row becomes": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(
                    ("is_public", "boolean not null default false", "false"),
                    ("status", "text not null default 'draft'", "draft"),
                ),
                constraints=("check (status in ('draft', 'published', 'archived'))",),
                policies=(
                    Policy(
                        UPDATE,
                        _SIGNED_IN,
                        Equals("is_public", "true"),
                        Equals("status", "archived"),
                    ),
                ),
            ),
        )
    ),
    # staff take over rows: the matrix said "own"
    "a claim is needed to take over": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(("title", "text not null", None),),
                policies=(Policy(UPDATE, _SIGNED_IN, Claim("staff"), Owner()),),
            ),
        )
    ),
    # the change of the new member failed with 42501: whose role only others change was not seen
    "a policy refuses the change of a new row": _of_members(
        Policy(INSERT, _SIGNED_IN, None, Owner()),
        Policy(SELECT, _SIGNED_IN, Everyone(value=True), None),
        Policy(UPDATE, _SIGNED_IN, Either(Claim("staff"), Owner()), Claim("staff")),
    ),
    # who becomes an administrator may change the role then
    "a new row opens itself": _of_members(
        Policy("all", _SIGNED_IN, Member(DEFINER, role="admin"), Owner()),
    ),
    # no condition of the writer finds the new row
    "a new row is hidden from its writer": _of_members(
        Policy(INSERT, _SIGNED_IN, None, Owner()),
        Policy(UPDATE, _SIGNED_IN, Owner(), None),
    ),
    # two rows that only their keys tell apart: one of them counted for both
    "the key is not readable": Schema(
        (
            Table(
                "t0",
                columns=(
                    ("status", "text not null default 'draft'", "draft"),
                    ("done", "boolean not null default false", "false"),
                ),
                constraints=("check (status in ('draft', 'published', 'archived'))",),
                policies=(Policy(SELECT, (), Equals("done", "true"), None),),
                granted=(("anon", SELECT, ("status",)),),
            ),
        )
    ),
    # the condition of the change needed a privilege that the writer lacks, and counted as refused
    "the owner of a new row is not readable": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(("is_public", "boolean not null default false", "false"),),
                policies=(Policy("all", _SIGNED_IN, Owner(), None),),
                granted=(("authenticated", SELECT, ("id",)),),
            ),
        )
    ),
    # staff publish any row: the matrix said "own"
    "a claim and a label limit what a row becomes": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(
                    ("is_public", "boolean not null default false", "false"),
                    ("title", "text not null", None),
                ),
                policies=(
                    Policy(SELECT, _SIGNED_IN, Owner(), None),
                    Policy(UPDATE, _SIGNED_IN, Claim("staff"), Equals("is_public", "true")),
                ),
            ),
        )
    ),
    # the owner publishes public rows: one column of rows in another state was tried, "none"
    "two labels limit an update": Schema(
        (
            Table(
                "t0",
                owner="user_id",
                columns=(
                    ("is_public", "boolean not null default false", "false"),
                    ("status", "text not null default 'draft'", "draft"),
                    ("title", "text not null", None),
                ),
                constraints=("check (status in ('draft', 'published', 'archived'))",),
                policies=(
                    Policy(SELECT, _SIGNED_IN, Owner(), None),
                    Policy(
                        UPDATE,
                        _SIGNED_IN,
                        Both(Owner(), Equals("is_public", "true")),
                        Equals("status", "published"),
                    ),
                ),
            ),
        )
    ),
    # the new row was looked for by a column that its writer may not assign
    "a grant for INSERT leaves out the owner": Schema(
        (
            Table("t0", owner="user_id", owner_required=False),
            Table(
                "t1",
                owner="user_id",
                owner_required=False,
                parent=Table("t0", owner="user_id", owner_required=False),
                composite=True,
                columns=(
                    ("status", "text not null default 'draft'", "draft"),
                    ("title", "public.short_text not null", None),
                ),
                rls=False,
                granted=(("authenticated", INSERT, ("title", "status", "parent_id")),),
            ),
        )
    ),
    # a member who was made for the claim stood for the group: "group" instead of "none"
    "a claim and a membership": Schema(
        (Table("t0", columns=(("title", "text not null", None),)),),
        groups=(
            Table(
                "groups",
                group="id",
                columns=(("name", "", None),),
                policies=(
                    Policy(SELECT, (), Both(Claim("staff"), Member(DEFINER, None, True)), None),
                ),
            ),
            Table(
                "members",
                key="",
                owner="user_id",
                group="group_id",
                columns=(("role", "", "member"), ("state", "", "active")),
                policies=(Policy(DELETE, (), Claim("staff"), None),),
            ),
        ),
        states=True,
    ),
}
