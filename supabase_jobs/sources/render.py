"""Sources → Supabase migration files. Knows no database.

The guard: a template may only print what is a quoted SQL literal or identifier, so no value of a
variable can end a string, start a statement, or break the SQL in any other way.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from psycopg import sql

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.files import UNINSTALL, Migration, Source, SourceSet, load_migrations, origin_line
from supabase_jobs.sources.repeatable import parts
from supabase_jobs.sources.variables import resolve

_AGAIN = "-- The repeatable parts of {}, which is applied already, as they are since variables have changed.\n\n"


@dataclass(frozen=True)
class Rendered:
    """A source with its variables filled in; `text` is the whole file, first line included.

    `again` is the file that carries a change of its repeatable parts into a project that has an older rendering,
    and `once` is the rest, which such a file cannot change. Without repeatable parts both are None.
    """

    source: Source
    text: str
    once: str | None = None
    again: str | None = None


@dataclass(frozen=True)
class Rendering:
    """What `render` would do with a folder: files to add, files that are right, files that are not.

    `edited` were changed by hand since they were rendered; `outdated` are as they were rendered, but
    today's sources or variables give another text, and not only in their repeatable parts, of which a new version
    could be made. Neither is ever rewritten: it may be applied already. `removed_by` is the migration that takes
    all of ours away again, where nothing of ours comes after it.
    """

    new: tuple[Migration, ...] = ()
    unchanged: tuple[Migration, ...] = ()
    edited: tuple[Migration, ...] = ()
    outdated: tuple[Migration, ...] = ()
    removed_by: Migration | None = None

    @property
    def differs(self) -> bool:
        """Whether the folder is anything else than the rendered sources."""
        return bool(self.new or self.edited or self.outdated)


def render_sources(sources: SourceSet, overrides: Mapping[str, object]) -> tuple[Rendered, ...]:
    """Every source as it would be written, in order.

    Raises ConfigError: a variable that is unknown, of the wrong type or out of its limits (named), or a
    template that is malformed, uses an undeclared variable or prints something unquoted (file and line).
    """
    return _render_all(sources, sources.sources, overrides)


def render_uninstall(sources: SourceSet, overrides: Mapping[str, object]) -> Rendered:
    """The source that takes all of it away again; ConfigError as `render_sources`, and where there is none."""
    if sources.uninstall is None:
        raise ConfigError(
            f"{sources.directory} has no source that uninstalls",
            hint=f"It would be the one file in {sources.directory / UNINSTALL}.",
        )
    [rendered] = _render_all(sources, [sources.uninstall], overrides)
    return rendered


def standard_migrations(sources: SourceSet, rendered: Sequence[Rendered]) -> list[Migration]:
    """The rendered sources as migrations under their standard versions, without writing them."""
    return [_migration(sources.standard_version(r.source), r) for r in rendered]


def compare(
    sources: SourceSet, rendered: Sequence[Rendered], existing: Sequence[Migration], *, reinstall: bool = False
) -> Rendering:
    """Hold the rendered sources against the migrations that a project has, in order of their versions.

    A file is recognised by the source named in its first line, and of several from one source the newest counts.
    New ones get their standard versions where the project has nothing but this set under those; else versions
    after its newest migration. After the migration that uninstalls nothing is added, unless by `reinstall`, which
    adds all of it anew.
    """
    stems = {r.source.stem for r in rendered}
    removed_by = _uninstalling(sources, existing)
    ours = [m for m in existing if m.origin and m.origin[0] in stems]
    gone = [m for m in ours if removed_by and m.version < removed_by.version]
    there = [m for m in ours if m not in gone]
    new, outdated = [], []
    if there or reinstall or removed_by is None:
        removed_by = None
        standard = {r.source.stem: sources.standard_version(r.source) for r in rendered}
        alone = all(m.origin and standard.get(m.origin[0]) == m.version for m in existing)
        newest = max((m.version for m in existing), default="")
        for r in rendered:
            files = [m for m in there if m.origin and m.origin[0] == r.source.stem]
            state = _state(r, files)
            if state in ("missing", "changed"):
                version = standard[r.source.stem] if alone and not files else _version_after(newest)
                newest = max(newest, version)
                new.append(_migration(version, r) if state == "missing" else _change(version, r))
            elif state == "outdated":
                outdated.append(files[-1])
    edited = tuple(m for m in ours if not _as_rendered(m))
    unchanged = tuple(m for m in ours if m not in edited and m not in outdated)
    return Rendering(tuple(new), unchanged, edited, tuple(outdated), removed_by)


def compare_folder(
    sources: SourceSet, rendered: Sequence[Rendered], out: Path, *, reinstall: bool = False
) -> Rendering:
    """`compare` with the migrations in a folder, which need not exist yet."""
    return compare(sources, rendered, load_migrations(out) if out.is_dir() else [], reinstall=reinstall)


def uninstall_folder(sources: SourceSet, rendered: Rendered, out: Path) -> Rendering:
    """What `render` would do with a folder to have everything of ours taken away: one file after all others.

    Raises ConfigError where the folder has nothing of ours, or where a file that takes it away is there and says
    something else than this one would.
    """
    existing = load_migrations(out) if out.is_dir() else []
    stems = {source.stem for source in sources.sources}
    ours = [m for m in existing if m.origin and m.origin[0] in stems]
    if not ours:
        raise ConfigError(
            f"{out} holds none of these sources, so there is nothing to uninstall",
            hint="Where the packaged files were applied without being written, run supabase-jobs render first.",
        )
    before = _uninstalling(sources, existing)
    if before is None or before.version < ours[-1].version:
        return Rendering(new=(_migration(_version_after(existing[-1].version), rendered),))
    if before.text != rendered.text:
        raise ConfigError(
            f"{before.file_name} uninstalls already, and was rendered otherwise or changed by hand",
            hint="If it was applied nowhere, delete it and render again.",
            file=str(out / before.file_name),
        )
    return Rendering(unchanged=(before,))


def write(rendering: Rendering, out: Path) -> None:
    """Write the new files into `out`, each whole or not at all; ConfigError names what cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for migration in rendering.new:
            path = out / migration.file_name
            half = path.with_name(f".{path.name}.{os.getpid()}")
            half.write_text(migration.text, encoding="utf-8", newline="")
            half.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or out}: {error.strerror}") from error


