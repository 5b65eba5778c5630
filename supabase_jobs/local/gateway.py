"""A gateway on 127.0.0.1 that serves PostgREST under /rest/v1, as a hosted project's gateway does.

It asks for an `apikey`, takes it as the bearer token of a request that has none, answers CORS preflights, and passes
everything else on as it came, both ways, piece by piece. It is a process of its own that needs nothing but Python's
library; `command` is what starts it.
"""

import encodings.idna
import encodings.latin_1  # noqa: F401 (Python loads both late, when the account may no longer reach them)
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from supabase_jobs.local import routes
from supabase_jobs.local.request_body import Body, ClientGoneError, MalformedError

HOST = "127.0.0.1"
LISTENING = "listening on port "  # and the number: the line by which the starter learns it

_PIECE = 65536
_DRAINED = 1 << 20  # bytes of a refused request that are still read, so that its sender sees the answer

# what concerns one connection only, and is not passed on
_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade", "expect"),
}
_EXPOSED = "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Preference-Applied, Server"
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def command(settings_file: Path) -> list[str | Path]:
    """The command that serves with the settings in a file; no environment and no installed package matters to it."""
    start = "import sys; sys.path.append(sys.argv[1]); from supabase_jobs.local import gateway; gateway.main()"
    return [sys.executable, "-I", "-S", "-c", start, Path(__file__).parents[2], settings_file]


@dataclass(frozen=True)
class Settings:
    """The port to listen on (0: any), whether no other will do, PostgREST's port, the accepted keys, the account."""

    port: int
    exact: bool
    upstream: int
    keys: tuple[str, ...]
    account: tuple[int, int] | None = None

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """The settings in a JSON file with these names."""
        found = json.loads(path.read_text(encoding="utf-8"))
        account = tuple(found["account"]) if found["account"] else None
        return cls(found["port"], found["exact"], found["upstream"], tuple(found["keys"]), account)


