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
from supabase_jobs.sqlfiles import Migration, Source, SourceSet, load_migrations, origin_line
from supabase_jobs.variables import resolve


@dataclass(frozen=True)
class Rendered:
    """A source with its variables filled in; `text` is the whole file, first line included."""

    source: Source
    text: str


@dataclass(frozen=True)
class Rendering:
    """What `render` would do with a folder: files to add, files that are right, files that are not.

    `edited` were changed by hand since they were rendered; `outdated` are as they were rendered, but
    today's sources or variables give another text. Neither is ever rewritten: it may be applied already.
    """

    new: tuple[Migration, ...]
    unchanged: tuple[Migration, ...]
    edited: tuple[Migration, ...]
    outdated: tuple[Migration, ...]

    @property
    def differs(self) -> bool:
        """Whether the folder is anything else than the rendered sources."""
        return bool(self.new or self.edited or self.outdated)


def render_sources(sources: SourceSet, overrides: Mapping[str, object]) -> tuple[Rendered, ...]:
    """Every source as it would be written, in order.

    Raises ConfigError: a variable that is unknown, of the wrong type or out of its limits (named), or a
    template that is malformed, uses an undeclared variable or prints something unquoted (file and line).
    """
    values = {name: sql.Literal(value) for name, value in resolve(sources.variables, overrides).items()}
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        finalize=_quoted,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  this is SQL, not HTML; _quoted is what escapes it
    )
    return tuple(_render(environment, source, values) for source in sources.sources)


def standard_migrations(sources: SourceSet, rendered: Sequence[Rendered]) -> list[Migration]:
    """The rendered sources as migrations under their standard versions, without writing them."""
    return [_migration(sources.standard_version(r.source), r) for r in rendered]


def compare(sources: SourceSet, rendered: Sequence[Rendered], existing: Sequence[Migration]) -> Rendering:
    """Hold the rendered sources against the migrations that a project has.

    A file is recognised by the source named in its first line. New ones get their standard versions
    where the project has nothing but this set under those; else versions after its newest migration.
    """
    ours = {m.origin[0]: m for m in existing if m.origin}
    standard = {r.source.stem: sources.standard_version(r.source) for r in rendered}
    alone = all(m.origin and standard.get(m.origin[0]) == m.version for m in existing)
    newest = max((m.version for m in existing), default="")

    new, unchanged, edited, outdated = [], [], [], []
    for r in rendered:
        found = ours.get(r.source.stem)
        if found is None:
            version = standard[r.source.stem] if alone else _version_after(newest)
            newest = max(newest, version)
            new.append(_migration(version, r))
        elif found.text == r.text:
            unchanged.append(found)
        elif found.text == origin_line(r.source, found.body) + found.body:
            outdated.append(found)
        else:
            edited.append(found)
    return Rendering(tuple(new), tuple(unchanged), tuple(edited), tuple(outdated))


def compare_folder(sources: SourceSet, rendered: Sequence[Rendered], out: Path) -> Rendering:
    """`compare` with the migrations in a folder, which need not exist yet."""
    return compare(sources, rendered, load_migrations(out) if out.is_dir() else [])


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


def _migration(version: str, rendered: Rendered) -> Migration:
    name = rendered.source.name
    return Migration(version, name, rendered.text, f"{version}_{name}.sql")


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
    return Rendered(source, origin_line(source, body) + body)
