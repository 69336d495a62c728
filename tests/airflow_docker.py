"""What the DAG makes of a container's exit code, by the real operator before a Docker API that runs nothing; run in Airflow's environment.

Usage: airflow_docker.py DAG_FILE EXIT_CODE ...
"""

import importlib.util
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ended, created = 0, {}


class Engine(BaseHTTPRequestHandler):
    """A Docker API whose containers end at once, with ``ended``."""

    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        given = self.rfile.read(size)
        path = self.path.partition("?")[0]
        if path.endswith("/containers/create"):
            created.update(json.loads(given))
        told = {
            "version": {"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Version": "25"},
            "create": {"Id": "c", "Warnings": []},
            "wait": {"StatusCode": ended},
        }.get(path.rpartition("/")[2], {"Id": "c", "Config": {"Tty": False}})
        texts = {"attach": b"", "logs": b"", "_ping": b"OK"}
        answer = [{}] if path.endswith("/images/json") else told
        body = texts.get(path.rpartition("/")[2], json.dumps(answer).encode())
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  the library's names

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["DOCKER_HOST"] = f"tcp://127.0.0.1:{server.server_port}"

from airflow.sdk.exceptions import AirflowException  # noqa: E402  with what follows it reads DOCKER_HOST when imported

spec = importlib.util.spec_from_file_location("nightly", sys.argv[1])
nightly = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nightly)


class Events(dict):
    """The events of outlets, as an operator meets them: each takes partitions."""

    def __missing__(self, asset):
        self[asset] = self
        return self

    def add_partitions(self, key):
        partitions.append(key)


told = {}
for code in map(int, sys.argv[2:]):
    ended, partitions = code, []
    operator = nightly.dag.get_task("score").prepare_for_execution()
    try:
        operator.execute({"ds": "2026-11-22", "outlet_events": Events()})
    except AirflowException as error:
        told[code] = type(error).__name__
    else:
        told[code] = partitions
print(json.dumps({"ended": told, "created": created}))
