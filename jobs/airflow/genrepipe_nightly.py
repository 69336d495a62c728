"""An Airflow DAG: one pod a night, tried again only where another attempt can help (see exit_codes.yaml).

Needs apache-airflow-providers-cncf-kubernetes. Set ``SKIP_LATE`` where a source that never came is no failure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from kubernetes.client import models as k8s

NO_RETRY = [64, 65, 70, 78]
SKIP_LATE: list[int] = []  # [66]: a source that is not there skips the task


class GenrepipePodOperator(KubernetesPodOperator):
    """Fails at once where the exit code says that another attempt cannot help."""

    def process_pod_deletion(self, pod, *, reraise=True):
        """Look at the exit code before the pod goes."""
        statuses = (pod.status.container_statuses or []) if pod and pod.status else []
        codes = [
            s.state.terminated.exit_code for s in statuses if s.name == self.base_container_name and s.state.terminated
        ]
        super().process_pod_deletion(pod, reraise=reraise)
        if any(code in NO_RETRY for code in codes):
            raise AirflowFailException(f"genrepipe ended with {codes}: another attempt cannot help")


with DAG(
    "genrepipe_nightly",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 6, "retry_delay": timedelta(minutes=10)},
    tags=["genrepipe"],
):
    GenrepipePodOperator(
        task_id="score",
        name="genrepipe",
        image="genrepipe:0.1.0",
        arguments=["run", "score_nightly", "--set", "run_date={{ ds }}"],
        skip_on_exit_code=SKIP_LATE,
        volumes=[
            k8s.V1Volume(
                name="data",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="genrepipe-data"),
            ),
        ],
        volume_mounts=[k8s.V1VolumeMount(name="data", mount_path="/data")],
        on_finish_action="delete_pod",
    )