class Gateway(ThreadingHTTPServer):
    """The server, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, settings: Settings) -> None:
        self.settings = settings
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        """Bind without asking what this computer is called, which can take a while."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Name the fault in the log, and nothing of the request; that a client goes away is none."""
        fault = sys.exc_info()[1]
        if isinstance(fault, ConnectionError | TimeoutError):
            return
        trace = fault.__traceback__ if fault else None
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        sys.stderr.write(f"fault in the gateway: {type(fault).__name__} at {where}\n")
        sys.stderr.flush()


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: Gateway
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120.0
    wbufsize = -1
    headers = Message()  # of the request, once it has been read
    body: Body

    def handle(self) -> None:
        """Serve requests until the client goes; that it goes at any time is normal."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def serve(self) -> None:
        """Answer one request, whatever its method."""
        self.body = Body(self.headers, self.rfile)
        try:
            self.body.check()
            path, _, query = self.path.partition("?")
            if self._is_preflight():
                self._instead(200, None)
            elif path != routes.PREFIX and not path.startswith(f"{routes.PREFIX}/"):
                self._instead(*routes.not_here(path))
            elif problem := self._key_problem(query):
                self._instead(401, problem)
            else:
                self._pass_on(routes.target(path.removeprefix(routes.PREFIX) or "/", query))
        except MalformedError as error:
            self._instead(400, {"message": f"Malformed request: {error}"})

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve  # noqa: N815 (the library's names)

    def _is_preflight(self) -> bool:
        return self.command == "OPTIONS" and "access-control-request-method" in self.headers

    def _key(self, query: str) -> str | None:
        return self.headers.get("apikey") or dict(parse_qsl(query)).get("apikey")

    def _key_problem(self, query: str) -> dict[str, str] | None:
        key = self._key(query)
        if not key:
            return {
                "message": "No API key found in request",
                "hint": "No `apikey` request header or url param was found.",
            }
        if key not in self.server.settings.keys:
            return {
                "message": "Invalid API key",
                "hint": "Double check your Supabase `anon` or `service_role` API key.",
            }
        return None

    def _pass_on(self, target: str) -> None:
        upstream = HTTPConnection(HOST, self.server.settings.upstream, timeout=60)
        try:
            try:
                self._send(upstream, target)
                response = upstream.getresponse()
            except (MalformedError, ClientGoneError):
                raise
            except (TimeoutError, HTTPException, ConnectionError):
                self._instead(502, {"message": "PostgREST does not answer", "hint": "supabase-jobs local start --api"})
                return
            self._return(response)
        finally:
            upstream.close()

    def _send(self, upstream: HTTPConnection, target: str) -> None:
        try:
            upstream.putrequest(self.command, target, skip_host=True, skip_accept_encoding=True)
            dropped = _HOP | routes.listed(self.headers.get_all("connection", []))
            for name, value in self.headers.items():
                if name.lower() not in dropped:
                    upstream.putheader(name, value.strip(" \t"))
            if "authorization" not in self.headers:
                upstream.putheader("Authorization", f"Bearer {self._key(self.path.partition('?')[2])}")
            chunked = self.body.chunked
            if chunked:
                upstream.putheader("Transfer-Encoding", "chunked")
        except (ValueError, HTTPException) as error:
            raise MalformedError(f"its headers ({error})") from None
        upstream.endheaders()
        frames = chain((b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self.body.pieces()), [b"0\r\n\r\n"])
        for piece in frames if chunked else self.body.pieces():
            try:
                upstream.send(piece)
            except (BrokenPipeError, ConnectionResetError):  # it has answered; what still comes is not read
                self.close_connection = True
                break

    def _return(self, response: HTTPResponse) -> None:
        """Pass an answer back: its length if it has one, else in chunks."""
        self.send_response_only(response.status, response.reason)
        dropped = _HOP | routes.listed(response.headers.get_all("connection", []))
        for name, value in response.getheaders():
            if name.lower() not in dropped and not name.lower().startswith("access-control-"):
                self.send_header(name, value)
        bodiless = self.command == "HEAD" or response.status in (204, 304)
        chunked = not bodiless and response.length is None and self.request_version == "HTTP/1.1"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not bodiless and response.length is None:
            self.close_connection = True  # its end is the connection's end
        self._end()
        if bodiless:
            return
        try:
            while piece := response.read1(_PIECE):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                self.wfile.flush()
        except HTTPException:  # cut off: so is ours, or the client would take it for whole
            self.close_connection = True
            return
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif response.length:  # cut off as well
            self.close_connection = True

    def _instead(self, status: int, document: dict[str, str] | None) -> None:
        """Answer instead of PostgREST, after some of the body, and let the connection go."""
        self.body.drain(_DRAINED)
        self.close_connection = True
        self._answer(status, document)

    def _answer(self, status: int, document: dict[str, str] | None) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        if document is not None:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self._end()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _end(self) -> None:
        """End the headers, with CORS's: any page may ask, and send any header; what it gets depends on its keys."""
        self.send_header("Access-Control-Allow-Origin", "*")
        if self._is_preflight():
            self.send_header("Access-Control-Allow-Methods", _METHODS)
            self.send_header("Access-Control-Allow-Headers", self.headers.get("access-control-request-headers", "*"))
            self.send_header("Access-Control-Max-Age", "3600")
        else:
            self.send_header("Access-Control-Expose-Headers", _EXPOSED)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def handle_expect_100(self) -> bool:
        """Ask for the body now: its sender waits."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What the library refuses before there is a request: JSON too."""
        self.close_connection = True
        self._answer(code, {"message": message or self.responses.get(code, ("", ""))[0]})

    def version_string(self) -> str:
        """What answers of our own say that they are from."""
        return "supabase-jobs"

    def log_message(self, format: str, *args: Any) -> None:
        """Log no request: its URL may hold what nobody else should read."""


def _bind(settings: Settings) -> Gateway:
    try:
        return Gateway(settings.port, settings)
    except OSError:
        if settings.exact or settings.port == 0:
            raise
        return Gateway(0, settings)


def main() -> None:
    """Listen, say on which port, become the account that is named, serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = Settings.read(Path(sys.argv[2]))
    gateway = _bind(settings)
    if settings.account is not None:
        os.setgroups([])
        os.setgid(settings.account[1])
        os.setuid(settings.account[0])
    sys.stderr.write(f"{LISTENING}{gateway.server_port}\n")
    sys.stderr.flush()
    gateway.serve_forever()
