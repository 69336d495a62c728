"""An Airflow DAG: the nightly job as a container on the worker's Docker host, without a network.

Needs apache-airflow-providers-docker. ``/srv/genrepipe`` on that host belongs to 10001:10001 and holds tracks.csv. The operator can
neither drop capabilities nor close the root file system, as compose.yaml and the pod of genrepipe_nightly.py do.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowFailException
from docker.types import Mount

IMAGE = "genrepipe:0.1.0"
DATA = "/srv/genrepipe"
NO_RETRY = [64, 65, 70, 78]
SKIP_LATE: list[int] = []  # [66]: a source that is not there skips the task
PREDICTIONS = Asset("genrepipe_predictions", "genrepipe://warehouse/predictions")


class GenrepipeDockerOperator(DockerOperator):
    """Fails at once, without another attempt, where the exit code says that none can help."""

    def execute(self, context):
        """Run the container, and name the run date as the partition that it published."""
        try:
            result = super().execute(context)
        except DockerContainerFailedException as error:
            code = re.search(r"'StatusCode': (\d+)", str(error))
            if code and int(code[1]) in NO_RETRY:
                raise AirflowFailException(f"Exit code {code[1]}: see jobs/exit_codes.yaml") from error
            raise
        for asset in self.outlets:
            context["outlet_events"][asset].add_partitions(context["ds"])
        return result


with DAG(
    "genrepipe_docker",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 6, "retry_delay": timedelta(minutes=10)},
    tags=["genrepipe"],
) as dag:
    GenrepipeDockerOperator(
        task_id="score",
        image=IMAGE,
        command=["run", "score_nightly", "--set", "run_date={{ ds }}", "--set", "keep_days=90"],
        skip_on_exit_code=SKIP_LATE,
        outlets=[PREDICTIONS],
        mounts=[Mount(source=DATA, target="/data", type="bind")],
        mount_tmp_dir=False,
        network_mode="none",
        user="10001:10001",
        mem_limit="2g",
        cpus=2,
        auto_remove="force",
    )
