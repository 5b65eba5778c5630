"""Render sources into Supabase migration files. Knows no database.

A template can print only quoted SQL literals, so that the value of a variable cannot end a string,
start a statement or break the SQL in another way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from psycopg import sql

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.files import (
    UNINSTALL,
    Migration,
    Source,
    SourceSet,
    load_migrations,
    origin_line,
    write_sql,
)
from supabase_jobs.sources.repeatable import sections
from supabase_jobs.sources.variables import resolve

_UPDATE_HEADER = (
    "-- The repeatable sections of {}, which is already applied, with the changed variables.\n\n"
)


@dataclass(frozen=True)
class RenderedSource:
    """A source with the values of its variables; `text` is the whole file with its first line.

    `update` is the file with its repeatable sections alone, for a project that has an older
    rendering; `fixed` is the rest, which such a file cannot change. Both are None without
    repeatable sections.
    """

    source: Source
    text: str
    fixed: str | None = None
    update: str | None = None


@dataclass(frozen=True)
class FolderComparison:
    """The differences between a folder and the rendered sources.

    `new` are the files to add. `edited` files were changed after they were rendered. `outdated`
    files were not, but the current sources or variables result in another text outside of the
    repeatable sections, which a new version cannot change. Both stay as they are, because they may
    be applied already. `uninstalled_by` is the migration that uninstalls the sources, if they are
    not installed again after it. `is_foreign`: the folder has migrations, and none of a source.
    """

    new: tuple[Migration, ...] = ()
    unchanged: tuple[Migration, ...] = ()
    edited: tuple[Migration, ...] = ()
    outdated: tuple[Migration, ...] = ()
    uninstalled_by: Migration | None = None
    is_foreign: bool = False

    @property
    def differs(self) -> bool:
        """Whether the folder differs from the rendered sources."""
        return bool(self.new or self.edited or self.outdated)


def render_sources(
    sources: SourceSet, overrides: Mapping[str, object]
) -> tuple[RenderedSource, ...]:
    """Every source with the values of its variables, in order.

    Raises ConfigError for a variable that is unknown, of the wrong type or out of its limits, and,
    with file and line, for a template that is malformed, uses an undeclared variable or prints
    anything unquoted.
    """
    return _render_all(sources, sources.sources, overrides)


def render_uninstall(sources: SourceSet, overrides: Mapping[str, object]) -> RenderedSource:
    """The rendered uninstall source; ConfigError as `render_sources`, and if there is no such
    source.
    """
    if sources.uninstall is None:
        raise ConfigError(
            f"{sources.directory} has no uninstall source",
            hint=f"Add one file to {sources.directory / UNINSTALL}.",
        )
    [rendered] = _render_all(sources, [sources.uninstall], overrides)
    return rendered


def standard_migrations(sources: SourceSet, rendered: Sequence[RenderedSource]) -> list[Migration]:
    """The rendered sources as migrations with their standard versions, in memory."""
    return [_migration(sources.standard_version(r.source), r) for r in rendered]


def compare_folder(
    sources: SourceSet, rendered: Sequence[RenderedSource], out: Path, *, reinstall: bool = False
) -> FolderComparison:
    """Compare the rendered sources with the migrations in a folder, which need not exist yet.

    The first line of a file names its source; the newest file of a source counts. New files get
    their standard versions if the folder contains only this set with those versions, else versions
    after its newest migration; so does an optional source that was excluded before. After the
    migration that uninstalls, nothing is new unless `reinstall` is set: then every source is.
    """
    existing = load_migrations(out) if out.is_dir() else []
    check_excluded(sources, existing)
    stems = {r.source.stem for r in rendered}
    uninstalled_by = _uninstall_migration(sources, existing)
    managed = [m for m in existing if m.origin and m.origin[0] in stems]
    installed = [m for m in managed if not uninstalled_by or m.version > uninstalled_by.version]
    new, outdated = [], []
    if installed or reinstall or uninstalled_by is None:
        uninstalled_by = None
        standard = {r.source.stem: sources.standard_version(r.source) for r in rendered}
        only_standard = all(m.origin and standard.get(m.origin[0]) == m.version for m in existing)
        newest = max((m.version for m in existing), default="")
        for r in rendered:
            files = [m for m in installed if m.origin and m.origin[0] == r.source.stem]
            state = _state(r, files)
            if state in ("missing", "changed"):
                version = standard[r.source.stem]
                # a source that was excluded comes after what was applied without it
                is_late = r.source.stem in sources.optional and version < newest
                if not only_standard or files or is_late:
                    version = _version_after(newest)
                newest = max(newest, version)
                new.append(_migration(version, r) if state == "missing" else _update(version, r))
            elif state == "outdated":
                outdated.append(files[-1])
    edited = tuple(m for m in managed if not _as_rendered(m))
    unchanged = tuple(m for m in managed if m not in edited and m not in outdated)
    return FolderComparison(
        new=tuple(new),
        unchanged=unchanged,
        edited=edited,
        outdated=tuple(outdated),
        uninstalled_by=uninstalled_by,
        is_foreign=bool(existing) and not any(m.origin for m in existing),
    )


def uninstall_folder(sources: SourceSet, rendered: RenderedSource, out: Path) -> FolderComparison:
    """Compare the rendered uninstall source with a folder, where it is the file after all others.

    Raises ConfigError if the folder contains none of the sources, or another text of the uninstall
    source.
    """
    existing = load_migrations(out) if out.is_dir() else []
    check_excluded(sources, existing)
    managed = [m for m in existing if m.origin and m.origin[0] in sources.stems]
    if not managed:
        raise ConfigError(
            f"{out} contains none of these sources, so there is nothing to uninstall",
            hint="If the packaged sources were applied from memory, run `supabase-jobs render`"
            " first.",
        )
    before = _uninstall_migration(sources, existing)
    if before is None or before.version < managed[-1].version:
        return FolderComparison(new=(_migration(_version_after(existing[-1].version), rendered),))
    if before.text != rendered.text:
        raise ConfigError(
            f"{before.file_name} already uninstalls the sources, but its text differs from the one"
            " to be written",
            hint="If it is not applied anywhere, delete it and render again.",
            file=str(out / before.file_name),
        )
    return FolderComparison(unchanged=(before,))


def check_excluded(sources: SourceSet, existing: Sequence[Migration]) -> None:
    """Raise ConfigError if the migrations install a source that the project excludes."""
    uninstalled_by = _uninstall_migration(sources, existing)
    installed = [m for m in existing if not uninstalled_by or m.version > uninstalled_by.version]
    for migration in installed:
        if migration.origin and migration.origin[0] in sources.excluded:
            raise ConfigError(
                f"{migration.file_name} was rendered from {migration.origin[0]}, which [sources]"
                " excludes",
                hint="Delete the file if it is not applied anywhere. Otherwise do not exclude the"
                " source: what it has created stays.",
                file=migration.label,
            )


def write(comparison: FolderComparison, out: Path) -> None:
    """Write the new files into `out`, each atomically; ConfigError names the file that cannot be
    written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for migration in comparison.new:
            write_sql(out / migration.file_name, migration.text)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or out}: {error.strerror}") from error


