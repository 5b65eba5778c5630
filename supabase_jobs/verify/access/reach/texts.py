"""Properties of the text of a function, a trigger or a scheduled job."""

import re

# what a rollback does not undo, or what takes locks on tables
_OUTSIDE = re.compile(
    r"\b((net\.)?http(_\w+)?(?=\s*\()|dblink\w*|copy|pg_terminate_backend|pg_cancel_backend"
    r"|pg_(try_)?advisory_lock\w*|lo_export|lo_import|alter|drop|truncate|lock\s+table|create"
    r"|vacuum|reindex|refresh|pg_reload_conf|pg_sleep\w*)\b",
    re.IGNORECASE,
)
_TRUNCATE = re.compile(r"\btruncate\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_DYNAMIC = re.compile(r"\bexecute\b|\b(query|table|cursor)_to_xml|\bregclass\b", re.IGNORECASE)
_CHOOSES = re.compile(
    r"'[^']|\b(if|case|when|loop|while|limit|exists|count|now|current_\w+)\b", re.IGNORECASE
)
_CHOOSES_ROWS = re.compile(r"\b(if|case|execute)\b", re.IGNORECASE)
_COMPUTES = re.compile(r"\b(md5|sha\d+|digest|hmac|encode|decode)\s*\(", re.IGNORECASE)
_METADATA = "raw_user_meta_data"
_OF_REQUEST = re.compile(r"user_metadata|user_meta_data|\bheaders\b|\bcookies\b", re.IGNORECASE)
_OF_SERVICE = re.compile(r"app_metadata|app_meta_data", re.IGNORECASE)
_BUCKET = re.compile(r"\bbucket", re.IGNORECASE)
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_BY_CALLER = re.compile(
    r"\b(\w*roles?|jwt|claims?|\w*metadata|\w*meta_data|session_user"
    r"|current_(?!date|time)\w+)\b|[0-9a-f]{8}-[0-9a-f]{4}-",
    re.IGNORECASE,
)
_READ = re.compile(r"\b(?:from|join)\s+(?!lateral\b|\()([\w.\"]+)", re.IGNORECASE)
_WRITTEN = re.compile(r"\b(?:insert\s+into|update|merge\s+into)\s+([\w.\"]+)", re.IGNORECASE)
_CHANGES = re.compile(r"\b(insert|update|delete|truncate|merge|copy)\b", re.IGNORECASE)
_CALLED = re.compile(r"\b([\w\"]+\.[\w\"]+)\s*\(")
_SETS = re.compile(r"\bset_config\b|\bpg_settings\b|\bset\s", re.IGNORECASE)
_ACCOUNTS = re.compile(r"\bauth\.users\b", re.IGNORECASE)


def without_comments(text: str) -> str:
    """The text without its comments."""
    return _COMMENT.sub(" ", text)


def stays_inside(text: str, *, may_truncate: bool = False) -> bool:
    """Whether it does nothing that a rollback does not undo. `may_truncate`: nobody waits for the
    lock of TRUNCATE.
    """
    if may_truncate:
        text = _TRUNCATE.sub(" ", text)
    return _OUTSIDE.search(without_comments(text)) is None


def is_dynamic(text: str) -> bool:
    """Whether it runs a text, or takes the name of a table."""
    return _DYNAMIC.search(text) is not None


def chooses(text: str) -> bool:
    """Whether it decides by a value whether something happens."""
    return _CHOOSES.search(without_comments(text)) is not None


def chooses_rows(text: str) -> bool:
    """Whether it decides which statement runs."""
    return _CHOOSES_ROWS.search(text) is not None


def computes(text: str) -> bool:
    """Whether it makes a value of which the caller may know the origin."""
    return _COMPUTES.search(text) is not None


def reads_metadata(text: str) -> bool:
    """Whether it reads what every user writes into its own row of auth.users."""
    return _METADATA in text


def reads_users(text: str) -> bool:
    """Whether it may read the table of users."""
    return "users" in text


def reads_accounts(text: str) -> bool:
    """Whether a text names the table of accounts."""
    return _ACCOUNTS.search(text) is not None


def reads_request(text: str) -> bool:
    """Whether it reads what everybody writes into its own request or token."""
    return _OF_REQUEST.search(text) is not None


def reads_app_metadata(text: str) -> bool:
    """Whether it reads what only the service writes into a token."""
    return _OF_SERVICE.search(text) is not None


def names_bucket(text: str) -> bool:
    """Whether it names a bucket."""
    return _BUCKET.search(text) is not None


def knows_caller(text: str) -> bool:
    """Whether it may decide by the caller, other than by its id, what the caller sees."""
    return _BY_CALLER.search(text) is not None


def sets(text: str) -> bool:
    """Whether it may make its caller another one."""
    return _SETS.search(text) is not None


def literals(text: str) -> list[str]:
    """Its literals, in their order."""
    return [literal.replace("''", "'") for literal in _LITERAL.findall(text)]


def read_names(text: str) -> set[str]:
    """The relations and functions from which it reads."""
    return set(_READ.findall(text))


def written_names(text: str) -> set[str]:
    """The relations into which it writes."""
    return set(_WRITTEN.findall(text))


def called_names(text: str) -> set[str]:
    """The functions that it calls by a qualified name."""
    return set(_CALLED.findall(text))


def commands(text: str) -> set[str]:
    """The commands by which it changes rows."""
    return {command.lower() for command in _CHANGES.findall(text)}
