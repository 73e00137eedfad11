"""Exact configurations with real workers: the same study for any number of workers and kills."""

import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

STUDY = """
name = "exact"
seeds = 5
data.source = "iris"
training = { epochs = 30, batch_size = 4 }

[[configurations]]
name = "ReLU"
learning_rate = 0.05

[[configurations]]
name = "tanh"
model.activation = "tanh"

[[configurations]]
name = "dies"
learning_rate = 1e6
"""


def test_two_workers_and_an_interruption_change_nothing(
    make_folder: Callable[[Mapping[str, str]], "Folder"],
) -> None:
    """A run that is interrupted and continued by two workers ends as one by a single worker, to the last digit."""
    alone, interrupted = make_folder({"exact.toml": STUDY}), make_folder({"exact.toml": STUDY})
    ended = alone.run("study", "run", "exact.toml", "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    running = interrupted.start("study", "run", "exact.toml", "--workers", "2")
    interrupted.wait_for_trials(running, 1)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    ended = interrupted.run("study", "run", "exact.toml", "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    assert interrupted.results("exact") == alone.results("exact")
    rows = interrupted.json("study", "configurations", "exact")
    assert rows == alone.json("study", "configurations", "exact")
    assert [row["ended"] for row in rows] == [5, 5, 5]
