"""The leaks among the outcomes of probes on tables. Pure functions of the attempts."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import (
    ANON,
    CLAIM,
    FORGER,
    FORMER,
    MEMBER,
    NEWCOMER,
    STRANGER,
)
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.leaks import service_columns
from supabase_jobs.audit.leaks.escalation import escalations
from supabase_jobs.audit.leaks.leak import DOES, Leak, noun, rank, who
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    FORGE,
    GROUP,
    INSERT,
    JOIN,
    NONE,
    OTHER,
    OWN,
    SELECT,
    TAKE_OVER,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.run import Gain
from supabase_jobs.audit.rows.plan import Plan, user_columns
from supabase_jobs.findings import Severity

_SENSITIVE = (
    "email",
    "phone",
    "token",
    "secret",
    "password",
    "api_key",
    "apikey",
    "ssn",
    "iban",
    "private_key",
    "otp",
)
_PRIVILEGES = {
    "is_admin",
    "admin",
    "is_superadmin",
    "is_super_admin",
    "is_superuser",
    "is_staff",
    "staff",
    "is_moderator",
    "moderator",
    "role",
    "roles",
    "user_role",
    "app_role",
    "permissions",
    "plan",
    "plan_id",
    "tier",
    "subscription_tier",
    "subscription_plan",
    "subscription_status",
    "is_premium",
    "is_pro",
    "is_paid",
    "is_verified",
    "verified",
    "credits",
    "balance",
    "stripe_customer_id",
    "stripe_subscription_id",
    "customer_id",
    "trial_ends_at",
    "is_banned",
    "banned",
    "quota",
}
# what a group pays for
_PAID = ("plan", "tier", "subscription", "quota", "credits", "stripe", "trial", "premium")


def find(plan: Plan, attempts: Sequence[Attempt], gains: Sequence[Gain]) -> list[Leak]:
    """The leaks among the outcomes, at most one for each object, action and kind."""
    judge = _Judge(plan, attempts, gains)
    found: dict[str, Leak] = {}
    for leak in judge.leaks():
        found.setdefault(leak.id, leak)
    plain = {(k.kind, k.relation.oid, k.action) for k in found.values() if not k.attempt.is_state}
    return [
        k
        for k in found.values()
        if not k.attempt.is_state
        or (
            (k.kind, k.relation.oid, k.action) not in plain
            and (k.kind != "public" or k.severity is Severity.WARNING)
        )
    ]


class _Judge:
    def __init__(self, plan: Plan, attempts: Sequence[Attempt], gains: Sequence[Gain]) -> None:
        self._plan, self._gains = plan, gains
        self._by_relation: dict[int, list[Attempt]] = {}
        self._by_label: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            self._by_relation.setdefault(attempt.relation.oid, []).append(attempt)
            self._by_label.setdefault(attempt.label, []).append(attempt)

    def leaks(self) -> Iterator[Leak]:
        for group in self._by_label.values():
            relation = group[0].relation
            attempts = sorted(group, key=lambda a: rank(a.caller))
            if relation.is_table and not relation.rls:
                yield from _disabled(relation, attempts)
                continue
            yield from self._reads(relation, attempts)
            yield from self._writes(relation, attempts)
            yield from self._inserts(relation, attempts)
            yield from self._forged_claims(relation, attempts)
            yield from self._other_tenants(relation, attempts)
            yield from self._privileged_columns(relation, attempts)
            yield from self._given_away(relation, attempts)
            yield from service_columns.find(self._plan, relation, self._by_relation)
            yield from self._two_groups(relation, attempts)
        yield from escalations(self._lasting(self._gains))

    def _lasting(self, gains: Sequence[Gain]) -> list[Gain]:
        """Without what a caller gains by taking a row back that it may insert itself, such as a
        block of another.
        """
        returned = {
            (id(g.write.caller), g.write.relation.oid, g.relation.oid, g.action)
            for g in gains
            if g.write.action == DELETE and self._inserts_own(g.write)
        }
        return [
            g
            for g in gains
            if g.write.action == INSERT
            or (id(g.write.caller), g.write.relation.oid, g.relation.oid, g.action) not in returned
        ]

    def _inserts_own(self, write: Attempt) -> bool:
        return any(
            a.caller is write.caller and a.action == INSERT and a.whose == OWN and a.reached
            for a in self._by_relation[write.relation.oid]
        )

    # -------------------------------------------------------------------------------------------
    # reads

    def _reads(self, relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
        if not self._plan.owned(relation):
            yield from self._public_addresses(relation, attempts)
            return
        reached = [
            a
            for a in attempts
            if a.action == SELECT and a.whose == OTHER and a.reached and a.caller.is_outsider
        ]
        if not reached:
            return
        first = reached[0]
        kinds = {a.caller.kind for a in reached}
        tested = {a.caller.kind for a in attempts if a.action == SELECT and a.whose == OTHER}
        message = f"{who(first.caller)} read other users' {noun(relation)}"
        if ANON in kinds and NEWCOMER in tested and NEWCOMER not in kinds:
            yield Leak(
                "read",
                Severity.ERROR,
                relation,
                SELECT,
                f"{message}, which signed-in users cannot",
                first,
            )
        elif first.caller.kind in (ANON, NEWCOMER):
            # signed-in users may read more columns than anon
            general = [a for a in reached if a.caller.kind in (ANON, NEWCOMER)]
            first = next((a for a in general if _sensitive_columns(a)), first)
            message, sensitive = (
                f"{who(first.caller)} read other users' {noun(relation)}",
                _sensitive_columns(first),
            )
            # a file may hold anything, as a column of secrets does, unless the bucket is public on
            # purpose
            is_private = relation.is_storage and not self._plan.catalog.buckets.get(
                first.row.values["bucket_id"] or ""
            )
            severity = Severity.WARNING if sensitive or is_private else Severity.INFO
            more = f", with {', '.join(sensitive)}" if sensitive else ""
            yield Leak("public", severity, relation, SELECT, message + more, first)
        elif first.caller.kind == FORMER:
            yield Leak(
                "former",
                Severity.WARNING,
                relation,
                SELECT,
                f"{who(first.caller)} still read the group's {noun(relation)}",
                first,
            )
        else:
            yield Leak(
                "read", Severity.ERROR, relation, SELECT, f"{message}, which others cannot", first
            )

    def _public_addresses(self, relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
        """Rows without an owner, such as those of a newsletter, that everybody reads with addresses
        or secrets.

        A telephone number there may be that of a shop or the prefix of a country.
        """
        kinds = (ANON, NEWCOMER)
        reached = [
            a
            for a in attempts
            if a.action == SELECT and a.whose == NONE and a.reached and a.caller.kind in kinds
        ]
        for attempt in reached[:1]:
            names = [
                c.name
                for c in relation.columns
                if is_sensitive(c.name)
                and "phone" not in c.name
                and relation.may(attempt.caller.role, "SELECT", c.name)
            ]
            if names:
                message = f"{who(attempt.caller)} read rows, with {', '.join(names)}"
                yield Leak("public", Severity.WARNING, relation, SELECT, message, attempt)

    # -------------------------------------------------------------------------------------------
    # writes

    def _writes(self, relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
        for action in (UPDATE, DELETE, INSERT):
            yield from self._error_texts(relation, action, attempts)
        for action in (UPDATE, DELETE):
            for attempt in attempts:
                if (
                    attempt.action != action
                    or not attempt.reached
                    or not attempt.caller.is_outsider
                ):
                    continue
                if attempt.whose == OTHER:
                    yield self._foreign_write(relation, attempt, attempts)
                    break
                if attempt.whose == NONE and attempt.caller.kind in (ANON, NEWCOMER):
                    severity = Severity.ERROR if attempt.caller.kind == ANON else Severity.WARNING
                    message = f"{who(attempt.caller)} {DOES[action]} rows"
                    yield Leak("shared-write", severity, relation, action, message, attempt)
                    break

    def _forged_claims(self, relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
        """Rows without an owner that only a claim or header opens which its caller chooses, such as
        user_metadata.
        """
        plain = {
            (a.action, a.column)
            for a in attempts
            if a.reached and a.caller.kind in (ANON, NEWCOMER, STRANGER) and a.whose == NONE
        }
        for attempt in attempts:
            opened = attempt.reached and attempt.whose == NONE and attempt.caller.kind == FORGER
            if opened and (attempt.action, attempt.column) not in plain:
                message = f"{who(attempt.caller)} {DOES[attempt.action]} rows, which others cannot"
                yield Leak(
                    "forged-claim", Severity.ERROR, relation, attempt.action, message, attempt
                )

    def _error_texts(
        self, relation: Relation, action: str, attempts: Sequence[Attempt]
    ) -> Iterator[Leak]:
        """Errors that show another's row to a caller who cannot read it; an INSERT sends the values
        itself.
        """
        for attempt in attempts:
            if (
                attempt.action != action
                or action == INSERT
                or attempt.error is None
                or attempt.whose != OTHER
            ):
                continue
            diag = attempt.error.diag
            text = f"{diag.message_primary} {diag.message_detail or ''} {diag.message_hint or ''}"
            shown = bool(attempt.row.token) and attempt.row.token in text
            if shown and attempt.caller.is_outsider and not self._reads_other(attempt):
                message = (
                    f"{who(attempt.caller)} read another's row in the error of an {action.upper()}"
                )
                yield Leak("error-text", Severity.WARNING, relation, action, message, attempt)
                return

    def _other_tenants(self, relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
        """Where a claim names the tenant, an admin of one tenant (by another claim) is a stranger
        to the others.
        """
        if not any(
            (relation.oid, c.name) in self._plan.usage.claim_columns for c in relation.columns
        ):
            return
        for attempt in attempts:
            write = (
                attempt.action != SELECT
                and attempt.whose == OTHER
                and attempt.reached
                and not attempt.name
            )
            if write and attempt.caller.kind == CLAIM and not self._reads_other(attempt):
                kind = "forged" if attempt.action == INSERT else "write"
                does = DOES[attempt.action]
                message = f"{who(attempt.caller)} {does} other users' {noun(relation)}, without being able to read them"
                yield Leak(kind, Severity.ERROR, relation, attempt.action, message, attempt)

    def _foreign_write(
        self, relation: Relation, attempt: Attempt, attempts: Sequence[Attempt]
    ) -> Leak:
        read = next(
            (
                a
                for a in attempts
                if a.caller is attempt.caller and a.action == SELECT and a.whose == OTHER
            ),
            None,
        )
        verb = "take over" if attempt.name == TAKE_OVER else DOES[attempt.action]
        more = ", without being able to read them" if read is not None and not read.reached else ""
        severity = Severity.WARNING if attempt.caller.kind == FORMER else Severity.ERROR
        message = f"{who(attempt.caller)} {verb} other users' {noun(relation)}{more}"
        return Leak("write", severity, relation, attempt.action, message, attempt)

    def _inserts(self, relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
        inserts = [a for a in attempts if a.action == INSERT and a.reached and a.caller.is_outsider]
        for attempt in inserts:
            if attempt.name == FORGE and not any(
                a.whose == OTHER and a.name == "" for a in inserts
            ):
                owners = any(oid == relation.oid for oid, _ in self._plan.usage.owners)
                # one row per user is about that user: the staff may add it
                is_error = owners and relation.oid not in self._plan.per_user
                severity = Severity.ERROR if is_error else Severity.WARNING
                message = "Any signed-in user can add rows in another user's name"
                yield Leak("forged", severity, relation, INSERT, message, attempt)
                break
        for attempt in inserts:
            if relation.is_storage and attempt.whose == OTHER:
                message = f"{who(attempt.caller)} upload files into the folders of others"
                severity = Severity.WARNING if self._reads_other(attempt) else Severity.ERROR
                yield Leak("upload", severity, relation, INSERT, message, attempt)
                break
            if attempt.whose == OTHER and not attempt.name:
                parents = self._unreadable_parents(relation, attempt)
                if self._identifies(relation):
                    severity = Severity.WARNING if attempt.caller.kind == FORMER else Severity.ERROR
                    yield Leak(
                        "forged",
                        severity,
                        relation,
                        INSERT,
                        f"{who(attempt.caller)} add rows in another user's name",
                        attempt,
                    )
                elif parents:
                    message = f"{who(attempt.caller)} add rows below {parents[0].label} rows of others that they cannot read"
                    yield Leak("forged", Severity.ERROR, relation, INSERT, message, attempt)
                break
        for attempt in inserts:
            if attempt.name == JOIN and (parents := self._unreadable_parents(relation, attempt)):
                message = f"{who(attempt.caller)} add rows of their own below {parents[0].label} rows that they cannot read"
                yield Leak("unreadable-parent", Severity.INFO, relation, INSERT, message, attempt)
                break
        for attempt in inserts:
            if attempt.whose == NONE and attempt.caller.kind == ANON:
                yield Leak(
                    "shared-write",
                    Severity.INFO,
                    relation,
                    INSERT,
                    f"{who(attempt.caller)} add rows",
                    attempt,
                )
                break

    def _reads_other(self, attempt: Attempt) -> bool:
        """Whether the caller of an attempt reads the other tenant's row of the same object."""
        return any(
            a.caller is attempt.caller and a.action == SELECT and a.whose == OTHER and a.reached
            for a in self._by_label[attempt.label]
        )

    def _identifies(self, relation: Relation) -> bool:
        """Whether the table itself names the owner of a row, by a user, claim or header."""
        usage = self._plan.usage
        named = any(
            (relation.oid, c.name) in usage.claim_columns
            or (relation.oid, c.name) in usage.header_columns
            for c in relation.columns
        )
        return named or bool(user_columns(relation, usage, self._plan.per_user))

    def _unreadable_parents(self, relation: Relation, insert: Attempt) -> list[Relation]:
        """The owned tables to whose row an inserted row refers, if it is another's and the caller
        cannot read it.
        """
        found = []
        for key in relation.foreign_keys:
            for attempt in self._by_relation.get(key.target or 0, ()):
                if (
                    attempt.caller is insert.caller
                    and all(
                        insert.written.get(own) == attempt.row.values.get(at)
                        for own, at in zip(key.columns, key.target_columns, strict=True)
                    )
                    and attempt.action == SELECT
                    and attempt.whose == OTHER
                    and not attempt.reached
                ):
                    found.append(attempt.relation)
        return found

    # -------------------------------------------------------------------------------------------
    # own rows

    def _privileged_columns(
        self, relation: Relation, attempts: Sequence[Attempt]
    ) -> Iterator[Leak]:
        """Columns of one's own row, or of one's group, whose names say that the application decides
        about them.
        """
        per_user = relation.oid in self._plan.per_user
        if not per_user and relation.oid not in self._plan.groups:
            return
        for attempt in attempts:
            own = (
                attempt.action == UPDATE
                and attempt.whose == OWN
                and attempt.reached
                and attempt.error is None
            )
            name = attempt.column.lower()
            privileged = is_paid_for(name) or (per_user and name in _PRIVILEGES)
            if own and privileged and attempt.caller.kind in (NEWCOMER, STRANGER):
                goal = (
                    "become an admin"
                    if "admin" in attempt.column
                    else f"change their own {attempt.column}"
                )
                message = (
                    f"Any signed-in user can {goal}: UPDATE of {relation.name}.{attempt.column}"
                )
                yield Leak("privileged-column", Severity.ERROR, relation, UPDATE, message, attempt)

    def _given_away(self, relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
        """Rows that their owner can write another user's name into, although an INSERT must not."""
        refused = any(
            a.action == INSERT and a.whose == OTHER and not a.reached and a.caller.kind == STRANGER
            for a in attempts
        )
        columns = user_columns(relation, self._plan.usage, self._plan.per_user)
        if not refused:
            return
        for attempt in attempts:
            own = (
                attempt.action == UPDATE
                and attempt.whose == OWN
                and attempt.reached
                and attempt.caller.kind == STRANGER
            )
            if (
                own
                and attempt.column in columns
                and (relation.oid, attempt.column) in self._plan.usage.checked
            ):
                what = f"UPDATE of {relation.name}.{attempt.column}"
                message = (
                    f"Any signed-in user can put another user's name on their own rows: {what}"
                )
                yield Leak("give-away", Severity.WARNING, relation, UPDATE, message, attempt)

    def _two_groups(self, relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
        """What a role in one group allows in another: more than the same role alone."""
        members = [
            (a, a.caller.user)
            for a in attempts
            if a.caller.kind == MEMBER and a.caller.user is not None
        ]
        for both, user in members:
            membership = user.membership
            if (
                not (user.in_both and both.reached and membership)
                or both.whose != GROUP
                or both.name
            ):
                continue
            if any(both.column in key.columns for key in relation.foreign_keys):
                continue  # a row may move between groups of which one is a member
            same = [
                a
                for a, other in members
                if not other.in_both
                and (other.membership, other.role) == (membership, user.role)
                and (a.action, a.column, a.row, a.name) == (both.action, both.column, both.row, "")
            ]
            if same and not any(a.reached for a in same):
                less, more = user.role, membership.roles[0]
                message = f"A {less} of one group who is {more} of another can {DOES[both.action]} rows as {more}"
                yield Leak("two-groups", Severity.ERROR, relation, both.action, message, both)


def _disabled(relation: Relation, attempts: Sequence[Attempt]) -> Iterator[Leak]:
    reached = [
        a
        for a in attempts
        if a.reached and a.whose in (OTHER, NONE, GROUP) and a.caller.is_outsider
    ]
    if not reached:
        return
    first = reached[0]
    actions = [
        a
        for a in (SELECT, INSERT, UPDATE, DELETE)
        if any(r.action == a and r.caller is first.caller for r in reached)
    ]
    verbs = ", ".join(DOES[a] for a in actions)
    message = f"Row level security is disabled: {who(first.caller).lower()} {verbs} every row"
    severity = Severity.WARNING if actions == [SELECT] else Severity.ERROR
    yield Leak("rls-disabled", severity, relation, actions[0], message, first)


def is_paid_for(name: str) -> bool:
    """Whether a column's name says that a payment decides about it, such as `plan_id` or
    `quota_mb`.
    """
    return any(name == word or name.startswith(f"{word}_") for word in _PAID)


def _sensitive_columns(attempt: Attempt) -> list[str]:
    """The columns with addresses, tokens or secrets that the caller of an attempt may read."""
    relation = attempt.relation
    return [
        c.name
        for c in relation.columns
        if not relation.is_storage
        and is_sensitive(c.name)
        and relation.may(attempt.caller.role, "SELECT", c.name)
    ]


def is_sensitive(name: str) -> bool:
    """Whether a column's name says that it holds an address, a token or a secret."""
    return any(word in name.lower() for word in _SENSITIVE) and not name.lower().endswith(
        ("_count", "_at", "_verified")
    )
