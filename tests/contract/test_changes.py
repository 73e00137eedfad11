"""Changes: increments from which a reader keeps an exact picture of a study."""

import random
from collections.abc import Callable

import optuna
import pytest
from sqlalchemy import event

from hpsearch.storage.records import Update
from hpsearch.trials import Trial, TrialState
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]


def test_changes_are_what_is_new_or_different(new_lab: Labs) -> None:
    """Each event of a trial's life appears in the next increment, once."""
    lab = new_lab()
    changed, mark = lab.store.trials.changes(lab.study, None)
    assert changed == []
    first, second = lab.claim(2)
    events: list[tuple[Callable[[], object], list[int]]] = [
        (lambda: None, [0, 1]),
        (lambda: lab.assign([first]), [0]),
        (
            lambda: lab.store.trials.record(
                lab.study, [Update(claim=second, reports={0: 0.5}, epochs=1, steps=9)]
            ),
            [1],
        ),
        (lambda: lab.renew(600.0), []),
        (lambda: lab.end([first]), [0]),
        (lambda: lab.end([first]), []),
        (
            lambda: lab.store.queue.release(
                lab.study, worker=lab.worker, numbers=None, why="bye", crashed=False
            ),
            [1],
        ),
        (lambda: lab.finish(2), [1, 2]),
        (lambda: None, []),
    ]
    for act, numbers in events:
        act()
        changed, mark = lab.store.trials.changes(lab.study, mark)
        assert [trial.number for trial in changed] == numbers
        everything = {trial.number: trial for trial in lab.store.trials.all(lab.study)}
        assert changed == [everything[number] for number in numbers]


def test_changes_of_other_clients_appear_too(new_lab: Labs) -> None:
    """Every change by a stock client (enqueue, ask, suggest, report, tell) appears in increments, each once."""
    lab = new_lab()
    lab.finish(1)
    stock = lab.stock()
    _, mark = lab.store.trials.changes(lab.study, None)
    distributions = stock.trials[0].distributions
    choices = distributions["model.activation"]
    assert isinstance(choices, optuna.distributions.CategoricalDistribution)
    asked: list[optuna.Trial] = []
    acts: list[Callable[[], object]] = [
        lambda: stock.enqueue_trial({"learning_rate": 0.5}),
        lambda: asked.append(stock.ask()),
        lambda: asked[0].suggest_categorical("model.activation", choices.choices),
        lambda: asked[0].report(float("nan"), 0),
        lambda: stock.tell(asked[0], 0.5),
    ]
    for act in acts:
        act()
        changed, mark = lab.store.trials.changes(lab.study, mark)
        assert [trial.number for trial in changed] == [1]
        again, mark = lab.store.trials.changes(lab.study, mark)
        assert again == []
    (trial,) = changed
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)


def test_a_random_history_read_in_increments_is_the_whole(new_lab: Labs) -> None:
    """A picture kept up by increments equals what is read at once, after any history."""
    lab = new_lab(trials=200)
    rng = random.Random(20170523)
    picture: dict[int, Trial] = {}
    mark = None
    for _ in range(60):
        claims = lab.claim(
            rng.randint(0, 3), worker=f"w{rng.randint(0, 2)}", lease_s=rng.choice([-1.0, 600.0])
        )
        lab.assign([claim for claim in claims if rng.random() < 0.75])
        lab.end([claim for claim in claims if rng.random() < 0.5])
        if rng.random() < 0.2:
            lab.store.queue.release(lab.study, worker="w1", numbers=None, why="x", crashed=rng.random() < 0.5)
        if rng.random() < 0.5:
            changed, mark = lab.store.trials.changes(lab.study, mark)
            picture |= {trial.number: trial for trial in changed}
    lab.claim(2)
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="x", crashed=False)
    changed, mark = lab.store.trials.changes(lab.study, mark)
    picture |= {trial.number: trial for trial in changed}
    assert [picture[number] for number in sorted(picture)] == lab.store.trials.all(lab.study)
    states = {trial.state for trial in picture.values()}
    assert states >= {TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING}


@pytest.mark.parametrize("finished", [10, 600])
def test_an_increment_without_changes_is_two_small_queries(new_lab: Labs, finished: int) -> None:
    """For a study of any length, a look without news reads no trial."""
    lab = new_lab(trials=1000)
    lab.finish(finished)
    lab.claim(3)
    _, mark = lab.store.trials.changes(lab.study, None)
    statements: list[str] = []

    def note(*execution: object) -> None:
        statements.append(str(execution[2]))

    event.listen(lab.store._transactions.engine, "before_cursor_execute", note)
    changed, _ = lab.store.trials.changes(lab.study, mark)
    event.remove(lab.store._transactions.engine, "before_cursor_execute", note)
    assert changed == []
    assert len([statement for statement in statements if "SELECT" in statement]) == 2
