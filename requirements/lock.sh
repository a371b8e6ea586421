#!/usr/bin/env bash
# Write the hash-pinned locks, one a purpose; none of them names a package registry.
set -euo pipefail
cd "$(dirname "$0")/.."

lock() {  # lock NAME INPUT [ARGUMENT …]
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-annotate --no-header "${@:2}" --output-file "requirements/$1.txt"
}

lock dev pyproject.toml --extra dev
lock train pyproject.toml --extra train --constraint requirements/dev.txt
lock scale pyproject.toml --extra scale --constraint requirements/dev.txt
lock team pyproject.toml --extra team --constraint requirements/dev.txt
lock docs pyproject.toml --extra docs --constraint requirements/dev.txt
lock serve-cpu pyproject.toml --extra serve-cpu --constraint requirements/dev.txt
lock serve-gpu pyproject.toml --extra serve-gpu --constraint requirements/dev.txt
lock tracking pyproject.toml --extra tracking --constraint requirements/dev.txt
lock uv - --constraint requirements/dev.txt <<< $'uv\nuv_build'
lock build - --constraint requirements/dev.txt <<< setuptools  # builds the one dependency that is published as source only
lock audit - --constraint requirements/dev.txt <<< $'pip-audit\ncyclonedx-bom'
lock clients - <<< $'kserve\ntritonclient[http]>=2.73'  # other servers' clients; they exclude versions that we have
