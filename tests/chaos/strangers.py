"""Stock Optuna clients next to our workers: they ask, report, tell, enqueue, copy, rename, delete, and are killed.

`python -m tests.chaos.strangers URL KEY SEED` is one of them. `run` lets some loose on a ground with workers, kills
them again and again, and returns the broken laws at the end.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, final

import optuna
from optuna.trial import TrialState

from hpsearch.storage import schema
from hpsearch.trials import Trial
from tests.chaos import laws
from tests.chaos.crew import REPOSITORY, Crew, Job
from tests.chaos.ground import STUDY, Ground, Plan, Result, result_of
from tests.chaos.waiting import wait_until

PAUSE_S: Final = 0.2
"""Seconds between a stranger's deeds, so that workers also progress."""

FAILED_SPARED: Final = 1
"""Strangers fail no more trials than that: a tenth of failed ones stops a study, and rightly so."""

Deed: TypeAlias = Callable[[optuna.Study, random.Random], list[list[Any]] | None]
"""What a stranger does to the study once; returns what a copy shows as ended that took the study's place."""


def ask_and_tell(study: optuna.Study, chance: random.Random) -> None:
    """Run a trial of its own."""
    trial = study.ask()
    trial.report(chance.random(), 0)
    study.tell(trial, chance.random())


def ask_and_forget(study: optuna.Study, _chance: random.Random) -> None:
    """Leave a trial running, as a client does that is killed."""
    study.ask().set_user_attr("forgotten", 1)


def enqueue(study: optuna.Study, _chance: random.Random) -> None:
    """Let a trial wait."""
    study.enqueue_trial({"learning_rate": 0.01})


def scribble(study: optuna.Study, chance: random.Random) -> None:
    """Write into a trial that another client trains, or that waits."""
    if (trial_id := _unfinished(study, chance)) is not None:
        storage = study._storage
        storage.set_trial_intermediate_value(trial_id, 0, chance.random())
        storage.set_trial_user_attr(trial_id, "verdict", "none")
        storage.set_trial_system_attr(trial_id, "scribble", 1)


def end_anothers(study: optuna.Study, chance: random.Random) -> None:
    """End a trial that another client trains."""
    failed = len(study.get_trials(deepcopy=False, states=[TrialState.FAIL]))
    state = (
        TrialState.FAIL if failed < FAILED_SPARED else chance.choice([TrialState.COMPLETE, TrialState.PRUNED])
    )
    if (trial_id := _unfinished(study, chance, TrialState.RUNNING)) is not None:
        value = [chance.random()] if state is TrialState.COMPLETE else None
        study._storage.set_trial_state_values(trial_id, state, value)


def set_waiting(study: optuna.Study, chance: random.Random) -> None:
    """Take a trial from the worker that trains it."""
    if (trial_id := _unfinished(study, chance, TrialState.RUNNING)) is not None:
        study._storage.set_trial_state_values(trial_id, TrialState.WAITING)


def copy_for_nothing(study: optuna.Study, chance: random.Random) -> None:
    """Copy the study and delete the copy."""
    name = _copied(study, chance)
    optuna.delete_study(study_name=name, storage=study._storage)


def rename(study: optuna.Study, chance: random.Random) -> list[list[Any]]:
    """Copy the study and delete the original."""
    name = _copied(study, chance)
    copied = optuna.load_study(study_name=name, storage=study._storage)
    ended = [[t.number, t.state.name, t.value] for t in copied.trials if t.state.is_finished()]
    optuna.delete_study(study_name=study.study_name, storage=study._storage)
    return ended


DEEDS: Final[Mapping[Deed, int]] = {
    ask_and_tell: 2,
    ask_and_forget: 1,
    enqueue: 1,
    scribble: 6,
    end_anothers: 1,
    set_waiting: 2,
    copy_for_nothing: 1,
    rename: 2,
}
"""Deed -> how often it is done, compared to the others."""


def _unfinished(study: optuna.Study, chance: random.Random, *states: TrialState) -> int | None:
    wanted = states or (TrialState.RUNNING, TrialState.WAITING)
    found = study.get_trials(deepcopy=False, states=wanted)
    return chance.choice(found)._trial_id if found else None


def _copied(study: optuna.Study, chance: random.Random) -> str:
    name = f"{STUDY}-{chance.getrandbits(48):x}"
    storage = study._storage
    optuna.copy_study(
        from_study_name=study.study_name, from_storage=storage, to_storage=storage, to_study_name=name
    )
    return name