def _state(rendered: Rendered, files: Sequence[Migration]) -> str:
    """What a source is in a project that has these files of it: current, missing, changed, outdated or edited."""
    if not files:
        return "missing"
    if not _as_rendered(files[-1]):
        return "edited"
    if files[-1].text == rendered.text:
        return "current"
    # a change reaches the repeatable parts only, so the rest has to be what was applied once
    if not any(_as_rendered(m) and parts(m.body, m.label).once == rendered.once for m in files):
        return "outdated"
    return "current" if files[-1].text == rendered.again else "changed"


def _as_rendered(migration: Migration) -> bool:
    if migration.origin is None:
        return False
    stem, _ = migration.origin
    return migration.text == origin_line(stem, migration.body) + migration.body


def _uninstalling(sources: SourceSet, existing: Sequence[Migration]) -> Migration | None:
    if sources.uninstall is None:
        return None
    found = [m for m in existing if m.origin and m.origin[0] == sources.uninstall.stem]
    return found[-1] if found else None


def _migration(version: str, rendered: Rendered) -> Migration:
    name = rendered.source.name
    return Migration(version, name, rendered.text, f"{version}_{name}.sql")


def _change(version: str, rendered: Rendered) -> Migration:
    assert rendered.again is not None  # noqa: S101  only what has repeatable parts is ever in state changed
    name = f"{rendered.source.name}_again"
    return Migration(version, name, rendered.again, f"{version}_{name}.sql")


def _version_after(newest: str) -> str:
    """A 14-digit version that sorts after `newest` as text: now, or one more where that is later."""
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    if now > newest:
        return now
    following = str(int(newest[:14].ljust(14, "0")) + 1)
    if len(following) > 14 or following <= newest:
        raise ConfigError(
            f"no 14-digit version sorts after the newest migration, {newest}",
            hint="Versions are compared as text. Rename that migration if it was never applied.",
        )
    return following


def _quoted(value: Any) -> str:
    if not isinstance(value, sql.Composable):
        raise ConfigError(f"a template may only print its variables, each on its own; this one prints {value!r}")
    return value.as_string(None).strip()


def _render_all(sources: SourceSet, wanted: Sequence[Source], overrides: Mapping[str, object]) -> tuple[Rendered, ...]:
    values = {name: sql.Literal(value) for name, value in resolve(sources.variables, overrides).items()}
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        finalize=_quoted,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  this is SQL, not HTML; _quoted is what escapes it
    )
    return tuple(_render(environment, source, values) for source in wanted)


def _render(environment: jinja2.Environment, source: Source, values: dict[str, sql.Literal]) -> Rendered:
    file = f"{source.stem}.sql"
    try:
        body = environment.from_string(source.text).render(values)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{file}: {error.message}", file=file, line=error.lineno) from error
    except jinja2.UndefinedError as error:
        raise ConfigError(
            f"{file}: {error.message}",
            hint="Declare the variable in the manifest beside the sources.",
            file=file,
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", file=file) from error
    except Exception as error:
        raise ConfigError(f"{file}: {type(error).__name__}: {error}", file=file) from error
    text = origin_line(source.stem, body) + body
    found = parts(body, file)
    if not found.again:
        return Rendered(source, text)
    again = f"{_AGAIN.format(source.stem)}{found.again}"
    return Rendered(source, text, found.once, origin_line(source.stem, again) + again)