def _state(rendered: RenderedSource, files: Sequence[Migration]) -> str:
    """The state of a source in a project that has these files of it: current, missing, changed,
    outdated, edited.
    """
    if not files:
        return "missing"
    if not _as_rendered(files[-1]):
        return "edited"
    if files[-1].text == rendered.text:
        return "current"
    # an update changes the repeatable sections only, so the rest must be the same as in an existing
    # file
    if not any(
        _as_rendered(m) and sections(m.body, m.label).fixed == rendered.fixed for m in files
    ):
        return "outdated"
    return "current" if files[-1].text == rendered.update else "changed"


def _as_rendered(migration: Migration) -> bool:
    if migration.origin is None:
        return False
    stem, _ = migration.origin
    return migration.text == origin_line(stem, migration.body) + migration.body


def _uninstall_migration(sources: SourceSet, existing: Sequence[Migration]) -> Migration | None:
    if sources.uninstall is None:
        return None
    files = [m for m in existing if m.origin and m.origin[0] == sources.uninstall.stem]
    return files[-1] if files else None


def _migration(version: str, rendered: RenderedSource) -> Migration:
    name = rendered.source.name
    return Migration(version, name, rendered.text, f"{version}_{name}.sql")


def _update(version: str, rendered: RenderedSource) -> Migration:
    # the state is "changed" only with repeatable sections
    assert rendered.update is not None  # noqa: S101
    name = f"{rendered.source.name}_again"
    return Migration(version, name, rendered.update, f"{version}_{name}.sql")


def _version_after(newest: str) -> str:
    """A 14-digit version that sorts after `newest` as text: the current time, or `newest` plus one
    if that is later.
    """
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    if now > newest:
        return now
    following = str(int(newest[:14].ljust(14, "0")) + 1)
    if len(following) > 14 or following <= newest:
        raise ConfigError(
            f"no 14-digit version sorts after the newest migration, {newest}",
            hint="Versions are compared as text. Rename that migration if it is not applied"
            " anywhere.",
        )
    return following


def _quoted(value: Any) -> str:
    if not isinstance(value, sql.Composable):
        raise ConfigError(
            "a template may print only its variables, each on its own, but this one prints"
            f" {value!r}"
        )
    return value.as_string(None).strip()


def _render_all(
    sources: SourceSet, wanted: Sequence[Source], overrides: Mapping[str, object]
) -> tuple[RenderedSource, ...]:
    values: dict[str, Any] = {
        name: sql.Literal(value) for name, value in resolve(sources.variables, overrides).items()
    }
    values["excluded_sources"] = sources.excluded  # for the uninstall source
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        finalize=_quoted,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  SQL, not HTML; _quoted escapes it
    )
    return tuple(_render(environment, source, values) for source in wanted)


def _render(
    environment: jinja2.Environment, source: Source, values: Mapping[str, Any]
) -> RenderedSource:
    file = f"{source.stem}.sql"
    try:
        body = environment.from_string(source.text).render(values)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{file}: {error.message}", file=file, line=error.lineno) from error
    except jinja2.UndefinedError as error:
        raise ConfigError(
            f"{file}: {error.message}",
            hint="Declare the variable in the manifest of the sources.",
            file=file,
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", file=file) from error
    except Exception as error:
        raise ConfigError(f"{file}: {type(error).__name__}: {error}", file=file) from error
    text = origin_line(source.stem, body) + body
    fixed, repeatable = sections(body, file)
    if not repeatable:
        return RenderedSource(source, text)
    update = f"{_UPDATE_HEADER.format(source.stem)}{repeatable}"
    return RenderedSource(source, text, fixed, origin_line(source.stem, update) + update)
