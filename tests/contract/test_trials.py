"""Trials: written values are read back, by us and by every other Optuna client."""

import math
import random
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import optuna
import pytest
from sqlalchemy import text

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage.address import parse_address
from hpsearch.storage.engine import make_engine, read_transaction, write_transaction
from hpsearch.storage.records import Assignment, Update
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause, Finding
from tests.contract.laboratory import Lab, update

Labs = Callable[..., Lab]

OPTUNA_STATES = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.FAILED: optuna.trial.TrialState.FAIL,
    TrialState.RUNNING: optuna.trial.TrialState.RUNNING,
    TrialState.WAITING: optuna.trial.TrialState.WAITING,
}

ODD_NUMBERS = (math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e16 + 2)


def bits(number: float) -> bytes:
    """Return the eight bytes of a number, so that NaN equals NaN."""
    return struct.pack("<d", math.nan if math.isnan(number) else number)


def test_a_trial_is_read_as_it_was_written(new_lab: Labs) -> None:
    """Every field of a finished trial comes back."""
    lab = new_lab()
    (claim,) = lab.claim(1)
    attributes = {"sampler": [1, "two", None]}
    lab.store.trials.assign(
        lab.study, [Assignment(claim=claim, params=lab.params(0), system_attributes=attributes)]
    )
    finding = Finding(
        cause=Cause.DIVERGED_LR,
        confidence=0.875,
        first_step=41,
        evidence={"logit_max": math.inf, "loss": math.nan, "ratio": 1e-300},
        remedy="lower the learning rate, \u201cby half\u201d",
        suggested={"learning_rate": 0.05, "model.activation": "tanh", "model.batch_norm": True},
    )
    lab.store.trials.record(
        lab.study,
        [
            Update(
                claim=claim,
                reports={0: 0.5, 1: 0.25},
                epochs=3,
                steps=45,
                system_attributes={"completed_rung_0": 0.5},
                outcome=update(claim, state=TrialState.PRUNED, value=0.25, finding=finding).outcome,
            )
        ],
    )
    (trial,) = lab.store.trials.all(lab.study)
    assert trial.finding is not None
    assert trial.started is not None
    assert trial.finished is not None
    assert trial == Trial(
        number=0,
        state=TrialState.PRUNED,
        params=lab.params(0),
        value=0.25,
        curve={0: 0.5, 1: 0.25},
        finding=trial.finding,
        epochs=3,
        steps=45,
        worker=lab.worker,
        attempts=1,
        started=trial.started,
        finished=trial.finished,
        system_attributes={**attributes, "completed_rung_0": 0.5},
    )
    assert repr(trial.finding) == repr(finding)
    assert timedelta(0) <= trial.finished - trial.started < timedelta(minutes=1)
    assert abs(datetime.now(UTC) - trial.finished) < timedelta(minutes=1)


def test_numbers_survive_to_the_last_bit(new_lab: Labs) -> None:
    """Reports and values come back bit by bit, NaN and the infinities included."""
    lab = new_lab(trials=100)
    rng = random.Random(20170523)
    numbers = [*ODD_NUMBERS, *(rng.uniform(-1, 1) * 10.0 ** rng.randint(-300, 300) for _ in range(40))]
    claims = lab.claim(len(numbers))
    lab.assign(claims)
    lab.store.trials.record(
        lab.study,
        [
            update(claim, reports={0: number}, value=number)
            for claim, number in zip(claims, numbers, strict=True)
            if not math.isnan(number)
        ]
        + [update(claims[0], reports={0: math.nan}, value=None, state=TrialState.PRUNED)],
    )
    trials = lab.store.trials.all(lab.study)
    assert [bits(trial.curve[0]) for trial in trials] == [bits(number) for number in numbers]
    assert trials[0].value is None
    values = [trial.value for trial in trials[1:] if trial.value is not None]
    assert [bits(value) for value in values] == [bits(number) for number in numbers[1:]]


def test_parameters_survive_to_the_last_bit(new_lab: Labs) -> None:
    """Floats come back bit by bit, whole numbers as int, choices with their own types."""
    lab = new_lab(trials=100)
    rng = random.Random(20170523)
    rates = [10.0 ** rng.uniform(-6, 0) for _ in range(60)]
    claims = lab.claim(len(rates))
    sent = [{**lab.params(c.number), "learning_rate": rate} for c, rate in zip(claims, rates, strict=True)]
    assignments = [Assignment(claim=c, params=params) for c, params in zip(claims, sent, strict=True)]
    lab.store.trials.assign(lab.study, assignments)
    read = [trial.params for trial in lab.store.trials.all(lab.study)]
    assert read == sent
    assert [list(params) for params in read] == [list(params) for params in sent]
    assert {type(params["training.batch_size"]) for params in read} == {int}


