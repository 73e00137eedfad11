"""Chaos: workers as real processes, and faults of them and of their database.

`python -m tests.chaos` is the large campaign; the tests are small ones. What they share:

* `ground`: a study, its database, and what one undisturbed worker makes of it;
* `crew`: worker processes, replaced when they end too soon;
* `cluster`, `proxy`: a PostgreSQL server of our own, and a line to it that can be cut;
* `audit`: triggers that note who writes what, and under whose lease;
* `calamities`, `campaign`: what happens, when, to whom;
* `strangers`: stock Optuna clients beside the workers, and what must be true then;
* `laws`: what must be true afterwards, from the database alone.
"""

import os

# OpenBLAS and OpenMP read these when NumPy loads. A worker has one thread.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
