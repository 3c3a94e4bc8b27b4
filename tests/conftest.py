"""Tests are many small computations: with more than one torch thread they run several times slower."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
