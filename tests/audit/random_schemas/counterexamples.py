"""Schemas that have shown a defect of the audit."""

from tests.audit.random_schemas.schema import (
    INSERT,
    ORGANIZATION,
    SELECT,
    UPDATE,
    Both,
    Claim,
    Equals,
    Everyone,
    Owner,
    Policy,
    Schema,
    Table,
    Tenant,
)

_IDENTITY = "id bigint primary key generated always as identity"
_SIGNED_IN = ("authenticated",)

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
}
