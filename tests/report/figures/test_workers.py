"""Workers as lanes over time."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.workers import NO_WORKER, workers
from hpsearch.storage.records import Attempt, WorkerIdentity, WorkerRecord
from hpsearch.trials import Fate, Trial, TrialState
from tests.report.synthetic import CREATED, TAKEN, empty, snapshot_of


def _trial(number: int, start: float, end: float | None, worker: str | None = "a") -> Trial:
    return Trial(
        number=number,
        state=TrialState.RUNNING if end is None else TrialState.COMPLETE,
        params={"learning_rate": 0.1},
        value=None if end is None else 0.5,
        worker=worker,
        started=CREATED + timedelta(seconds=start),
        finished=None if end is None else CREATED + timedelta(seconds=end),
    )


def _record(name: str, *, seen: float, is_lost: bool = False, study: str = "digits") -> WorkerRecord:
    return WorkerRecord(
        identity=WorkerIdentity(name=name, host="h", process_id=7, version="0.1.0"),
        started=CREATED,
        seen=CREATED + timedelta(seconds=seen),
        is_lost=is_lost,
        should_stop=False,
        running={study: 1},
    )


def _attempt(worker: str, start: float, end: float, *, crashed: bool = True) -> Attempt:
    return Attempt(
        attempt=1,
        worker=worker,
        why="lease ran out",
        crashed=crashed,
        kind="crashed" if crashed else "handed_back",
        epochs=2,
        ended=CREATED + timedelta(seconds=end),
        started=CREATED + timedelta(seconds=start),
    )


def test_every_started_trial_is_a_bar_in_the_lane_of_its_worker(study: Snapshot) -> None:
    """Each trial that has started has one bar of its fate, running ones up to the moment of reading."""
    data = workers(study)
    assert data is not None
    drawn = {bar.number: bar for lane in data.lanes for bar in lane.bars}
    started = {trial.number: trial for trial in study.trials if trial.started is not None}
    assert drawn.keys() == started.keys()
    for lane in data.lanes:
        for bar in lane.bars:
            trial = started[bar.number]
            assert lane.worker == (trial.worker or NO_WORKER)
            assert bar.fate is trial.fate
            assert bar.start == trial.started
            assert bar.end == (trial.finished or TAKEN)


def test_trials_trained_side_by_side_do_not_hide_each_other() -> None:
    """Bars of a lane that overlap in time are in different rows, and no more rows are used than needed."""
    data = workers(snapshot_of([_trial(0, 0, 4), _trial(1, 1, 3), _trial(2, 3, 6), _trial(3, 4, 5)]))
    assert data is not None
    (lane,) = data.lanes
    assert {bar.number: bar.row for bar in lane.bars} == {0: 0, 1: 1, 2: 1, 3: 0}
    assert lane.rows == 2


def test_rows_never_overlap(study: Snapshot) -> None:
    """Within one row of a lane every bar begins when the one before it has ended."""
    data = workers(study)
    assert data is not None
    for lane in data.lanes:
        for row in range(lane.rows):
            bars = sorted((bar for bar in lane.bars if bar.row == row), key=lambda bar: bar.start)
            assert bars
            assert all(before.end <= after.start for before, after in pairwise(bars))


def test_idle_time_is_counted() -> None:
    """A worker that trained for 4 of 8 seconds was busy half of the time, with any number of trials at once."""
    data = workers(snapshot_of([_trial(0, 0, 2), _trial(1, 0, 2), _trial(2, 6, 8)]))
    assert data is not None
    assert data.lanes[0].busy == "busy 50 %"


def test_a_lost_lease_is_a_bar_and_a_mark() -> None:
    """An attempt whose worker vanished is in that worker's lane, the next one in the lane of its worker."""
    snapshot = replace(snapshot_of([_trial(0, 5, 8, "b")]), attempts={0: [_attempt("a", 0, 4)]})
    data = workers(snapshot)
    assert data is not None
    first, second = data.lanes
    assert (first.worker, second.worker) == ("a", "b")
    assert [bar.fate for bar in first.bars] == [Fate.LOST]
    (lost,) = first.lost
    assert lost.at == CREATED + timedelta(seconds=4)
    assert "trial 0: lease lost" in lost.hover
    assert "why: lease ran out" in lost.hover
    assert second.lost == ()
    assert data.caption.endswith("Asterisks are lost leases: 1.")


def test_an_attempt_that_was_handed_back_is_no_loss() -> None:
    """A worker that drained gave its trial back: a bar of waiting, and no mark."""
    attempts = {0: [_attempt("a", 0, 4, crashed=False)]}
    data = workers(replace(snapshot_of([_trial(0, 5, 8, "b")]), attempts=attempts))
    assert data is not None
    assert [bar.fate for bar in data.lanes[0].bars] == [Fate.WAITING]
    assert data.lanes[0].lost == ()


def test_an_old_attempt_has_only_its_mark() -> None:
    """If the beginning of an attempt is unknown, the moment of its loss is still drawn."""
    old = replace(_attempt("a", 0, 4), started=None)
    data = workers(replace(snapshot_of([_trial(0, 5, 8, "b")]), attempts={0: [old]}))
    assert data is not None
    lane = next(lane for lane in data.lanes if lane.worker == "a")
    assert lane.bars == ()
    assert len(lane.lost) == 1


def test_heartbeats_are_those_of_registered_workers() -> None:
    """A registered worker has its last heartbeat with its state; workers of other studies have no lane."""
    records = (_record("a", seen=3, is_lost=True), _record("c", seen=9, study="other"))
    data = workers(replace(snapshot_of([_trial(0, 0, 8), _trial(1, 0, 8, "b")]), workers=records))
    assert data is not None
    beats = {lane.worker: lane.beat for lane in data.lanes}
    assert beats["b"] is None
    assert beats["a"] is not None
    assert beats["a"].at == CREATED + timedelta(seconds=3)
    assert beats["a"].hover[:2] == ("a: lost", "last heartbeat 2026-07-26 13:58:10 UTC")
    assert data.caption.endswith("Not drawn, because they did not train here: 1 other worker.")


def test_a_worker_without_a_started_trial_has_an_empty_lane() -> None:
    """A worker that holds trials of the study has a lane before any of them began."""
    data = workers(replace(empty(), workers=(_record("a", seen=3),)))
    assert data is not None
    assert [(lane.worker, lane.bars) for lane in data.lanes] == [("a", ())]


def test_without_workers_there_is_no_figure() -> None:
    """Without any training there is no figure."""
    assert workers(empty()) is None
