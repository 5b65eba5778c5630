"""Pair ledger rows without a file with pending files: one migration under two versions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import has_code
from supabase_jobs.migrations.drift import meanings, whole_statements
from supabase_jobs.migrations.ledger import LedgerRow
from supabase_jobs.sources.files import Migration, fingerprint

# Two texts are nearly equal if they have this share of their statements in common, or of the
# objects that they create or alter.
_NEARLY = 0.5
# A feature that more texts than this have in common distinguishes none of them.
_COMMON = 50


@dataclass(frozen=True)
class Pairs:
    """Pending files by version, each with the ledger row that it belongs to.

    `renamed` are the same migration; `near` differ in meaning, and have much in common.
    """

    renamed: Mapping[str, LedgerRow]
    near: Mapping[str, LedgerRow]


def find_pairs(pending: Sequence[Migration], rows: Sequence[LedgerRow]) -> Pairs:
    """Pair pending files with remote-only rows, each at most once; the earliest of several equal
    ones first.

    A file without statements and a row without statements belong to nothing.
    """
    if not pending or not rows:
        return Pairs({}, {})
    texts = {m.version: _statements(m) for m in pending}
    applied = {row.version: _code(whole_statements(row.statements or ())) for row in rows}
    known = [row for row in rows if applied[row.version]]
    pending = [m for m in pending if texts[m.version]]
    renamed = _equal(pending, known, texts, applied)
    taken = {row.version for row in renamed.values()}
    near = _nearly_equal(
        [m for m in pending if m.version not in renamed],
        [row for row in known if row.version not in taken],
        texts,
        applied,
    )
    return Pairs(renamed, near)


def _statements(migration: Migration) -> list[str]:
    return _code(statement.text for statement in migration.statements)


def _code(statements: Iterable[str]) -> list[str]:
    """The statements, without those that are only a comment."""
    return [text for text in statements if has_code(text)]


def _equal(
    pending: Sequence[Migration],
    rows: Sequence[LedgerRow],
    texts: Mapping[str, Sequence[str]],
    applied: Mapping[str, Sequence[str]],
) -> dict[str, LedgerRow]:
    pairs: dict[str, LedgerRow] = {}
    # most are equal as text, which takes a tenth of the time that parsing takes
    for digest in (_text_digest, _meaning_digest):
        taken = {row.version for row in pairs.values()}
        by_digest: dict[str, list[LedgerRow]] = defaultdict(list)
        for row in rows:
            if row.version not in taken:
                by_digest[digest(applied[row.version])].append(row)
        for migration in pending:
            if migration.version in pairs:
                continue
            own = digest(texts[migration.version])
            candidates = by_digest[own] if own else []
            if candidates:
                row = next((r for r in candidates if r.name == migration.name), candidates[0])
                candidates.remove(row)
                pairs[migration.version] = row
    return pairs


def _text_digest(statements: Sequence[str]) -> str:
    return "\n;\n".join(statements)


def _meaning_digest(statements: Sequence[str]) -> str:
    """A text that is equal for statements of the same meaning; '' if there are only comments."""
    ordered = in_canonical_order(list(meanings(statements)))
    return fingerprint("\n".join(ordered)) if ordered else ""


def in_canonical_order(found: Sequence[str]) -> list[str]:
    """The meanings of statements, with runs of statements that do not depend on each other sorted.

    Such are consecutive named indexes, policies, grants and `enable row level security`, and
    consecutive comments, if no two of them are about the same object.
    """
    ordered: list[str] = []
    run: list[str] = []
    run_kind = None
    for meaning in found:
        kind = _independent_kind(meaning)
        if kind is None or kind != run_kind:
            ordered += _sorted_run(run, run_kind)
            run, run_kind = [], kind
        run.append(meaning)
    return [*ordered, *_sorted_run(run, run_kind)]


def _independent_kind(meaning: str) -> str | None:
    """`object` or `comment` for a statement whose place among its like has no effect; else None."""
    if meaning.startswith("[{'CommentStmt'"):
        return "comment"
    if meaning.startswith("[{'IndexStmt'"):
        # PostgreSQL numbers the names that it makes up, in the order of the statements
        return "object" if "'idxname'" in meaning else None
    if meaning.startswith("[{'CreatePolicyStmt'"):
        return "object"
    if meaning.startswith("[{'GrantStmt'") and "'is_grant': True" in meaning:
        # a grant of ALL TABLES depends on the tables, but a run creates none
        return "object"
    if meaning.startswith("[{'AlterTableStmt'"):
        only_row_security = meaning.count("'AlterTableCmd'") == 1
        return "object" if only_row_security and "'AT_EnableRowSecurity'" in meaning else None
    return None


def _sorted_run(run: list[str], kind: str | None) -> list[str]:
    if kind is None:
        return run
    if kind == "comment" and len({_target(m) for m in run}) < len(run):
        return run  # of two comments on an object the last one counts
    return sorted(run)


def _target(comment: str) -> str:
    return comment.partition(", 'comment':")[0]


@dataclass(frozen=True)
class _Features:
    """The name of a migration, the objects that it creates or alters, its statements by meaning."""

    name: str | None
    objects: frozenset[str]
    statements: frozenset[str]

    def similarity(self, other: "_Features") -> float:
        """From 0 to 1: the share of objects, or of statements, that both have in common."""
        return max(_share(self.objects, other.objects), _share(self.statements, other.statements))


def _nearly_equal(
    pending: Sequence[Migration],
    rows: Sequence[LedgerRow],
    texts: Mapping[str, Sequence[str]],
    applied: Mapping[str, Sequence[str]],
) -> dict[str, LedgerRow]:
    """The best pairs first; of those that are equally good, the ones with the same name."""
    by_version = {row.version: row for row in rows}
    features = {row.version: _features(row.name, applied[row.version]) for row in rows}
    having: dict[str, list[str]] = defaultdict(list)
    for version, own in features.items():
        for feature in own.objects | own.statements:
            having[feature].append(version)
    scored = []
    for migration in pending:
        own = _features(migration.name, texts[migration.version])
        known = [having[f] for f in own.objects | own.statements if len(having[f]) <= _COMMON]
        for version in set(chain.from_iterable(known)):
            other = features[version]
            similarity = own.similarity(other)
            same_name = own.name == other.name
            if similarity >= _NEARLY or same_name:
                scored.append((-similarity, not same_name, migration.version, version))
    pairs: dict[str, LedgerRow] = {}
    taken: set[str] = set()
    for _, _, file_version, version in sorted(scored):
        if file_version not in pairs and version not in taken:
            pairs[file_version] = by_version[version]
            taken.add(version)
    return pairs


def _features(name: str | None, statements: Sequence[str]) -> _Features:
    equal = frozenset(fingerprint(meaning) for meaning in meanings(statements))
    return _Features(name, frozenset(_objects(statements)), equal)


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    together = one | other
    return len(one & other) / len(together) if together else 0.0


def _objects(statements: Iterable[str]) -> Iterator[str]:
    for text in statements:
        for node in syntax.parse(text) or []:
            kind = next(iter(node))
            for created, _ in syntax.creates(node, "public"):
                yield f"{kind} {created}"
            yield from _altered(node.get("AlterTableStmt", {}))


def _altered(fields: syntax.Node) -> Iterator[str]:
    table = fields.get("relation", {})
    for command in fields.get("cmds", ()):
        change = command["AlterTableCmd"]
        added = change.get("def", {}).get("ColumnDef", {}).get("colname")
        yield f"{change['subtype']} {table.get('relname')} {change.get('name', added)}"