def test_optuna_reads_what_we_write(new_lab: Labs) -> None:
    """`optuna.load_study` sees the same states, parameters, values, reports, attributes and times."""
    lab = new_lab()
    lab.finish(3)
    lab.finish(1, value=math.inf, reports={0: math.nan, 1: -math.inf, 2: math.inf})
    lab.finish(1, state=TrialState.PRUNED, value=0.25)
    lab.finish(1, state=TrialState.PRUNED, value=None, reports={0: math.nan})
    lab.finish(1, state=TrialState.FAILED, value=None, reports={})
    lab.assign(lab.claim(2))
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[8], why="bye", crashed=False)
    ours, theirs = lab.store.trials.all(lab.study), lab.stock().trials
    assert len(ours) == len(theirs) == 9
    for our, their in zip(ours, theirs, strict=True):
        assert (our.number, OPTUNA_STATES[our.state]) == (their.number, their.state)
        assert (our.params, our.value) == (their.params, their.value)
        assert repr(our.curve) == repr(their.intermediate_values)
        assert our.system_attributes == their.system_attrs
        assert (our.started is None) == (their.datetime_start is None)
        if our.started is not None and their.datetime_start is not None:
            assert our.started == their.datetime_start.astimezone(UTC)
    ends = [our.state.is_final for our in ours]
    assert [bool(their.user_attrs) for their in theirs] == ends
    assert theirs[4].user_attrs == {"verdict": "healthy", "epochs": 2, "worker": lab.worker}


def test_optuna_uses_what_we_write(new_lab: Labs) -> None:
    """A stock client can take the best trial, sample from ours and continue with the study."""
    lab = new_lab()
    for value in (0.25, 0.75, 0.5):
        lab.finish(1, value=value)
    stock = lab.stock()
    assert (stock.best_trial.number, stock.best_value) == (1, 0.75)
    assert stock.metric_names == ["validation_accuracy"]
    assert stock.user_attrs["hpsearch:fingerprint"] == lab.study.fingerprint
    trial = stock.ask(stock.trials[0].distributions)
    stock.tell(trial, 0.875)
    best = lab.store.studies.progress(lab.study).best
    assert best is not None
    assert (best.number, best.value, best.params) == (3, 0.875, trial.params)


def test_what_optuna_writes_is_read(new_lab: Labs) -> None:
    """A trial that a stock client ran appears with parameters, reports, value and times, without a verdict."""
    lab = new_lab()
    lab.finish(1)
    stock = lab.stock()
    asked = stock.ask(stock.trials[0].distributions)
    asked.report(0.5, 0)
    asked.report(math.nan, 1)
    stock.tell(asked, state=optuna.trial.TrialState.PRUNED)
    theirs, (_, ours) = stock.trials[1], lab.store.trials.all(lab.study)
    assert (ours.state, ours.params, ours.value) == (TrialState.PRUNED, theirs.params, theirs.value)
    assert repr(ours.curve) == "{0: 0.5, 1: nan}"
    assert (ours.finding, ours.worker, ours.epochs, ours.attempts) == (None, None, 0, 1)
    progress = lab.store.studies.progress(lab.study)
    assert (progress.complete, progress.pruned, progress.ledger) == (1, 1, {"complete": 2})


def test_attributes_of_other_clients_give_way_to_ours(new_lab: Labs) -> None:
    """A trial that already has attributes with our names can still end."""
    lab = new_lab()
    lab.stock().enqueue_trial({}, user_attrs={"worker": "me", "note": "keep"})
    claims = lab.claim(1)
    lab.assign(claims)
    assert lab.end(claims) == frozenset()
    expected = {"verdict": "healthy", "epochs": 2, "worker": lab.worker, "note": "keep"}
    assert lab.stock().trials[0].user_attrs == expected


def test_a_thousand_trials_read_correctly(new_lab: Labs) -> None:
    """A long study comes back whole and by number, ours and in Optuna's eyes."""
    lab = new_lab(trials=1000)
    while claims := lab.claim(200):
        lab.assign(claims)
        for_each = [
            update(c, reports={e: c.number + e / 8 for e in range(4)}, value=c.number) for c in claims
        ]
        lab.store.trials.record(lab.study, for_each)
    trials = lab.store.trials.all(lab.study)
    assert [trial.number for trial in trials] == list(range(1000))
    assert [trial.params for trial in trials] == [lab.params(number) for number in range(1000)]
    assert [trial.value for trial in trials] == [float(number) for number in range(1000)]
    assert all(trial.curve == {e: trial.number + e / 8 for e in range(4)} for trial in trials)
    progress = lab.store.studies.progress(lab.study)
    assert (progress.is_done, progress.epochs) == (True, 4000)
    assert progress.best is not None
    assert progress.best.number == 999
    theirs = lab.stock().get_trials(deepcopy=False)
    assert [(t.number, t.params, t.value) for t in theirs] == [(t.number, t.params, t.value) for t in trials]


