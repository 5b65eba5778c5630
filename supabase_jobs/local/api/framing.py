"""Bodies of HTTP/1.1 requests without their framing. Imports only the standard library."""

from collections.abc import Iterator
from email.message import Message
from io import BufferedIOBase

_LONGEST_LINE = 65536  # of a chunk or trailer


class MalformedError(Exception):
    """A request that cannot be forwarded."""


class ClientGoneError(ConnectionError):
    """The client closed the connection, or stopped sending."""


def read_body(headers: Message, source: BufferedIOBase) -> bytes:
    """The body of a request, without the framing of chunks.

    Raises MalformedError for a framing that two servers could interpret differently (request
    smuggling): several lengths, a length with chunks, invalid headers or chunks. Raises
    ClientGoneError.
    """
    lengths = {length.strip() for length in headers.get_all("content-length", [])}
    codings = [coding.strip().lower() for coding in headers.get_all("transfer-encoding", [])]
    if headers.defects:
        raise MalformedError("invalid headers")
    is_number = all(length.isascii() and length.isdigit() for length in lengths)
    if len(lengths) > 1 or (lengths and codings) or not is_number:
        raise MalformedError("ambiguous length")
    if codings not in ([], ["chunked"]):
        raise MalformedError("unsupported transfer coding")
    if codings:
        return b"".join(_chunks(source))
    return _exactly(source, int(lengths.pop()) if lengths else 0)


def _chunks(source: BufferedIOBase) -> Iterator[bytes]:
    while size := _chunk_size(source):
        yield _exactly(source, size)
        if _line(source) not in (b"\r\n", b"\n"):
            raise MalformedError("invalid chunks")
    while _line(source) not in (b"\r\n", b"\n"):
        pass  # trailers are dropped


def _chunk_size(source: BufferedIOBase) -> int:
    digits = _line(source).partition(b";")[0].strip()
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise MalformedError("invalid chunks")
    return int(digits, 16)


def _exactly(source: BufferedIOBase, count: int) -> bytes:
    try:
        found = source.read(count)
    except (ConnectionError, TimeoutError):
        raise ClientGoneError from None
    if len(found) < count:
        raise ClientGoneError
    return found


def _line(source: BufferedIOBase) -> bytes:
    try:
        line = source.readline(_LONGEST_LINE)
    except (ConnectionError, TimeoutError):
        raise ClientGoneError from None
    if not line:
        raise ClientGoneError
    return line
