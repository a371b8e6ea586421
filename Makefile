# Every target sets up what it needs; on a fresh machine Python 3.11+, make and git are enough.
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
# In a folder that was moved or copied, the scripts of .venv name the old one: it is made anew there.
HERE := $(shell pwd -P | cksum | cut -d ' ' -f 1)
READY := .venv/.ready-$(HERE)
AUDIT := .venv-audit/bin
AUDIT_READY := .venv-audit/.ready-$(HERE)
CLIENTS_READY := .venv-clients/.ready-$(HERE)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help setup demo repro test tutorial check format docs docs-links gpu-check ui bench ablation zoo lock image pretrained serve-check \
  chaos audit sbom clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

setup: $(READY)  ## create .venv from the hash-pinned lock

# DVC's antlr4-python3-runtime is published as source only: it is built, by a locked setuptools.
SOURCE_ONLY := --no-binary antlr4-python3-runtime --build-constraints requirements/build.txt

IS_NEW := import sys; sys.exit(sys.version_info < (3, 11))
NEW_ENVIRONMENT = rm -rf $(1) && $(PYTHON) -m venv $(1) || { rm -rf $(1); echo "error: $(1): $(PYTHON) makes no environments;\
 install its venv (Debian, Ubuntu: apt install python3-venv), or name another with make PYTHON=/path/to/python" >&2; exit 69; }

# What an interrupted or failed `make` left of .venv is made again: it counts only with a uv, or a pip, that runs.
$(READY): requirements/dev.txt requirements/build.txt pyproject.toml
	@test -e $@ || rm -rf .venv
	@$(PYTHON) -c '$(IS_NEW)' \
	  || { echo "error: Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python" >&2; exit 64; }
	@{ $(BIN)/python -c '$(IS_NEW)' && { $(BIN)/uv --version || $(BIN)/python -m pip --version; }; } > /dev/null 2>&1 \
	  || { $(call NEW_ENVIRONMENT,.venv); }
	@$(BIN)/uv --version > /dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --force-reinstall --require-hashes --only-binary :all: --no-deps --requirement requirements/uv.txt
	@echo "installing the packages of requirements/dev.txt into .venv: about 6 GB, once"
	uv pip sync --quiet --require-hashes --only-binary :all: $(SOURCE_ONLY) requirements/dev.txt
	uv pip install --quiet --no-deps --no-build-isolation --editable .
	@test -e .git || dvc config --local core.no_scm true
	@touch $@

# What the pipeline leaves, and the last lines of `demo` and `repro`, also where nothing had to run.
RESULTS := reports/report.html reports/evaluation/samples.png models/generator.onnx

demo: $(READY)  ## the whole pipeline on digits that ship with scikit-learn, offline, in minutes, in demo/run/
	@test -d demo/run || dcgan new demo/run --params demo/params.yaml
	@cp dvc.yaml demo/run/
	@python -c 'from pathlib import Path; from dcgan.commands.new import complete; complete(Path("demo/run"))'
	cd demo/run && dvc repro
	@cd demo/run && if [ -d .git ]; then git add --all && { git diff --cached --quiet || git -c user.name=dcgan \
	  -c user.email=dcgan@localhost commit --quiet --message "make demo"; }; fi
	@echo
	@echo 'results in demo/run: $(RESULTS)'
	@echo 'look: `source .venv/bin/activate && cd demo/run`, then `mlflow ui` (runs), `dcgan generate --out digits.png`, `dcgan serve`'
	@echo 'next: `make repro` trains on MNIST'

repro: $(READY)  ## the whole pipeline on the data set of params.yaml; unchanged stages do not run
	dvc repro
	@echo
	@echo 'results: $(RESULTS)'
	@echo 'look: `make ui` (runs); `source .venv/bin/activate`, then `dcgan generate --out digits.png`, `dcgan serve`'
	@echo 'next: `dvc exp run -S train.epochs=2` tries other parameters; docs/how-to/parameters.md tells more'

test: $(READY)  ## the test suite, on two processes
	OMP_NUM_THREADS=1 pytest -m "not slow" --numprocesses 2 --dist loadfile --no-loadscope-reorder

tutorial: $(READY)  ## follow docs/tutorial.md, from a clone to a served digit; ten minutes
	pytest -m slow tests/field/test_tutorial.py

gpu-check: $(READY)  ## the tests that need a CUDA device; skipped without one
	pytest -m gpu tests

check: $(READY)  ## format, lint, types, architecture contracts and the manifests of deploy/
	ruff format --check .
	ruff check .
	mypy
	lint-imports --no-logo
	python deploy/check_manifests.py

