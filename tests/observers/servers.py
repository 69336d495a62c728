"""Servers that observers send to: one of the test's own, and those of Prometheus."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def listening(answer: Callable[[BaseHTTPRequestHandler, bytes], object]) -> Iterator[str]:
    """A server of its own thread that hands each request to ``answer``, which may answer itself, and its address."""

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if answer(self, body):
                return
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tool(name: str) -> str:
    """Return where a tool of Prometheus is, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine: apt-get install prometheus prometheus-pushgateway")
    return found


@contextmanager
def served(folder: Path, name: str, *arguments: str) -> Iterator[str]:
    """A server of Prometheus on a port of its own, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [tool(name), f"--web.listen-address=127.0.0.1:{port}", *arguments]
    with (
        (folder / f"{name}.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            _await(f"http://127.0.0.1:{port}/-/ready", folder / f"{name}.log")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _await(address: str, log: Path) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code == 401:  # it is there, and wants a password
                return
        except OSError:
            pass
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)


# bcrypt of "hush"
PASSWORDS = 'basic_auth_users: {user: "$2b$04$g7VFzPK/4Q0qITGOrlI0DOXreqSBIx67D0lifvnBVzIAj5kQ.DW0O"}\n'


@contextmanager
def pushgateway(folder: Path) -> Iterator[str]:
    """A Pushgateway that wants user ``user`` and password ``hush``, and its address with both."""
    (folder / "web.yaml").write_text(PASSWORDS)
    with served(folder, "prometheus-pushgateway", "--web.config.file=web.yaml") as address:
        yield f"http://user:hush@{address}"
