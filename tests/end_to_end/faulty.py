"""`hpsearch` with a fault: `python -m tests.end_to_end.faulty kill 3 worker start ...`.

`kill N` kills the process when it begins to train trial N, as the system does with one that takes too much memory.
`stick N` lets the first step of trial N take forever.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence

from hpsearch.cli import main
from hpsearch.study.spec import Configuration
from hpsearch.training.cohort import Cohort
from hpsearch.training.row import RowState


def inject(fault: str, poison: int) -> None:
    """Let the trial with the number `poison` do harm."""
    join, train_all = Cohort.join, Cohort._train_all

    def poisoned_join(
        self: Cohort, number: int, configuration: Configuration, states: Sequence[RowState] = ()
    ) -> None:
        join(self, number, configuration, states)
        if fault == "kill" and number == poison:
            os.kill(os.getpid(), signal.SIGKILL)

    def poisoned_train_all(self: Cohort) -> None:
        if fault == "stick" and poison in self.numbers:
            sys.stderr.write("stuck\n")
            sys.stderr.flush()
            threading.Event().wait()
        train_all(self)

    Cohort.join = poisoned_join  # type: ignore[method-assign] # this is the fault
    Cohort._train_all = poisoned_train_all  # type: ignore[method-assign] # this is the fault


if __name__ == "__main__":
    _, fault, number, *arguments = sys.argv
    inject(fault, int(number))
    sys.argv = ["hpsearch", *arguments]
    main.run()