def test_the_best_trial_is_the_first_of_equals_and_finite(new_lab: Labs) -> None:
    """Infinite values and pruned trials are never the best; of equals it is the lower number."""
    lab = new_lab()
    lab.finish(1, value=math.inf)
    lab.finish(1, state=TrialState.PRUNED, value=0.9)
    assert lab.store.studies.progress(lab.study).best is None
    for value in (0.25, 0.75, 0.75):
        lab.finish(1, value=value)
    best = lab.store.studies.progress(lab.study).best
    assert best is not None
    assert best.number == 3


def test_the_best_loss_is_the_lowest(new_lab: Labs) -> None:
    """A study whose metric is a loss is minimized, in our eyes and in Optuna's."""
    lab = new_lab(metric="validation_loss")
    for value in (0.25, 0.75, -math.inf):
        lab.finish(1, value=value)
    best = lab.store.studies.progress(lab.study).best
    assert best is not None
    assert (best.number, lab.study.maximize) == (0, False)
    stock = lab.stock()
    assert stock.direction is optuna.study.StudyDirection.MINIMIZE
    assert stock.metric_names == ["validation_loss"]


def test_series_come_back_as_float32(new_lab: Labs) -> None:
    """Per-epoch series keep their names, their order and float32 numbers; trials without one are left out."""
    lab = new_lab()
    series = {"training_loss": [2.5, math.inf, math.nan], "dead_share": [0.0, 0.1, 1.0]}
    lab.finish(2, series=series)
    lab.claim(1)
    read = lab.store.trials.series(lab.study, [1, 2, 99])
    assert list(read) == [1]
    stored = read[1]
    assert stored is not None
    assert list(stored) == list(series)
    single = [struct.unpack("<f", struct.pack("<f", number))[0] for number in series["dead_share"]]
    assert stored["dead_share"] == single
    assert repr(stored["training_loss"]) == "[2.5, inf, nan]"


def test_an_end_that_optuna_has_no_place_for_is_a_bug(new_lab: Labs) -> None:
    """Outcomes that no database can hold are refused before anything is written."""
    lab = new_lab()
    (claim,) = lab.claim(1)
    for outcome, message in (
        ({"state": TrialState.RUNNING}, r"^trial 0: an outcome must be final \(got running\)$"),
        ({"value": None}, r"^trial 0: a complete trial must have a value \(got None\)$"),
        ({"value": math.nan}, r"^trial 0: a value must be a number or None \(got nan\)$"),
    ):
        with pytest.raises(ValueError, match=message):
            lab.end([claim], **outcome)
    with pytest.raises(ValueError, match=r"^momentum: not a searched parameter \(got 0\.5\)$"):
        lab.store.trials.assign(lab.study, [Assignment(claim=claim, params={"momentum": 0.5})])
    (trial,) = lab.store.trials.all(lab.study)
    assert (trial.state, trial.params) == (TrialState.RUNNING, {})


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_reader_may_take_its_time(url: str) -> None:
    """PostgreSQL ends a worker that holds locks and does nothing, and leaves one alone that unpacks a long study."""
    engine = make_engine(parse_address(url))
    shown = text("SHOW idle_in_transaction_session_timeout")
    with read_transaction(engine) as connection:
        assert connection.execute(shown).scalar_one() == "15min"
    with write_transaction(engine, durable=True) as connection:
        assert connection.execute(shown).scalar_one() == "30s"
    engine.dispose()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_some_trials_are_read_as_all_are(new_lab: Labs, count: int) -> None:
    """Trials that are asked for by their ids are the same, however many they are."""
    lab = new_lab()
    lab.finish(6)
    _, mark = lab.store.trials.changes(lab.study, None)
    lab.finish(count)
    changed, _ = lab.store.trials.changes(lab.study, mark)
    assert changed == lab.store.trials.all(lab.study)[6:]
    assert len(changed) == count


def test_trials_of_a_deleted_study_are_an_error(new_lab: Labs) -> None:
    """No call mistakes the trials of a study that got the id for those of the one that was deleted."""
    lab = new_lab()
    lab.store.studies.delete(lab.study.name)
    new_lab().finish(1)
    for read in (
        lab.store.trials.all,
        lab.store.studies.progress,
        lambda study: lab.store.trials.changes(study, None),
    ):
        with pytest.raises(StudyNotFoundError, match=r"it was deleted: create it again$"):
            read(lab.study)
