"""An Airflow DAG: one pod a night, tried again only where another attempt can help (see exit_codes.yaml).

The pod is as closed as that of the CronJob in kubernetes/, uses its claim, and its network policy finds it. Other DAGs start on the
asset ``genrepipe_predictions``, whose partitions are the run dates. Needs Airflow 3.3 and apache-airflow-providers-cncf-kubernetes. Set
``SKIP_LATE`` where a source that never came is no failure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from kubernetes.client import models as k8s

IMAGE = "genrepipe:0.1.0"
NO_RETRY = [64, 65, 70, 78]
SKIP_LATE: list[int] = []  # [66]: a source that is not there skips the task
PREDICTIONS = Asset("genrepipe_predictions", "genrepipe://warehouse/predictions")
# With apache-airflow-providers-openlineage, the task is the parent of the run in lineage events; nothing without it.
PARENT = "{{ macros.OpenLineageProviderPlugin.lineage_parent_id(task_instance) if macros.OpenLineageProviderPlugin is defined }}"


class GenrepipePodOperator(KubernetesPodOperator):
    """Fails at once, without another attempt, where the exit code says that none can help."""

    def execute(self, context):
        """Run the pod, and name the run date as the partition that it published."""
        result = super().execute(context)
        for asset in self.outlets:
            context["outlet_events"][asset].add_partitions(context["ds"])
        return result

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
        outlets=[PREDICTIONS],
        labels={"app.kubernetes.io/name": "genrepipe", "app.kubernetes.io/component": "nightly"},
        automount_service_account_token=False,
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=10001,
            run_as_group=10001,
            fs_group=10001,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        container_security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "1", "memory": "1Gi", "ephemeral-storage": "256Mi"},
            limits={"cpu": "2", "memory": "2Gi", "ephemeral-storage": "2Gi"},
        ),
        volumes=[
            k8s.V1Volume(
                name="data",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="genrepipe-data"),
            ),
            k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit="1Gi")),
        ],
        volume_mounts=[
            k8s.V1VolumeMount(name="data", mount_path="/data"),
            k8s.V1VolumeMount(name="tmp", mount_path="/tmp"),  # noqa: S108  a volume of its own
        ],
        # A service of the same name would set GENREPIPE_ variables; the operator has no word for this.
        full_pod_spec=k8s.V1Pod(spec=k8s.V1PodSpec(containers=[], enable_service_links=False)),
        termination_message_policy="FallbackToLogsOnError",
        on_finish_action="delete_pod",
    )
