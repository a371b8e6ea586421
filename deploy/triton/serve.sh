#!/usr/bin/env bash
# Serve a generator with NVIDIA Triton: deploy/triton/serve.sh [GENERATOR.onnx]. REPOSITORY is the model repository that it is put
# into as the next version; without a tritonserver here, TRITON_IMAGE names the container image that has one
# (nvcr.io/nvidia/tritonserver:YY.MM-py3). The model is /v2/models/dcgan-generator.
set -euo pipefail
repository=${REPOSITORY:-triton-models}
port=${PORT:-8080}

dcgan export-triton "$repository" ${1:+--model "$1"}
if command -v tritonserver > /dev/null; then
  exec tritonserver --model-repository "$repository" --http-port "$port"
fi
exec docker run --rm --publish "$port:8000" --volume "$(realpath "$repository"):/models:ro" \
  "${TRITON_IMAGE:?name the image of Triton, or install tritonserver}" tritonserver --model-repository /models
