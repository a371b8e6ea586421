#!/usr/bin/env bash
# Build the serve image and try it where no Docker engine is: docker/verify.sh (Debian, root; buildah, debootstrap, iproute2).
# The base is made from Debian's own packages and stands in for python:3.11-slim-bookworm. With TARGETS="serve train" the
# training image is built and tried too (about 6 GB of downloads).
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
BASE=docker.io/library/python:3.11-slim-bookworm
PORT=${PORT:-8099}
work=$(mktemp -d)
secret=.env.verify  # stands for what an image must not hold; not .env itself, which may be somebody's
trap 'rm -rf "$work" "$secret"' EXIT

step() { printf '\n== %s\n' "$*"; }

for tool in buildah debootstrap ip setpriv; do
  command -v $tool > /dev/null || { echo "error: $tool is missing; apt-get install buildah debootstrap iproute2 util-linux" >&2; exit 69; }
done

if ! buildah images "$BASE" > /dev/null 2>&1; then
  step "base: Debian bookworm with python3.11"
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | sed -n 1p)
  debootstrap --variant=minbase --include=ca-certificates bookworm "$work/system" "$mirror" > "$work/debootstrap.log" \
    || { tail -5 "$work/debootstrap.log" >&2; exit 69; }
  cp /etc/resolv.conf "$work/system/etc/"
  DEBIAN_FRONTEND=noninteractive chroot "$work/system" sh -c \
    'apt-get -qq update && apt-get -qq install --no-install-recommends python3.11 python3.11-venv' > "$work/python.log" 2>&1 \
    || { tail -5 "$work/python.log" >&2; exit 69; }
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
for name in PIP_INDEX_URL UV_DEFAULT_INDEX HTTPS_PROXY HTTP_PROXY NO_PROXY https_proxy http_proxy no_proxy; do
  [ -z "${!name:-}" ] || settings+=(--env "$name=${!name}")
done
certificates=/etc/ssl/certs/ca-certificates.crt
[ ! -f /etc/pip.conf ] || settings+=(--volume /etc/pip.conf:/etc/pip.conf:ro)

echo "POSTGRES_PASSWORD=planted" > "$secret"
for target in ${TARGETS:-serve}; do
  step "image: $target"
  buildah bud --quiet --format docker --layers --pull-never --target "$target" --tag "dcgan-$target" --volume "$certificates:$certificates:ro" \
    "${settings[@]}" --env SSL_CERT_FILE=$certificates . > /dev/null
done

step "size"
base=$(buildah images --format '{{.Size}}' "$BASE"); serve=$(buildah images --format '{{.Size}}' dcgan-serve)
bytes() { sed 's/ //; s/B$//; s/k/K/' <<< "$1" | numfmt --from=si; }
added=$(($(bytes "$serve") - $(bytes "$base")))
echo "base $base, serve $serve, added $((added / 1000000)) MB"
if ((added > 250000000)); then echo "error: the image adds more than 250 MB to its base" >&2; exit 65; fi

step "no secrets, no registry address, not root"
container=$(buildah from dcgan-serve)
root=$(buildah mount "$container")
buildah inspect --type image --format '{{.OCIv1.Config.User}}' dcgan-serve | grep -x 999:999 > /dev/null && echo "user 999:999"
env=$(buildah inspect --type image --format '{{.OCIv1.Config.Env}}' dcgan-serve)
grep -qw PORT=8080 <<< "$env" && echo "port 8080, unless PORT is another"
if grep -qiE 'index|proxy|token|password|key=' <<< "$env"; then echo "error: the image's environment holds $env" >&2; exit 65; fi
if [ -e "$root/etc/pip.conf" ] && [ -s "$root/etc/pip.conf" ]; then echo "error: pip.conf is in the image" >&2; exit 65; fi

step "dcgan serve: uid 999, read-only, no capabilities, no network but its own"
cat > "$work/sealed.sh" << 'SEALED'
set -euo pipefail
root=$1 port=$2
ip link set lo up
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" && mount --bind /proc "$root/proc"
jail=(chroot --userspec=999:999 "$root" env -i PATH=/opt/dcgan/bin:/usr/bin:/bin PORT="$port")
"${jail[@]}" touch /tmp/mark 2> /dev/null && { echo "error: the root is writable" >&2; exit 65; }
"${jail[@]}" dcgan serve & serving=$!
ask='
import sys, time, urllib.request as u
url = "http://127.0.0.1:" + sys.argv[1]
for _ in range(100):
    try:
        u.urlopen(url + "/v2/health/ready", timeout=2)
        break
    except OSError:
        time.sleep(0.1)
request = u.Request(url + "/v1/images", b"{}", {"content-type": "application/json"})
print("PNG:", u.urlopen(request).read()[:4])'
"${jail[@]}" python -c "$ask" "$port"
grep -E "^(Uid|CapEff|NoNewPrivs)" "/proc/$serving/status"
grep -qE "^CapEff:[[:space:]]+0+$" "/proc/$serving/status" || { echo "error: the service has capabilities" >&2; exit 65; }
kill -TERM $serving
wait $serving && echo "drained, exit 0"
SEALED
unshare --mount --net setpriv --bounding-set=-all,+sys_admin,+sys_chroot,+setuid,+setgid,+net_admin,+kill bash "$work/sealed.sh" "$root" "$PORT"
jailed() { chroot "$root" env PATH=/opt/dcgan/bin:/usr/bin:/bin "$@"; }
jailed python -c "import importlib.util as i, sys; sys.exit(any(map(i.find_spec, ('torch', 'mlflow', 'pip'))))"
echo "no torch, no MLflow, no pip"
buildah rm "$container" > /dev/null
if [[ " ${TARGETS:-} " == *" train "* ]]; then
  step "train: the stages of the demo up to the data gate, as uid 999"
  container=$(buildah from dcgan-train)
  app=$(buildah mount "$container")/app
  found=$(find "$app" -name '.env*' -o -name 'mlflow.db*')
  if [ -n "$found" ]; then echo "error: the image holds $found" >&2; exit 65; fi
  [ -f "$app/.dvc/config" ] || { echo "error: .dvc/config is missing from the image" >&2; exit 65; }
  buildah run --user 999:999 "$container" -- sh -c 'dcgan new demo/run --params demo/params.yaml && cd demo/run && dvc repro validate && python -c "import torch, mlflow; print(torch.__version__)"'
  buildah rm "$container" > /dev/null
fi

step "all good"
