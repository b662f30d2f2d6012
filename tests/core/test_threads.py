"""Several Python threads that calculate at once, on every library that Numba has for loops."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.outside import absent

# Sums of blocks of eight voxels by two threads at once, a hundred times each.
TWO_THREADS = """
import threading
import numpy as np
import numba
from dosecalc.core.lattice import coarsen

fine = np.random.default_rng(1).random((32, 32, 32), np.float32)
wanted = fine.astype(np.float64).reshape(16, 2, 16, 2, 16, 2).sum((1, 3, 5))
largest = []

def work():
    coarse = np.empty((16, 16, 16), np.float32)
    for _ in range(100):
        coarse.fill(-1.0)
        coarsen(fine, (2, 2, 2), coarse)
        largest.append(np.abs(coarse - wanted).max())

both = [threading.Thread(target=work) for _ in range(2)]
for one in both:
    one.start()
for one in both:
    one.join()
print(len(largest), max(largest) < 1e-5, numba.threading_layer())
"""

# Debian's package of each library that Numba does not bring along.
LIBRARIES = {"omp": "Debian package libgomp1", "tbb": "Debian package libtbb12"}


@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_two_threads_calculate_at_once(layer: str) -> None:
    """With Numba's own library, "workqueue", the second loop used to end the process."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"},
    )
    if layer != "workqueue" and "No threading layer could be loaded" in done.stderr:
        absent(f"Numba finds no library for its threading layer {layer} ({LIBRARIES[layer]})")
    assert (done.returncode, done.stdout.split()) == (0, ["200", "True", layer]), done.stderr
