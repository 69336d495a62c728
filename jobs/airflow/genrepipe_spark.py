"""An Airflow DAG: the nightly job on a Spark cluster, by spark-submit; the connection ``spark_default`` names the master.

Needs apache-airflow-providers-apache-spark, and genrepipe[spark] where the driver and the executors run.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG

# With apache-airflow-providers-openlineage, the task is the parent of the run in lineage events; nothing without it.
PARENT = "{{ macros.OpenLineageProviderPlugin.lineage_parent_id(task_instance) if macros.OpenLineageProviderPlugin is defined }}"

with DAG(
    "genrepipe_spark",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["genrepipe"],
) as dag:
    SparkSubmitOperator(
        task_id="score",
        name="genrepipe",
        application="/opt/genrepipe/jobs/score.py",
        application_args=["run", "/opt/genrepipe/jobs/score_spark.yaml", "--set", "run_date={{ ds }}"],
        env_vars={"OPENLINEAGE_PARENT_ID": PARENT},
        executor_memory="1g",
        conf={"spark.executor.memoryOverhead": "2500m"},
    )
