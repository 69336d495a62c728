"""What the DAG makes of a failed pod, and its pod, by the real operator before a Kubernetes API that knows no pod; run in Airflow's environment.

Usage: airflow_cleanup.py DAG_FILE KUBECONFIG_TO_WRITE EXIT_CODE ...
"""

import importlib.util
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Cluster(BaseHTTPRequestHandler):
    """A Kubernetes API that knows no pod."""

    def answer(self):
        body = json.dumps({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}).encode()
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_DELETE = do_PATCH = answer  # noqa: N815  the library's names

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
threading.Thread(target=server.serve_forever, daemon=True).start()
config = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
          "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
          "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}]}  # fmt: skip
with open(sys.argv[2], "w") as file:  # noqa: PTH123
    json.dump(config, file)
os.environ["KUBECONFIG"] = sys.argv[2]

from airflow.sdk.exceptions import AirflowException  # noqa: E402  with what follows it reads KUBECONFIG when imported
from kubernetes.client import ApiClient  # noqa: E402
from kubernetes.client import models as k8s  # noqa: E402

spec = importlib.util.spec_from_file_location("nightly", sys.argv[1])
nightly = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nightly)
operator = nightly.dag.get_task("score")


def cleaned_up(code: int) -> str:
    ended = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code, message="the last word"))
    status = k8s.V1ContainerStatus(
        name=operator.base_container_name, state=ended, image="i", image_id="i", ready=False, restart_count=0
    )
    pod = k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p", namespace="n", labels={}, annotations={}),
        spec=k8s.V1PodSpec(containers=[k8s.V1Container(name=operator.base_container_name)]),
        status=k8s.V1PodStatus(phase="Failed", container_statuses=[status]),
    )
    try:
        operator.cleanup(pod, pod)
    except AirflowException as error:
        return type(error).__name__
    return "nothing"


told = {code: cleaned_up(int(code)) for code in sys.argv[3:]}
operator.skip_on_exit_code = [66]
told["66, opted in to skip"] = cleaned_up(66)
print(json.dumps({"ended": told, "pod": ApiClient().sanitize_for_serialization(operator.build_pod_request_obj())}))
