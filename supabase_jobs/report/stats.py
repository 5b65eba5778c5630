"""The sections of `stats` as text in 80 columns, with bars for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

_BAR = 26
_EIGHTHS = " ▏▎▍▌▋▊▉"
_AGES = ("under_1_hour", "under_1_day", "under_7_days", "under_30_days", "older")


def text(
    sections: Mapping[str, Sequence[Row]], unanswered: Iterable[str], minutes: int, *, chart: bool
) -> str:
    """Every section with a heading; without jobs four lines. `minutes` is the age at which a job
    counts as stuck.
    """
    timed_out = set(unanswered)
    if not timed_out and not any(row["jobs"] for row in sections["jobs"]):
        return _without_jobs(sections)
    texts = {
        "jobs": _jobs(sections["jobs"], chart),
        "ages": _ages(sections["ages"]),
        "hours": _hours(sections["hours"], chart),
        "slowest": _list(
            "slowest jobs completed in the last 24 hours, including time in the queue",
            sections["slowest"],
        ),
        "stuck": _stuck(sections["stuck"], minutes),
        "tables": _tables(sections["tables"]),
        "indexes": _indexes(sections["indexes"]),
    }
    return "\n".join(
        f"{name}: the query took longer than 10 s\n" if name in timed_out else section
        for name, section in texts.items()
    )


def _without_jobs(sections: Mapping[str, Sequence[Row]]) -> str:
    """One line, the tables, and invalid indexes: the other sections have nothing to show."""
    invalid = [row for row in sections["indexes"] if not row["valid"]]
    return "no jobs\n" + _tables(sections["tables"]) + (_indexes(invalid) if invalid else "")


def _jobs(rows: Sequence[Row], chart: bool) -> str:
    total = sum(row["jobs"] for row in rows)
    lines = [f"{total:,} jobs"]
    for row in rows:
        share = row["jobs"] / total if total else 0.0
        lines.append(f"  {row['status']:<10} {row['jobs']:>13,} {share:>6.1%}{_bar(share, chart)}")
    return _block(lines)


def _ages(rows: Sequence[Row]) -> str:
    lines = ["by age (active: since created, finished: since the last update)"]
    lines.append(
        f"  {'':<10} {'< 1 hour':>12} {'< 1 day':>12} {'< 7 days':>12} {'< 30 days':>12}"
        f" {'older':>12}"
    )
    for row in rows:
        numbers = "".join(f" {row[age]:>12,}" for age in _AGES)
        lines.append(f"  {row['jobs']:<10}{numbers}")
    return _block(lines)


def _hours(rows: Sequence[Row], chart: bool) -> str:
    most = max((row["completed"] + row["failed"] for row in rows), default=0)
    lines = ["ended in each of the last 24 hours, UTC"]
    lines.append(f"  {'hour':<6} {'completed':>11} {'failed':>11} {'cancelled':>11}")
    for row in rows:
        numbers = "".join(f" {row[status]:>11,}" for status in ("completed", "failed", "cancelled"))
        bar = _stacked(row["completed"], row["failed"], most, chart)
        lines.append(f"  {row['hour'][11:16]:<6}{numbers}{bar}")
    if chart and most:
        lines.append(f"  {'':<43}█ completed  ░ failed")
    return _block(lines)


def _list(heading: str, rows: Sequence[Row]) -> str:
    return _block(
        [heading] + ([f"  {row['id']}  {_span(row['seconds'])}" for row in rows] or ["  none"])
    )


def _stuck(rows: Sequence[Row], minutes: int) -> str:
    parts = []
    for status, heading in (("processing", "processing without an update"), ("queued", "queued")):
        longest = [row for row in rows if row["status"] == status]
        number = longest[0]["jobs"] if longest else 0
        line = f"{number:,} {heading} for more than {minutes} min"
        line += ", the longest:" if number > len(longest) else ""
        parts.append(_list(line, longest) if longest else f"{line}\n")
    return "".join(parts)


def _tables(rows: Sequence[Row]) -> str:
    lines = [f"{'table':<19} {'rows':>13} {'size':>8} {'indexes':>8} {'dead rows':>11}  vacuumed"]
    for row in rows:
        sizes = f"{_size(row['bytes']):>8} {_size(row['index_bytes']):>8}"
        last = row["vacuumed"][5:16].replace("T", " ") if row["vacuumed"] else "never"
        lines.append(
            f"{row['name']:<19} {_number(row['rows']):>13} {sizes} {_number(row['dead_rows']):>11}"
            f"  {last}"
        )
    return _block(lines)


def _indexes(rows: Sequence[Row]) -> str:
    lines = [f"{'index, least used first':<40} {'scans':>14} {'size':>9}"]
    for row in rows:
        invalid = "" if row["valid"] else "  INVALID"
        lines.append(
            f"{row['name']:<40} {_number(row['scans']):>14} {_size(row['bytes']):>9}{invalid}"
        )
    return _block(lines)


def _block(lines: Iterable[str]) -> str:
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _bar(share: float, chart: bool) -> str:
    if not chart or not share:
        return ""
    eighths = max(round(share * _BAR * 8), 1)
    return "  " + "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _stacked(completed: int, failed: int, most: int, chart: bool) -> str:
    if not chart or not most:
        return ""
    # a number above 0 has at least one character
    failed_width = max(round(failed / most * _BAR), 1) if failed else 0
    completed_width = (
        max(min(round(completed / most * _BAR), _BAR - failed_width), 1) if completed else 0
    )
    return "  " + "█" * completed_width + "░" * failed_width


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.1f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440:,} days"


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TB"
