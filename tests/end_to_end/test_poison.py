"""A trial that kills its worker: it fails after three, and trials in the same cohort do not."""

import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hpsearch.storage.store import open_store
from hpsearch.verdicts import Cause

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

TRIALS, POISON = 12, 2

FLOWERS = f"""
name = "flowers"
trials = {TRIALS}
data = {{ source = "iris" }}
training = {{ epochs = 5, batch_size = 20 }}
sampler.name = "random"
pruning.rank = "none"
"""

WORKER = ["worker", "start", "--study", "flowers", "--exit-when-idle", "--cohort", "4", "--lease", "0.5"]


def test_a_poisonous_trial_fails_alone(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> None:
    """Three workers die of one trial, no more; the others end with their usual numbers."""
    folder = make_folder({"flowers.toml": FLOWERS})
    assert folder.run("study", "create", "flowers.toml").returncode == 0
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        assert len(codes) < 10
        with folder.start("kill", str(POISON), *WORKER, module="tests.end_to_end.faulty") as process:
            codes.append(process.wait(60))
    assert codes == [-signal.SIGKILL] * 3 + [0]

    with open_store(f"sqlite:///{folder.path}/storage/hpsearch.db") as store:
        study = store.studies.get("flowers")
        trials, progress = store.trials.all(study), store.studies.progress(study)
        histories = [store.trials.attempts(study, trial.number) for trial in trials]
    assert (progress.finished, progress.failed, len(trials)) == (TRIALS, 1, TRIALS + 1)
    finding = trials[POISON].finding
    assert finding is not None
    assert (finding.cause, finding.evidence) == (Cause.WORKER_LOST, {"workers_lost": 3.0})
    # The first worker trained others in the same cohort, so only later crashes showed which trial caused them.
    ends = [(attempt.kind, attempt.crashed) for attempt in histories[POISON]]
    assert ends == [("lost", False), ("lost", True), ("lost", True)]
    assert {attempt.why for attempt in histories[POISON]} == {"lease expired"}
    # Its first companions lost a worker once, and no other trial did.
    assert [len(history) for history in histories] == [1, 1, 3, 1] + [0] * (TRIALS - 3)

    quiet = make_folder({"flowers.toml": FLOWERS})
    more = str(TRIALS + 1)
    assert quiet.run("study", "run", "flowers.toml", "--workers", "1", "--trials", more).returncode == 0
    expected = [result for result in quiet.results("flowers") if result[0] != POISON]
    assert [result for result in folder.results("flowers") if result[0] != POISON] == expected
