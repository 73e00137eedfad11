"""Benchmarks: they print what they measure, and assert nothing.

They run on one BLAS thread, as a worker does. That is settled here, before any of them loads NumPy.
"""

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
