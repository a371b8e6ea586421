#!/usr/bin/env bash
# Bring the pipeline up to date and compare it with another revision: deploy/ci/pipeline.sh [REVISION] [FOLDER]
# Any CI can call it, in the repository's root with .venv/bin on the path; logins come from the environment. What the DVC remote
# has is not run again, and what is run goes there. FOLDER (ci-report) gets comment.md, for the change's page, plots/, and
# results.patch if dvc.lock has changed.
set -euo pipefail
revision=${1:-origin/main} folder=${2:-ci-report}
results=(dvc.lock reports/metrics.json)

git rev-parse --quiet --verify "$revision^{commit}" > /dev/null \
  || { echo "error: $revision: no such revision here; fetch it first (GitHub Actions: fetch-depth: 0)" >&2; exit 64; }
rm -rf "$folder"
mkdir -p "$folder"
dvc repro --pull
dvc push --run-cache

section() {  # section TITLE COMMAND …
  local table
  table=$("${@:2}")
  (($(wc -l <<< "$table") > 2)) || table="As in $revision."  # a header alone
  printf '### %s\n\n%s\n\n' "$1" "$table"
}
{
  section Metrics dvc metrics diff --md "$revision"
  section Parameters dvc params diff --md "$revision"
  if ! git diff --quiet -- "${results[@]}"; then
    git diff --binary -- "${results[@]}" > "$folder/results.patch"
    echo "**dvc.lock is out of date.** Commit these results: \`git apply results.patch\` with the file of this run, then \`dvc pull\`."
  fi
} > "$folder/comment.md"
dvc plots diff "$revision" --out "$folder/plots" > /dev/null
echo "$folder: comment.md and plots/index.html compare with $revision"
