"""The parts of `python -m tests.benchmarks`, on tiny budgets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpsearch.study.reader import read_study
from hpsearch.study.spec import Range
from tests.benchmarks.__main__ import PARTS, Page, machine, parser
from tests.benchmarks.comparison import DIGITS, Measured, Search, Timing, difference_interval, table, targets
from tests.benchmarks.peers.optuna_sklearn import search
from tests.benchmarks.peers.task import PeerTask, PeerTrial, given_task, read_trials, write_task, write_trials


def trial(started_s: float, ended_s: float, accuracy: float | None, epochs: int = 4) -> PeerTrial:
    """Return a trial that has ended."""
    return PeerTrial(started_s=started_s, ended_s=ended_s, epochs=epochs, accuracy=accuracy)


def measured(program: str, *trials: PeerTrial, wall_s: float = 10.0) -> Measured:
    """Return a search of digits that began at second 100."""
    return Measured(
        program=program,
        search=DIGITS,
        storage="in memory",
        has_database=False,
        seed=0,
        timing=Timing(began_s=100.0, wall_s=wall_s, cpu_s=2 * wall_s),
        examples=400,
        trials=trials,
    )


def test_a_study_file_is_the_search_of_the_peers(tmp_path: Path) -> None:
    """Hpsearch and its peers have the same budget, network, space and seed."""
    path = tmp_path / "study.toml"
    path.write_text(DIGITS.study_file(7), encoding="utf-8")
    spec, task = read_study(path), DIGITS.peer_task(tmp_path, 7, None)
    assert (spec.trials, spec.seed, spec.model.hidden) == (task.trials, task.seed, (task.hidden,))
    assert (spec.training.epochs, spec.training.batch_size) == (task.epochs, task.batch_size)
    assert spec.training.optimizer == "sgd"
    assert [(d.low, d.high) for d in spec.search if isinstance(d, Range)] == [
        task.learning_rate,
        task.weight_decay,
    ]


def test_a_peer_trains_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer reads its task from a file, and writes as many trials as its budget, with epochs within it."""
    generator = np.random.default_rng(0)
    x, y = generator.random((60, 4), np.float32), np.arange(60) % 3
    data = tmp_path / "data.npz"
    np.savez(data, training_inputs=x, training_targets=y, validation_inputs=x, validation_targets=y)
    small: Search = replace(DIGITS, trials=7, epochs=3)
    write_task(small.peer_task(data, 0, None), tmp_path / "task.json")
    monkeypatch.setattr("sys.argv", ["peer", str(tmp_path / "task.json"), str(tmp_path / "trials.json")])
    task: PeerTask = given_task()
    write_trials(search(task))
    trials = read_trials(tmp_path / "trials.json")
    assert len(trials) == 7
    assert all(1 <= each.epochs <= 3 for each in trials)
    complete = [each for each in trials if each.accuracy is not None]
    assert len(complete) >= 5
    assert all(each.epochs == 3 for each in complete)


def test_time_to_the_target_counts_trials_in_training_in_part() -> None:
    """It ends with the first complete trial that is good enough; others count by their share until then."""
    one = measured(
        "hpsearch", trial(101, 103, None), trial(101, 105, 0.95), trial(104, 108, 0.99), trial(107, 109, 0.98)
    )
    assert one.until(0.98) == (8.0, 4 + 4 + 4 + 2)
    assert one.until(0.9) == (5.0, 4 + 4 + 1 + 0)
    assert one.until(0.999) is None


def test_the_table_compares_programs_with_hpsearch() -> None:
    """Ratios, equality and the target come from all programs with the same split."""
    ours = measured("hpsearch", trial(101, 104, 0.97))
    other = measured("Optuna + PyTorch", trial(101, 112, 0.975), wall_s=30.0)
    worse = measured("Ray Tune + PyTorch", trial(101, 150, 0.5), wall_s=60.0)
    assert targets([ours, other, worse]) == {("digits", 0): pytest.approx(0.973)}
    lines = [line.split(" | ") for line in list(table([ours, other, worse]))[2:]]
    assert [cells[7] for cells in lines] == ["never (0 of 1)", "12.0 (1 of 1)", "never (0 of 1)"]
    assert [cells[6].split(" (")[0] for cells in lines] == ["", "yes", "no"]
    assert [cells[9].removesuffix(" |") for cells in lines] == ["", "3.0 / 3.0 / -", "6.0 / 6.0 / -"]


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """Newcombe (1998), table II, method 10, example a: 56 of 70 less 48 of 80."""
    low, high = difference_interval((56 / 70, 70), (48 / 80, 80))
    assert low == pytest.approx(0.0524, abs=1e-4)
    assert high == pytest.approx(0.3339, abs=1e-4)


def test_the_page_is_stored_while_it_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is in the page, and numbers are in the file that is named."""
    page = Page(tmp_path / "out.json")
    page.numbers["machine"] = machine()
    page.say("# Benchmarks")
    assert (tmp_path / "out.md").read_text(encoding="utf-8") == capsys.readouterr().out == "# Benchmarks\n"
    assert '"numpy"' in (tmp_path / "out.json").read_text(encoding="utf-8")


def test_parts_are_chosen_by_name() -> None:
    """The command takes each part alone."""
    for part in PARTS:
        assert parser().parse_args(["--quick", "--only", part]).only == [part]