def main(url: str, key: str, seed: int) -> None:
    """Do one deed after the other to the study with our `key`, under any name, until we are killed."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    storage = optuna.storages.RDBStorage(url)
    chance = random.Random(seed)
    while True:
        with suppress(Exception):  # clients of one database collide, and continue
            named = [s for s in storage.get_all_studies() if s.user_attrs.get(schema.LINK_ATTRIBUTE) == key]
            study = optuna.load_study(study_name=named[0].study_name, storage=storage)
            (deed,) = chance.choices(list(DEEDS), list(DEEDS.values()))
            ended = deed(study, chance)
            sys.stdout.write(json.dumps({"deed": deed.__name__, "ended": ended or []}) + "\n")
            sys.stdout.flush()
        time.sleep(PAUSE_S * chance.uniform(0.5, 1.5))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """The numbers of strangers and workers, the duration, and the longest life of each stranger."""

    plan: Plan
    workers: int
    seed: int
    strangers: int = 1
    seconds: float = 10.0
    life_s: float = 4.0
    finish_s: float = 120.0


@final
class Strangers:
    """Keeps strangers at it, each killed after a while. In the end of the context none is left."""

    def __init__(self, visit: Visit, ground: Ground, folder: Path) -> None:
        self._visit = visit
        self._ground = ground
        self._folder = folder
        self._chance = random.Random(visit.seed)
        self._logs: list[Path] = []
        self._alive: list[tuple[subprocess.Popen[bytes], Path, float]] = []

    def __enter__(self) -> Self:
        self.renew()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def renew(self) -> None:
        """Kill strangers at the end of their lives, and replace them. A life begins with the first deed."""
        for process, log, end_s in self._alive:
            if time.monotonic() > end_s and log.stat().st_size:
                process.kill()
                process.wait()
        self._alive = [one for one in self._alive if one[0].poll() is None]
        while len(self._alive) < self._visit.strangers:
            log = self._folder / f"stranger-{len(self._logs)}.log"
            self._logs.append(log)
            end_s = time.monotonic() + self._visit.life_s * self._chance.uniform(0.6, 1.4)
            self._alive.append((self._start(log), log, end_s))

    def kill(self) -> None:
        """Kill them all."""
        for process, _, _ in self._alive:
            process.kill()
            process.wait()
        self._alive.clear()

    def deeds(self) -> Counter[str]:
        """Return each deed with its count."""
        return Counter(line["deed"] for line in self._lines())

    def ended(self) -> list[list[Any]]:
        """Return what copies showed as ended when they took the place of the original: number, state, value."""
        return [trial for line in self._lines() for trial in line.get("ended", ())]

    def _lines(self) -> Iterator[dict[str, Any]]:
        for log in self._logs:
            # A stranger may have been killed in the middle of its last line.
            yield from (json.loads(line) for line in log.read_text().splitlines() if line.endswith("}"))

    def _start(self, log: Path) -> subprocess.Popen[bytes]:
        seed = str(self._chance.getrandbits(30))
        command = [
            sys.executable,
            "-m",
            "tests.chaos.strangers",
            self._ground.url,
            self._ground.study.key,
            seed,
        ]
        with log.open("wb") as output:
            return subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.DEVNULL)


def run(
    visit: Visit, ground: Ground, folder: Path, expected: Sequence[Result]
) -> tuple[Counter[str], dict[str, list[str]]]:
    """Let strangers and workers loose on a ground.

    Return what strangers did how often, and law -> how it is broken when all work is done.
    """
    # Workers find the study by themselves, whatever it is called when they start.
    job = Job(url=ground.url, study=None, folder=folder, lease_s=2.0, module="tests.chaos.audited")
    with Strangers(visit, ground, folder) as strangers:
        wait_until(lambda: bool(strangers.deeds()), "strangers begin")
        with Crew(job, size=visit.workers) as crew:
            deadline = time.monotonic() + visit.seconds

            def are_through() -> bool:
                crew.fill()
                strangers.renew()
                return time.monotonic() > deadline and strangers.deeds()["rename"] > 0

            wait_until(are_through, "strangers rename", within_s=visit.seconds + visit.finish_s)
            strangers.kill()
            wait_until(lambda: _settle(ground, crew), "the study is done", within_s=visit.finish_s)
            crew.dismiss(within_s=visit.finish_s)
            faults = [f"{hand.name}: {hand.said[-1000:]}" for hand in crew.gone if hand.popen.returncode]
    ground.study = ground.store.studies.current(ground.study)
    broken = {"no worker ended by itself": faults}
    broken |= {name: list(law(ground, expected, strangers.ended())) for name, law in LAWS.items()}
    return strangers.deeds(), broken


def _settle(ground: Ground, crew: Crew) -> bool:
    """Take over what strangers left running; return whether the study is done."""
    crew.fill()
    study = ground.study = ground.store.studies.current(ground.study)
    progress = ground.store.studies.progress(study)
    assert progress.stopped is None, progress.stopped
    for trial in progress.foreign:
        ground.store.queue.retry(study, trial.number)
    return progress.is_done


Law: TypeAlias = Callable[[Ground, Sequence[Result], Sequence[list[Any]]], Iterator[str]]
"""Yields a line for each way in which the law is broken, given what an undisturbed worker found and strangers said."""


def _trials(ground: Ground) -> list[Trial]:
    return ground.store.trials.all(ground.study)


def budget_is_kept(ground: Ground, _expected: Sequence[Result], _said: Sequence[list[Any]]) -> Iterator[str]:
    """Yield unless the budget is spent, and our workers have finished no more than it."""
    finished = [trial for trial in _trials(ground) if trial.state.value in ("complete", "pruned")]
    ours = [trial for trial in finished if trial.finding is not None]
    if len(finished) < ground.plan.trials or len(ours) > ground.plan.trials:
        yield f"{ground.plan.trials} must have finished, or more (got {len(finished)}, {len(ours)} of them ours)"


def numbers_run(ground: Ground, _expected: Sequence[Result], _said: Sequence[list[Any]]) -> Iterator[str]:
    """Yield unless the numbers run from 0, each once."""
    numbers = [trial.number for trial in _trials(ground)]
    if numbers != list(range(len(numbers))):
        yield f"numbers must be 0 to {len(numbers) - 1}, each once (got {numbers})"


def nothing_is_lost(ground: Ground, _expected: Sequence[Result], said: Sequence[list[Any]]) -> Iterator[str]:
    """Yield for each trial that a copy showed as ended and that is another now."""
    storage = optuna.storages.RDBStorage(ground.url)
    now = {trial.number: trial for trial in storage.get_all_trials(ground.study.study_id)}
    storage.remove_session()
    storage.engine.dispose()
    for number, state, value in said:
        trial = now.get(number)
        if trial is None or (trial.state.name, trial.value) != (state, value):
            yield f"trial {number} must be {state} with {value} (got {trial})"


def ours_are_undisturbed(
    ground: Ground, expected: Sequence[Result], _said: Sequence[list[Any]]
) -> Iterator[str]:
    """Yield for each trial that a worker of ours ended with other bits than an undisturbed one, the curve aside."""
    trials = {trial.number: trial for trial in _trials(ground) if trial.finding is not None}
    series = ground.store.trials.series(ground.study, list(trials))
    for due in expected:
        if due.number not in trials:
            continue
        got = result_of(trials[due.number], series.get(due.number) or {})
        if got.params == due.params and replace(got, curve={}) != replace(due, curve={}):
            yield f"trial {due.number} must be {due} (got {got})"


def nothing_is_leased(
    ground: Ground, _expected: Sequence[Result], _said: Sequence[list[Any]]
) -> Iterator[str]:
    """Yield for each worker that still holds trials, and for running trials."""
    if running := [trial.number for trial in _trials(ground) if trial.state.value == "running"]:
        yield f"no trial must run (got {running})"


def ledger(ground: Ground, _expected: Sequence[Result], _said: Sequence[list[Any]]) -> Iterator[str]:
    """Yield unless all epochs and attempts are accounted for."""
    yield from laws.ledger_adds_up(ground, ())


LAWS: Final[Mapping[str, Law]] = {
    "our workers spend the budget, and no more": budget_is_kept,
    "numbers run from 0, each once": numbers_run,
    "what ended stays through every rename": nothing_is_lost,
    "what workers ended has the bits of an undisturbed run": ours_are_undisturbed,
    "nothing runs": nothing_is_leased,
    "the ledger adds up": ledger,
}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
