"""HTTP gateway on 127.0.0.1 that serves PostgREST under /rest/v1, like the gateway of a hosted
project.

It requires an `apikey`, uses it as the bearer token if a request has none (for an opaque key, the
token of its role), answers CORS preflights, and forwards requests and responses unchanged. It runs
as a process of its own, started with `command`, and imports only the standard library and modules
of this package that do the same.
"""

# else loaded later, when the account may be unable to read them
import encodings.idna
import encodings.latin_1  # noqa: F401
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from supabase_jobs.local.api.forwarding import Forwarded, NoAnswerError, forward
from supabase_jobs.local.api.framing import MalformedError, read_body
from supabase_jobs.local.ports import HOST

PREFIX = "/rest/v1"
# the public keys for signatures, of Auth
KEY_SET = "/auth/v1/.well-known/jwks.json"
# followed by the number, in the log: read by the process that starts the gateway
LISTENING = "listening on port "

# paths of a hosted project that the local API does not serve
_OTHER_SERVICES = {
    "auth": "Auth",
    "storage": "Storage",
    "realtime": "Realtime",
    "functions": "Edge Functions",
}

_EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date,"
    " Location, Preference-Applied, Server"
)
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def command(settings_file: Path) -> list[str | Path]:
    """The command that runs the gateway with a settings file, independent of environment and
    installed packages.
    """
    start = (
        "import sys; sys.path.append(sys.argv[1]); from supabase_jobs.local.api"
        " import gateway; gateway.main()"
    )
    return [sys.executable, "-I", "-S", "-c", start, Path(__file__).parents[3], settings_file]


@dataclass(frozen=True)
class GatewaySettings:
    """Settings of the gateway.

    `port` is the port to listen on (0: any free one); without `exact`, another port is used if it
    is taken. `upstream` is PostgREST's port, `keys` are the API keys that are tokens, `tokens` the
    token for each opaque key, `key_set` the public keys that Auth publishes, `account` the (uid,
    gid) to change to.
    """

    port: int
    exact: bool
    upstream: int
    keys: tuple[str, ...]
    tokens: Mapping[str, str]
    key_set: Mapping[str, Any]
    account: tuple[int, int] | None = None

    @classmethod
    def read(cls, path: Path) -> "GatewaySettings":
        """Read a JSON file with these keys."""
        values = json.loads(path.read_text(encoding="utf-8"))
        account = tuple(values["account"]) if values["account"] else None
        return cls(**{**values, "keys": tuple(values["keys"]), "account": account})


