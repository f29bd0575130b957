"""A hub of one repository on this machine, which answers as the real one does, or as it fails."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

REVISION = "0123456789abcdef0123456789abcdef01234567"
ID = "owner/model"


@dataclass
class Hub:
    """A repository, and how the hub answers.

    Attributes:
        folder: the repository's files.
        address: of the hub.
        status: what it answers instead of anything else.
        code: the hub's own name of that failure.
        breaks_after: bytes of a file after which a connection is closed.
        ends: whether it answers nothing more once it has closed a connection so.
        asked: the paths that were asked for, and how often.
        sent: bytes of files that were sent.
    """

    folder: Path
    address: str = ""
    status: int = 0
    code: str = ""
    breaks_after: int = 0
    ends: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    sent: int = 0


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """Serve a folder as ``ID`` at ``REVISION``."""
    hub = Hub(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.asked[path] += 1
            if hub.status:
                self._send(hub.status, b"{}", {"X-Error-Code": hub.code} if hub.code else {}, True)
            elif path.startswith("/api/"):
                self._send(200, json.dumps(self._about(path)).encode(), {}, with_body)
            elif (file := hub.folder / path.rpartition("/")[2]).is_file():
                self._send_file(file, with_body)
            else:
                self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, with_body)

        def _about(self, path: str) -> object:
            files = sorted(file for file in hub.folder.iterdir() if file.is_file())
            if "/tree/" in path:
                return [
                    {
                        "type": "file",
                        "path": file.name,
                        "size": file.stat().st_size,
                        "oid": sha256(file.read_bytes()).hexdigest()[:40],
                    }
                    for file in files
                ]
            siblings = [{"rfilename": file.name} for file in files]
            return {"id": ID, "sha": REVISION, "siblings": siblings, "private": False}

        def _send_file(self, file: Path, with_body: bool) -> None:
            content = file.read_bytes()
            whole = len(content)
            headers = {"ETag": f'"{sha256(content).hexdigest()}"', "X-Repo-Commit": REVISION}
            headers |= {"Accept-Ranges": "bytes", "X-Linked-Size": str(whole)}
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if found and with_body:
                begin, end = int(found[1]), int(found[2] or whole - 1)
                content = content[begin : end + 1]
                headers["Content-Range"] = f"bytes {begin}-{begin + len(content) - 1}/{whole}"
            self._send(206 if found and with_body else 200, content, headers, with_body, True)

        def _send(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str],
            with_body: bool,
            is_file: bool = False,
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not with_body or self.command == "HEAD":
                return
            if is_file and hub.breaks_after and len(body) > hub.breaks_after:
                body = body[: hub.breaks_after]
                self.close_connection = True
                hub.status = 503 if hub.ends else 0
            self.wfile.write(body)
            if is_file:
                hub.sent += len(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
