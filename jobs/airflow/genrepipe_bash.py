"""An Airflow DAG: the nightly job by the command that is installed on the worker, see "Without docker" in docs/deploy.md.

Airflow variables name the command and the folder that holds tracks.csv: ``genrepipe_command`` and ``genrepipe_data``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

COMMAND = "{{ var.value.get('genrepipe_command', '/opt/genrepipe/bin/genrepipe') }}"
DATA = "{{ var.value.get('genrepipe_data', '/srv/genrepipe') }}"
NO_RETRY = [64, 65, 70, 78]
SKIP_LATE: list[int] = []  # [66]: a source that is not there skips the task
PREDICTIONS = Asset("genrepipe_predictions", "genrepipe://warehouse/predictions")


class GenrepipeBashOperator(BashOperator):
    """Fails at once, without another attempt, where the exit code says that none can help."""

    def execute(self, context):
        """Run the command, and name the run date as the partition that it published."""
        try:
            result = super().execute(context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            code = re.search(r"exit code (\d+)", str(error))
            if code and int(code[1]) in NO_RETRY:
                raise AirflowFailException(f"Exit code {code[1]}: see jobs/exit_codes.yaml") from error
            raise
        for asset in self.outlets:
            context["outlet_events"][asset].add_partitions(context["ds"])
        return result


with DAG(
    "genrepipe_bash",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 6, "retry_delay": timedelta(minutes=10)},
    tags=["genrepipe"],
) as dag:
    GenrepipeBashOperator(
        task_id="score",
        bash_command=f"exec {COMMAND} run score_nightly --set run_date={{{{ ds }}}} --set keep_days=90",
        cwd=DATA,
        outlets=[PREDICTIONS],
        skip_on_exit_code=SKIP_LATE,
    )