class Gateway(ThreadingHTTPServer):
    """The server, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, settings: GatewaySettings) -> None:
        self.settings = settings
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        """Bind without looking up the host name, which can take a while."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log the class and place of an error, nothing of the request. A client that disconnects is
        no error.
        """
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError | TimeoutError):
            return
        trace = error.__traceback__ if error else None
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        sys.stderr.write(f"error in the gateway: {type(error).__name__} at {where}\n")
        sys.stderr.flush()


class Handler(BaseHTTPRequestHandler):
    """A client's connection."""

    server: Gateway
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120.0
    wbufsize = -1
    headers = Message()  # of the current request

    def handle(self) -> None:
        """Serve requests until the client disconnects, which it may do at any time."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def serve(self) -> None:
        """Answer one request of any method. Its body is read first: many clients read the answer
        only after sending it.
        """
        try:
            body = read_body(self.headers, self.rfile)
            path, _, query = self.path.partition("?")
            if self._is_preflight():
                self._respond_directly(200, None)
            elif path == KEY_SET and self.command in ("GET", "HEAD"):
                self._write_response(200, self.server.settings.key_set)
            elif path != PREFIX and not path.startswith(f"{PREFIX}/"):
                self._respond_directly(*_not_served(path))
            elif problem := self._key_problem(key := self._key(query)):
                self._respond_directly(401, problem)
            else:
                target = _upstream_path(path.removeprefix(PREFIX) or "/", query)
                self._forward(target, key, body)
        except MalformedError as error:
            self._respond_directly(400, {"message": f"Malformed request: {error}"})

    # the library's names
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve  # noqa: N815

    def _is_preflight(self) -> bool:
        return self.command == "OPTIONS" and "access-control-request-method" in self.headers

    def _key(self, query: str) -> str:
        return self.headers.get("apikey") or dict(parse_qsl(query)).get("apikey") or ""

    def _key_problem(self, key: str) -> dict[str, str] | None:
        if not key:
            return {
                "message": "No API key found in request",
                "hint": "No `apikey` request header or url param was found.",
            }
        settings = self.server.settings
        if key not in settings.keys and key not in settings.tokens:
            return {
                "message": "Invalid API key",
                "hint": "Double check your Supabase `anon` or `service_role` API key.",
            }
        return None

    def _forward(self, target: str, key: str, body: bytes) -> None:
        settings = self.server.settings
        request = Forwarded(
            method=self.command,
            target=target,
            headers=self.headers,
            body=body,
            token=settings.tokens.get(key, key),
        )
        try:
            answer = forward(request, settings.upstream)
        except NoAnswerError:
            problem = {
                "message": "PostgREST does not answer",
                "hint": "supabase-jobs local start --api",
            }
            self._respond_directly(502, problem)
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers:
            self.send_header(name, value)
        self._send_end_of_headers()
        self.wfile.write(answer.content)

    def _respond_directly(self, status: int, document: dict[str, str] | None) -> None:
        """Respond without PostgREST, then close the connection."""
        self.close_connection = True
        self._write_response(status, document)

    def _write_response(self, status: int, document: Mapping[str, Any] | None) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        if document is not None:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self._send_end_of_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_end_of_headers(self) -> None:
        """Add the CORS headers and end the headers. Every origin and header is allowed: the keys
        restrict access.
        """
        self.send_header("Access-Control-Allow-Origin", "*")
        if self._is_preflight():
            self.send_header("Access-Control-Allow-Methods", _METHODS)
            self.send_header(
                "Access-Control-Allow-Headers",
                self.headers.get("access-control-request-headers", "*"),
            )
            self.send_header("Access-Control-Max-Age", "3600")
        else:
            self.send_header("Access-Control-Expose-Headers", _EXPOSED)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def handle_expect_100(self) -> bool:
        """Send 100 Continue at once: the client waits for it."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def send_error(
        self,
        code: int,
        message: str | None = None,
        explain: str | None = None,  # noqa: ARG002
    ) -> None:
        """Respond with JSON to a request that the library rejects."""
        self.close_connection = True
        self._write_response(code, {"message": message or self.responses.get(code, ("", ""))[0]})

    def version_string(self) -> str:
        """The value of the header Server in direct responses."""
        return "supabase-jobs"

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: their URLs may contain secrets."""


def _upstream_path(path: str, query: str) -> str:
    """The path and query for PostgREST: without `apikey`, percent-encoded to ASCII."""
    kept = "&".join(part for part in query.split("&") if part.partition("=")[0] != "apikey")
    target = f"{path}?{kept}" if kept else path
    return quote(target.encode("latin-1"), safe="".join(map(chr, range(33, 127))))


def _not_served(path: str) -> tuple[int, dict[str, str]]:
    """Status and document for a path outside of PREFIX."""
    name = path.split("/")[1]
    if name not in _OTHER_SERVICES:
        return 404, {"message": "no Route matched with those values"}
    return 501, {
        "message": f"{_OTHER_SERVICES[name]} is not part of the local API, which serves PostgREST"
        " only",
        "hint": "the REST API is under /rest/v1; the Supabase CLI's `supabase start` has the other"
        " services",
    }


def _bind(settings: GatewaySettings) -> Gateway:
    try:
        return Gateway(settings.port, settings)
    except OSError:
        if settings.exact or settings.port == 0:
            raise
        return Gateway(0, settings)


def main() -> None:
    """Listen, log the port, change to the configured account, serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = GatewaySettings.read(Path(sys.argv[2]))
    gateway = _bind(settings)
    if settings.account is not None:
        os.setgroups([])
        os.setgid(settings.account[1])
        os.setuid(settings.account[0])
    sys.stderr.write(f"{LISTENING}{gateway.server_port}\n")
    sys.stderr.flush()
    gateway.serve_forever()
