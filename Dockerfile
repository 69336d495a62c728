# The nightly job as an image: docker build -t genrepipe .
# Stages: build (wheel, environments), train (--target train), spark (--target spark), score (the default). The scoring image holds Python, one
# environment and the wheel: no compiler, no cache, no torch.
ARG PYTHON=3.11
# By digest, so that the same build has the same base: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=python:${PYTHON}-slim-bookworm

FROM ${BASE} AS build
# Extras of the scoring image: --build-arg EXTRA=text for word vectors, cloud for stores of objects,
# lake for Delta and Iceberg tables, lineage for OpenLineage events, otlp for metrics by OTLP, signing for signatures of bundles.
ARG EXTRA=scoring
WORKDIR /src
COPY constraints/hashed constraints/hashed
# Every file that is installed has the sha256 that stands in constraints/hashed.
RUN python -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes -r constraints/hashed/build.txt \
    && python -m venv --without-pip /opt/genrepipe \
    && /build/bin/pip --python /opt/genrepipe/bin/python install --no-cache-dir --require-hashes \
       -r constraints/hashed/scoring.txt -r "constraints/hashed/${EXTRA}.txt"
COPY pyproject.toml README.md LICENSE ./
COPY contracts contracts
COPY jobs jobs
COPY sql sql
COPY genrepipe genrepipe
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /build/bin/pip --python /opt/genrepipe/bin/python install --no-cache-dir --no-deps --no-index /wheel/*.whl

FROM build AS build-train
# Where torch's CPU build is, if the default index has it not.
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
RUN /build/bin/pip --python /opt/genrepipe/bin/python install --no-cache-dir --require-hashes -r constraints/hashed/train.txt

FROM build AS build-spark
RUN /build/bin/pip --python /opt/genrepipe/bin/python install --no-cache-dir --require-hashes -r constraints/hashed/spark.txt

FROM ${BASE} AS base
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=genrepipe
LABEL org.opencontainers.image.title="genrepipe" \
      org.opencontainers.image.description="Predicts the music genre of every track in a track table, nightly" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/genrepipe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1
# The nightly job reads tracks.csv and writes warehouse.duckdb where it runs.
WORKDIR /data
VOLUME /data
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
ENTRYPOINT ["genrepipe"]

FROM base AS train
COPY --from=build-train /opt/genrepipe /opt/genrepipe
CMD ["run", "train_weekly"]

# Driver and workers of a Spark cluster: Java, pyspark and the same environment. Not a command but Spark starts it there, see
# jobs/spark/entrypoint.sh; docker run … genrepipe-spark genrepipe --help works too.
FROM eclipse-temurin:17-jre AS java

FROM base AS spark
COPY --from=java /opt/java/openjdk /opt/java/openjdk
COPY --from=build-spark /opt/genrepipe /opt/genrepipe
COPY jobs/spark /opt/genrepipe/jobs
ARG PYTHON
ENV JAVA_HOME=/opt/java/openjdk \
    SPARK_HOME=/opt/genrepipe/lib/python${PYTHON}/site-packages/pyspark \
    PYSPARK_PYTHON=/opt/genrepipe/bin/python \
    PATH=/opt/genrepipe/bin:/opt/java/openjdk/bin:$PATH
ENTRYPOINT ["/opt/genrepipe/jobs/entrypoint.sh"]

FROM base AS score
COPY --from=build /opt/genrepipe /opt/genrepipe
CMD ["run", "score_nightly"]
