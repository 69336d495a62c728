"""An Airflow DAG: one pod a night, tried again only where another attempt can help (see exit_codes.yaml).

Needs apache-airflow-providers-cncf-kubernetes. Set ``SKIP_LATE`` where a source that never came is no failure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from kubernetes.client import models as k8s

IMAGE = "genrepipe:0.1.0"
NO_RETRY = [64, 65, 70, 78]
SKIP_LATE: list[int] = []  # [66]: a source that is not there skips the task
# With apache-airflow-providers-openlineage, the task is the parent of the run in lineage events; nothing without it.
PARENT = "{{ macros.OpenLineageProviderPlugin.lineage_parent_id(task_instance) if macros.OpenLineageProviderPlugin is defined }}"


class GenrepipePodOperator(KubernetesPodOperator):
    """Fails at once, without another attempt, where the exit code says that none can help."""

    def cleanup(self, pod, remote_pod, *args, **kwargs):
        """Say of a failed pod whether it is worth another attempt."""
        try:
            super().cleanup(pod, remote_pod, *args, **kwargs)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            for status in remote_pod.status.container_statuses or []:
                ended = status.state and status.state.terminated
                if status.name == self.base_container_name and ended and ended.exit_code in NO_RETRY:
                    raise AirflowFailException(
                        f"{error}\nExit code {ended.exit_code}: see jobs/exit_codes.yaml"
                    ) from error
            raise


with DAG(
    "genrepipe_nightly",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 6, "retry_delay": timedelta(minutes=10)},
    tags=["genrepipe"],
) as dag:
    GenrepipePodOperator(
        task_id="score",
        name="genrepipe",
        image=IMAGE,
        arguments=["run", "score_nightly", "--set", "run_date={{ ds }}", "--set", "keep_days=90"],
        env_vars={"OPENLINEAGE_PARENT_ID": PARENT},
        skip_on_exit_code=SKIP_LATE,
        volumes=[
            k8s.V1Volume(
                name="data",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="genrepipe-data"),
            ),
        ],
        volume_mounts=[k8s.V1VolumeMount(name="data", mount_path="/data")],
        security_context=k8s.V1PodSecurityContext(run_as_non_root=True, run_as_user=10001, fs_group=10001),
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "2", "memory": "2Gi"}
        ),
        on_finish_action="delete_pod",
    )