format: $(READY)  ## put the code into the house format
	ruff format .
	ruff check --fix .

docs: $(READY)  ## build the documentation into dist/docs; a warning is an error
	sphinx-build --quiet --fail-on-warning --keep-going --nitpicky --builder html docs dist/docs
	@echo 'look: dist/docs/index.html'

docs-links: $(READY)  ## ask every address outside that the documentation links to; needs the internet
	sphinx-build --quiet --builder linkcheck docs dist/docs-links

ui: $(READY)  ## browse the runs at http://127.0.0.1:5000
	mlflow ui

bench: $(READY)  ## measure the speed of training and of the exported generator
	python benchmarks/training.py
	python benchmarks/inference.py

ablation: $(READY)  ## train and evaluate the rows of experiments/ablation.yaml that are not in ablation.csv
	dvc repro train_classifier train_witness
	python experiments/ablation.py

zoo: $(READY)  ## train every variant of the family under one budget and write docs/zoo.md
	dvc repro train_classifier train_witness
	python experiments/zoo.py

lock: $(READY)  ## resolve the dependencies anew and write requirements/
	requirements/lock.sh

image: $(READY)  ## build the serving image: with docker if it is there, else buildah
	@if command -v docker > /dev/null; then docker build --target serve --tag dcgan-serve .; else docker/verify.sh; fi

pretrained: $(READY)  ## put the generator that the defaults train into the package
	dvc repro export
	cp models/generator.onnx src/dcgan/inference/pretrained.onnx
	dcgan info --model src/dcgan/inference/pretrained.onnx

serve-check: $(READY) $(CLIENTS_READY)  ## the service's slow checks: browser, KServe's client, 10,000 made-up requests, MLflow's server, speed
	pytest -m slow tests/service tests/field/test_service_*.py tests/pipeline/test_register_stage.py
	python benchmarks/serving.py --model src/dcgan/inference/pretrained.onnx

N ?= 200
chaos: $(READY)  ## kill training N times, damage every kind of file N times, stop and start servers; an hour and a half
	python tests/faults/chaos.py --kills $(N) --damages $(N)
	OMP_NUM_THREADS=1 pytest -m slow tests/faults tests/pipeline

PIP_AUDIT := $(AUDIT)/pip-audit --disable-pip --progress-spinner=off
audit: $(AUDIT_READY)  ## ask whether a locked package has a known vulnerability; 69 if no database can be reached
	@# pip-audit counts what it could not look up as clean: so first it has to find a vulnerability that is known.
	@$(PIP_AUDIT) --no-deps --requirement <(echo requests==2.19.1) 2> /dev/null | grep -qE 'PYSEC|GHSA|CVE' \
	  || { echo "error: nothing was audited: no vulnerability database can be reached; try again" >&2; exit 69; }
	$(PIP_AUDIT) --strict --require-hashes $(addprefix --requirement=,$(wildcard requirements/*.txt)) \
	  $$(awk -v today=$$(date +%F) '!/^#/ && $$2 >= today {print "--ignore-vuln=" $$1}' requirements/audit-waivers)

sbom: $(AUDIT_READY)  ## write what each shipped lock installs, with hashes, into dist/sbom (CycloneDX)
	@mkdir -p dist/sbom
	@for lock in serve-cpu serve-gpu train tracking; do \
	  PYTHONWARNINGS=ignore $(AUDIT)/cyclonedx-py requirements --spec-version=1.6 --output-reproducible \
	    --pyproject=pyproject.toml --output-file=dist/sbom/$$lock.cdx.json requirements/$$lock.txt || exit; \
	  echo "dist/sbom/$$lock.cdx.json"; done

# A folder of its own: half of what these tools need is of no use to anything else.
$(AUDIT_READY): requirements/audit.txt
	@$(call NEW_ENVIRONMENT,.venv-audit)
	$(AUDIT)/python -m pip install --quiet --disable-pip-version-check \
	  --require-hashes --only-binary :all: --no-deps --requirement requirements/audit.txt
	@touch $@

# KServe's client excludes versions of packages that the pipeline needs.
$(CLIENTS_READY): requirements/clients.txt | $(READY)
	@rm -rf .venv-clients
	@uv venv --quiet --python $(BIN)/python .venv-clients
	VIRTUAL_ENV=.venv-clients uv pip sync --quiet --require-hashes --only-binary :all: requirements/clients.txt
	@touch $@

clean:  ## remove what was built; data, models and runs stay
	rm -rf .venv .venv-audit .venv-clients .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
	find src pipeline tests benchmarks experiments -name __pycache__ -prune -exec rm -rf {} +
