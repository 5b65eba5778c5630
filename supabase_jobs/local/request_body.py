"""The body of a request that a client is sending: how long it says that it is, and its pieces."""

from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from io import BufferedIOBase

_PIECE = 65536


class MalformedError(Exception):
    """A request that cannot be passed on."""


class ClientGoneError(ConnectionError):
    """The client closed its end, or stopped sending."""


class Body:
    """A body that can be read once, after `check`."""

    chunked = False

    def __init__(self, headers: Message, source: BufferedIOBase) -> None:
        self._headers = headers
        self._source = source
        self._untouched = False
        self._length = 0

    def check(self) -> None:
        """Raise MalformedError for what two servers could understand differently.

        That is how a request is hidden in another: two lengths, a length and chunks, headers that are not headers.
        """
        lengths = {length.strip() for length in self._headers.get_all("content-length", [])}
        codings = [coding.strip().lower() for coding in self._headers.get_all("transfer-encoding", [])]
        if self._headers.defects:
            raise MalformedError("its headers")
        if len(lengths) > 1 or (lengths and codings) or not all(n.isascii() and n.isdigit() for n in lengths):
            raise MalformedError("its length")
        if codings not in ([], ["chunked"]):
            raise MalformedError("its transfer coding")
        self.chunked = bool(codings)
        self._length = int(lengths.pop()) if lengths else 0
        self._untouched = True

    def pieces(self) -> Iterator[bytes]:
        """The body without the frames of its chunks. Raises MalformedError, ClientGoneError."""
        self._untouched = False
        if not self.chunked:
            yield from self._exactly(self._length)
            return
        while size := self._chunk_size():
            yield from self._exactly(size)
            if self._line(3) not in (b"\r\n", b"\n"):
                raise MalformedError("its chunks")
        while self._line(_PIECE) not in (b"\r\n", b"\n"):
            pass  # trailers

    def drain(self, limit: int) -> None:
        """Read a body that nobody wants, some `limit` bytes of it, so that its sender comes to read the answer.

        What has been begun, or has no certain end, is left.
        """
        if not self._untouched:
            return
        pieces = self.pieces()
        with suppress(MalformedError, ClientGoneError):  # the answer may still reach its reader
            while limit > 0 and (piece := next(pieces, b"")):
                limit -= len(piece)

    def _chunk_size(self) -> int:
        digits = self._line(1024).partition(b";")[0].strip()
        if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
            raise MalformedError("its chunks")
        return int(digits, 16)

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self._read(min(count, _PIECE))
            count -= len(piece)
            yield piece

    def _read(self, most: int) -> bytes:
        try:
            piece = self._source.read1(most)
        except (ConnectionError, TimeoutError):
            raise ClientGoneError from None
        if not piece:
            raise ClientGoneError
        return piece

    def _line(self, most: int) -> bytes:
        try:
            line = self._source.readline(most)
        except (ConnectionError, TimeoutError):
            raise ClientGoneError from None
        if not line:
            raise ClientGoneError
        return line
