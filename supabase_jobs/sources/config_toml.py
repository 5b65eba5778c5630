"""Settings of the project's supabase/config.toml, with the defaults of the Supabase CLI."""

import tomllib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import read_toml

CONFIG_TOML = Path("supabase") / "config.toml"


@dataclass(frozen=True)
class ApiSettings:
    """The schemas that the API serves, the schemas that it adds to `search_path`, the most rows of
    a response, and whether the API roles get privileges on new objects (None: not set).
    """

    schemas: tuple[str, ...] = ("public", "graphql_public")
    extra_search_path: tuple[str, ...] = ("public", "extensions")
    max_rows: int = 1000
    auto_expose_new_tables: bool | None = None


def load_api_settings(project: Path) -> ApiSettings:
    """The API settings of a project. Raises ConfigError for invalid TOML, or a key of the wrong
    type.
    """
    file = project / CONFIG_TOML
    return _api_settings(_section(file, "api", "schemas"), file)


def parse_api_settings(text: str, label: str) -> ApiSettings:
    """The API settings in the text of a config.toml. Raises what `load_api_settings` raises."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{label} is not valid TOML: {error}", file=label) from error
    return _api_settings(_table(table, Path(label), "api", "schemas"), Path(label))


def _api_settings(section: dict[str, Any], file: Path) -> ApiSettings:
    default = ApiSettings()
    max_rows = section.get("max_rows", default.max_rows)
    if not isinstance(max_rows, int) or isinstance(max_rows, bool):
        raise ConfigError(f"{file}: [api] max_rows is not a number", file=str(file))
    exposed = section.get("auto_expose_new_tables")
    if not (exposed is None or isinstance(exposed, bool)):
        raise ConfigError(
            f"{file}: [api] auto_expose_new_tables is neither true nor false", file=str(file)
        )
    return ApiSettings(
        _names(file, section, "schemas", default.schemas),
        _names(file, section, "extra_search_path", default.extra_search_path),
        max_rows,
        exposed,
    )


@dataclass(frozen=True)
class AccessTokenHook:
    """The hook of `[auth.hook.custom_access_token]`, which returns the claims of each token."""

    uri: str

    @property
    def function(self) -> tuple[str, str] | None:
        """Schema and name of the function in the database; None if the hook is a web service."""
        parts = urlsplit(self.uri)
        if parts.scheme.lower() != "pg-functions":
            return None
        schema, _, name = parts.path.strip("/").partition("/")
        return schema, name


@dataclass(frozen=True)
class AuthSettings:
    """The ways to an account, and the hook that changes access tokens (None: not enabled)."""

    enable_signup: bool = True
    enable_anonymous_sign_ins: bool = False
    custom_access_token: AccessTokenHook | None = None


def load_auth_settings(project: Path) -> AuthSettings:
    """The settings `[auth]` of a project. Raises ConfigError for invalid TOML, a key of the wrong
    type, or an enabled hook that names no function and no address.
    """
    file = project / CONFIG_TOML
    section = _section(file, "auth", "enable_signup")
    default = AuthSettings()
    return AuthSettings(
        _flag(file, section, "enable_signup", default.enable_signup, "[auth]"),
        _flag(
            file, section, "enable_anonymous_sign_ins", default.enable_anonymous_sign_ins, "[auth]"
        ),
        _access_token_hook(file, section),
    )


def _access_token_hook(file: Path, auth: dict[str, Any]) -> AccessTokenHook | None:
    label = "[auth.hook.custom_access_token]"
    hooks = _table(auth, file, "hook", "custom_access_token")
    section = _table(hooks, file, "custom_access_token", "uri")
    if not _flag(file, section, "enabled", False, label):
        return None
    hook = AccessTokenHook(str(section.get("uri", "")))
    if urlsplit(hook.uri).scheme.lower() in ("http", "https"):
        return hook
    if hook.function is None or not all(hook.function):
        raise ConfigError(
            f"{file}: {label} uri names no function and no address",
            hint='Set it to "pg-functions://postgres/SCHEMA/FUNCTION".',
            file=str(file),
        )
    return hook


def load_major_version(project: Path) -> int | None:
    """`[db] major_version` of a project; None if it is not set. Raises ConfigError as
    `load_api_settings`.
    """
    file = project / CONFIG_TOML
    version = _section(file, "db", "major_version").get("major_version")
    if version is None or (isinstance(version, int) and not isinstance(version, bool)):
        return version
    raise ConfigError(
        f"{file}: [db] major_version is not a number",
        hint="Set it to that of the hosted project: 17.",
        file=str(file),
    )


@dataclass(frozen=True)
class Bucket:
    """A bucket of `[storage.buckets]`."""

    name: str
    public: bool
    allowed_mime_types: tuple[str, ...] | None


def load_buckets(project: Path) -> list[Bucket]:
    """The buckets of `[storage.buckets]`. Raises ConfigError for a list that is none."""
    file = project / CONFIG_TOML
    buckets = _table(_section(file, "storage", "buckets"), file, "buckets", "names")
    found = []
    for name in bucket_names(project):
        section = _table(buckets, file, name, "public")
        types = _names(file, section, "allowed_mime_types", (), f"[storage.buckets.{name}]")
        found.append(Bucket(name, section.get("public") is True, types or None))
    return found


def bucket_names(project: Path) -> list[str]:
    """The buckets of `[storage.buckets]`, which the Supabase CLI creates beside the migrations."""
    file = project / CONFIG_TOML
    buckets = _section(file, "storage", "buckets").get("buckets", {})
    return list(buckets) if isinstance(buckets, dict) else []


def seed_files(project: Path) -> list[Path]:
    """The files of `[db.seed] sql_paths`, by default supabase/seed.sql, in the order of the paths,
    each once.

    A path can be a pattern. Paths are relative to the folder of config.toml. Raises ConfigError if
    there is no file.
    """
    file = project / CONFIG_TOML
    seed = _table(_section(file, "db", "seed"), file, "seed", "sql_paths")
    patterns = _names(file, seed, "sql_paths", ("./seed.sql",), "[db.seed]")
    folder = file.parent
    found = [sorted(folder.glob(pattern)) for pattern in patterns]
    for pattern, paths in zip(patterns, found, strict=True):
        if not paths:
            raise ConfigError(
                f"no seed file matches {folder / pattern}",
                hint="Create it, name others in [db.seed] sql_paths of supabase/config.toml, or"
                " leave out --seed.",
            )
    return list(dict.fromkeys(chain.from_iterable(found)))


def schema_files(project: Path) -> list[Path]:
    """The files of `[db.migrations] schema_paths`, by default those below supabase/schemas, in the
    order of the paths, each once.
    """
    file = project / CONFIG_TOML
    migrations = _table(_section(file, "db", "migrations"), file, "migrations", "schema_paths")
    patterns = _names(file, migrations, "schema_paths", (), "[db.migrations]")
    folder = file.parent
    found = [sorted(folder.glob(pattern)) for pattern in patterns or ("schemas/**/*.sql",)]
    return [path for path in dict.fromkeys(chain.from_iterable(found)) if path.is_file()]


def _section(file: Path, name: str, key: str) -> dict[str, Any]:
    return _table(read_toml(file) if file.is_file() else {}, file, name, key)


def _table(table: dict[str, Any], file: Path, name: str, key: str) -> dict[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{file}: {name} is not a table, so its {key} is unknown", file=str(file))
    return section


def _flag(file: Path, section: dict[str, Any], key: str, default: bool, label: str) -> bool:
    value = section.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{file}: {label} {key} is neither true nor false", file=str(file))
    return value


def _names(
    file: Path, section: dict[str, Any], key: str, default: tuple[str, ...], label: str = "[api]"
) -> tuple[str, ...]:
    names = section.get(key, list(default))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{file}: {label} {key} is not a list of names", file=str(file))
    return tuple(names)
