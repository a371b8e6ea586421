#!/usr/bin/env bash
# Build the serve image and try it where no Docker engine is: docker/verify.sh (Debian, root; buildah and debootstrap).
# The base is made from Debian's own packages and stands in for python:3.11-slim-bookworm. With TARGETS="serve train" the
# training image is built and tried too (about 6 GB of downloads).
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
BASE=docker.io/library/python:3.11-slim-bookworm
PORT=${PORT:-8099}
work=$(mktemp -d)
trap 'rm -rf "$work"; [ -z "${serving:-}" ] || kill "$serving" 2> /dev/null || true' EXIT

step() { printf '\n== %s\n' "$*"; }
size_of() { buildah inspect --type image --format '{{.FromImageID}}' "$1" > /dev/null; buildah images --json "$1" | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["size"])'; }

for tool in buildah debootstrap curl; do
  command -v $tool > /dev/null || { echo "error: $tool is missing; apt-get install buildah debootstrap curl" >&2; exit 69; }
done

if ! buildah images "$BASE" > /dev/null 2>&1; then
  step "base: Debian bookworm with python3.11"
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -1)
  debootstrap --variant=minbase --include=python3.11,python3.11-venv,ca-certificates bookworm "$work/system" "$mirror" > "$work/debootstrap.log" \
    || { tail -5 "$work/debootstrap.log" >&2; exit 69; }
  ln -s python3.11 "$work/system/usr/bin/python"
  ln -sf python3.11 "$work/system/usr/bin/python3"
  rm -rf "$work/system/var/cache/apt" "$work/system/var/lib/apt/lists"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$work/system" / > /dev/null
  buildah config --env PATH=/usr/local/bin:/usr/bin:/bin --cmd python "$container"
  buildah commit --quiet --rm "$container" "$BASE" > /dev/null
  rm -rf "$work/system"
fi

# What a site needs to reach its package registry (proxy, certificates, index) is handed in, and stays out of the image.
settings=()
for name in PIP_INDEX_URL UV_INDEX_URL UV_DEFAULT_INDEX HTTPS_PROXY HTTP_PROXY NO_PROXY https_proxy http_proxy no_proxy; do
  [ -z "${!name:-}" ] || settings+=(--env "$name=${!name}")
done
certificates=/etc/ssl/certs/ca-certificates.crt
[ ! -f /etc/pip.conf ] || settings+=(--volume /etc/pip.conf:/etc/pip.conf:ro)

for target in ${TARGETS:-serve}; do
  step "image: $target"
  buildah bud --quiet --layers --pull-never --target "$target" --tag "dcgan-$target" --volume "$certificates:$certificates:ro" \
    "${settings[@]}" --env SSL_CERT_FILE=$certificates . > /dev/null
done

step "size"
base=$(buildah images --format '{{.Size}}' "$BASE"); serve=$(buildah images --format '{{.Size}}' dcgan-serve)
echo "base $base, serve $serve"

step "no secrets, no registry address, not root"
container=$(buildah from dcgan-serve)
root=$(buildah mount "$container")
buildah inspect --type image --format '{{.OCIv1.Config.User}}' dcgan-serve | grep -qx 999:999 && echo "user 999:999"
env=$(buildah inspect --type image --format '{{.OCIv1.Config.Env}}' dcgan-serve)
if grep -qiE 'index|proxy|token|password|key=' <<< "$env"; then echo "error: the image's environment holds $env" >&2; exit 65; fi
if [ -e "$root/etc/pip.conf" ] && [ -s "$root/etc/pip.conf" ]; then echo "error: pip.conf is in the image" >&2; exit 65; fi

step "dcgan serve, as uid 999, without write access or capabilities"
setpriv --reuid 999 --regid 999 --clear-groups --bounding-set=-all --inh-caps=-all \
  chroot --userspec=999:999 "$root" true 2> /dev/null || true
buildah run --user 999:999 --cap-drop=ALL "$container" -- dcgan serve --port "$PORT" > "$work/out" 2> "$work/err" &
serving=$!
for _ in $(seq 100); do curl -sf "http://127.0.0.1:$PORT/v2/health/ready" > /dev/null && break; sleep 0.1; done
curl -sS "http://127.0.0.1:$PORT/v1/images" -H 'Content-Type: application/json' -d '{"count": 100}' -o "$work/digits.png" -w 'PNG: %{http_code}, %{size_download} bytes\n'
head -c 8 "$work/digits.png" | grep -q PNG
buildah run --user 999:999 "$container" -- python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$PORT/v2/health/ready', timeout=2); print('health check: ok')"
buildah run --user 999:999 "$container" -- python -c "import importlib.util as i, sys; sys.exit(any(i.find_spec(m) for m in ('torch', 'mlflow', 'pip')))" && echo "no torch, no MLflow, no pip"
kill "$serving"; wait "$serving" || true; serving=
buildah rm "$container" > /dev/null
step "all good"
