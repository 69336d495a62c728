# `make score` and `make test` are all that a newcomer needs.
PYTHON ?= python3
SCORE := .venv
DEV := .venv-dev
RELEASE := .venv-release
DIST := dist
VERSION := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' genrepipe/core/version.py)
ENGINE := docker
EXTRA := scoring
SBOM := sbom
PIP := -m pip install --quiet --disable-pip-version-check --constraint constraints/all.txt

.PHONY: docs score test proofs faults torture crash-images fuzz soak image-test bench bench-mlflow bench-spark facts bundles constraints release image sbom clean

score: $(SCORE)/ready  ## make up a sample catalogue, score it, print what happened
	@$(SCORE)/bin/genrepipe sample --rows 5000 --seed 0 --out sample.csv
	@$(SCORE)/bin/genrepipe score sample.csv --warehouse sample.duckdb
	@printf "\nThe genrepipe command is in $(SCORE)/bin: first, . $(SCORE)/bin/activate\n"

test: $(DEV)/ready  ## lint, types, architecture, tests
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports
	$(DEV)/bin/pytest -n 2

proofs: $(DEV)/ready  ## minutes: retrain on the real table, lint contracts, install every Python
	$(DEV)/bin/pytest -m slow -o faulthandler_timeout=0 --ignore tests/pipeline/test_faults.py --ignore tests/ingest/test_fuzz.py --ignore tests/ingest/test_whole_files.py --ignore tests/cli/test_handed.py

faults: $(DEV)/ready  ## each stage of a run x each fault, as a table (needs root for a tmpfs)
	$(DEV)/bin/pytest -m slow -s tests/pipeline/test_faults.py

torture: $(DEV)/ready  ## a fault at every file operation of every command that writes; POINTS=100 draws as many
	$(DEV)/bin/python -m tests.torture.torture $(POINTS)

crash-images: $(DEV)/ready  ## every disk that a power cut may leave, opened; every pair of commands at once, in many orders
	$(DEV)/bin/python -m tests.torture.crash
	$(DEV)/bin/python -m tests.torture.interleavings

fuzz: $(DEV)/ready  ## 100,000 inputs for the source reader, 20,000 whole deliveries, and 100,000 of all else that is handed to a command
	$(DEV)/bin/pytest -m slow -n 2 -rP -o faulthandler_timeout=0 tests/ingest/test_fuzz.py tests/ingest/test_whole_files.py
	$(DEV)/bin/pytest -m slow -s -o faulthandler_timeout=0 tests/cli/test_handed.py

image-test: $(DEV)/ready  ## build the Dockerfile, run the image, its signals, a cron daemon (needs root)
	$(DEV)/bin/pytest -m "image and not slow" tests/jobs/test_image.py

soak: $(DEV)/ready  ## 200 runs in a row with readers polling; leaves soak.csv and soak.png
	$(DEV)/bin/python -m tests.soak

bench: $(DEV)/ready  ## an hour: speed beside what cannot be avoided and what others write, nights, growth; ONLY="floor peers" for some
	$(DEV)/bin/python $(PIP) --editable ".[bench]"
	$(DEV)/bin/python -m tests.bench $(ONLY)

bench-mlflow: $(DEV)/ready  ## the champion's graph in MLflow's pyfunc, in an environment of its own, beside a whole run
	$(PYTHON) -m venv .venv-mlflow && .venv-mlflow/bin/python -m pip install --quiet mlflow onnx onnxruntime
	$(DEV)/bin/python -m tests.bench mlflow

bench-spark: $(DEV)/ready  ## half an hour: Spark on this machine, which does nothing else, beside a local run
	$(DEV)/bin/python -m tests.bench spark

facts: $(DEV)/ready  ## measure the sample generator's facts again: make facts TRACKS=tracks.csv
	$(DEV)/bin/python -m genrepipe.training.facts $(TRACKS)

docs: $(DEV)/ready  ## write the tables, commands, answers and the flow in docs/ anew
	$(DEV)/bin/python -m tests.docs

bundles: $(DEV)/ready  ## train the shipped bundles again: make bundles TRACKS=tracks.csv
	$(DEV)/bin/genrepipe train $(TRACKS) --out genrepipe/pretrained

constraints:  ## choose versions anew, without the addresses of a lock file
	rm -rf .venv-pin && $(PYTHON) -m venv .venv-pin
	.venv-pin/bin/python -m pip install --quiet --editable ".[train,text,cloud,lake,lineage,otlp,signing,spark,bench,dev]"
	.venv-pin/bin/python -m pip freeze --exclude-editable \
	| sed 's/^\(torch==[0-9.]*\)+.*/\1/' > constraints/all.txt
	.venv-pin/bin/python constraints/hashed.py
	rm -rf .venv-pin

release: $(RELEASE)/ready  ## sdist and wheel in dist/, checked, each installed afresh, where the README's first minute runs
	rm -rf $(DIST)
	$(RELEASE)/bin/python -m build --outdir $(DIST) .
	$(RELEASE)/bin/twine check --strict $(DIST)/*
	$(RELEASE)/bin/check-wheel-contents $(DIST)/*.whl
	$(RELEASE)/bin/python -m tests.release $(DIST) $(PYTHON)

image: sbom  ## the scoring image, labelled with version and revision: ENGINE=podman, EXTRA=cloud, BASE=python:…@sha256:…, SOURCE=URL
	$(ENGINE) build --build-arg EXTRA=$(EXTRA) $(if $(BASE),--build-arg BASE=$(BASE)) $(if $(SOURCE),--build-arg SOURCE=$(SOURCE)) \
	    --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
	    --build-arg CREATED=$$(TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd) \
	    --tag genrepipe:$(VERSION)$(if $(filter-out scoring,$(EXTRA)),-$(EXTRA)) .

sbom: $(RELEASE)/ready  ## what the scoring image installs, with licences and dependencies, as CycloneDX in sbom/: EXTRA=cloud, the image of that extra
	rm -rf $(SBOM) && $(PYTHON) -m venv --without-pip $(SBOM)/venv
	$(RELEASE)/bin/pip --python $(SBOM)/venv/bin/python install --quiet --require-hashes \
	    $(patsubst %,--requirement constraints/hashed/%.txt,$(sort scoring $(EXTRA)))
	$(RELEASE)/bin/pip --python $(SBOM)/venv/bin/python install --quiet --no-deps .
	$(RELEASE)/bin/cyclonedx-py environment $(SBOM)/venv/bin/python --pyproject pyproject.toml --output-reproducible \
	    --output-file $(SBOM)/genrepipe-$(VERSION)-$(EXTRA).cdx.json
	rm -rf $(SBOM)/venv

clean:  ## remove environments, sample and warehouse
	rm -rf $(SCORE) $(DEV) $(RELEASE) $(DIST) $(SBOM) sample.csv sample.duckdb*

$(SCORE)/ready: pyproject.toml constraints/all.txt
	@$(PYTHON) -m venv $(SCORE)
	@$(SCORE)/bin/python $(PIP) --editable .
	@touch $@

$(DEV)/ready: pyproject.toml constraints/all.txt
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python $(PIP) --editable ".[train,text,cloud,lake,lineage,otlp,signing,spark,dev]"
	@touch $@

$(RELEASE)/ready: constraints/release.txt
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check --requirement constraints/release.txt
	@touch $@
