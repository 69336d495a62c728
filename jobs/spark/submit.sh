#!/bin/sh
# Submit the nightly job to a standalone cluster, or to Kubernetes: submit.sh spark://host:7077, submit.sh k8s://https://host:6443.
# Every argument after the first goes to the job: submit.sh spark://host:7077 --set run_date=2026-11-22
# A task holds up to 1.1 GB beside the JVM, in Python: give each core that, as overhead on Kubernetes.
set -eu
master=$1
shift
here=$(dirname "$0")
case $master in
k8s://*)
    exec spark-submit --master "$master" --deploy-mode cluster --name genrepipe \
        --conf spark.kubernetes.container.image=genrepipe-spark:0.1.0 \
        --conf spark.kubernetes.authenticate.driver.serviceAccountName=genrepipe-spark \
        --conf spark.executor.instances=4 --conf spark.executor.cores=2 \
        --conf spark.executor.memory=1g --conf spark.executor.memoryOverhead=2500m \
        --conf spark.kubernetes.driver.volumes.persistentVolumeClaim.data.mount.path=/data \
        --conf spark.kubernetes.driver.volumes.persistentVolumeClaim.data.options.claimName=genrepipe-data \
        --conf spark.kubernetes.executor.volumes.persistentVolumeClaim.data.mount.path=/data \
        --conf spark.kubernetes.executor.volumes.persistentVolumeClaim.data.options.claimName=genrepipe-data \
        local:///opt/genrepipe/jobs/score.py run /opt/genrepipe/jobs/score_spark.yaml "$@"
    ;;
*)
    exec spark-submit --master "$master" --name genrepipe --conf spark.executor.memory=1g \
        "$here/score.py" run "$here/score_spark.yaml" "$@"
    ;;
esac
