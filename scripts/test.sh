#!/usr/bin/env bash
# Sets up what the tests need and runs them, files side by side. Arguments go to pytest: bash scripts/test.sh tests/unit -k config
# (-n 0: one after the other, in this process)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_environment dev,babyai,sweep,metaworld,hdf5

export OMP_NUM_THREADS=1 # the tests are many small computations
exec .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
