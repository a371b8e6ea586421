#!/usr/bin/env bash
# Everything worth knowing of a GPU, on a bare node without MLflow, DVC and pydantic, in six minutes on an H100:
#   benchmarks/gpu.sh --data FOLDER_WITH_THE_MNIST_FILES [--out gpu.json]
# The same on a CPU, with little of everything, to try the script: benchmarks/gpu.sh --device cpu --quick
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" benchmarks/gpu.py "$@"
