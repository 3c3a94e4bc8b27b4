#!/usr/bin/env bash
# From nothing to a policy that can be watched: makes .venv, trains on the embedded simulator for a few minutes, evaluates.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_environment ""

.venv/bin/vla-train experiment=quickstart "$@"

run="$(ls -dt outputs/*_quickstart* | head -n 1)"
.venv/bin/vla-eval checkpoint="$run" episodes=128

video="$(find "$run/evaluations" \( -name '*.mp4' -o -name '*.gif' \) | sort | tail -n 1)"
echo "rollout video: $PWD/${video:?no video was written}"
