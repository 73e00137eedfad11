"""A study that looks like a real one and contains every fate, made from a fixed seed without any training."""

import base64
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.storage.records import Progress, StoredStudy, Tally
from hpsearch.study.spec import Choices, DataSpec, Dimension, Range, StudySpec
from hpsearch.telemetry import Series
from hpsearch.trials import Fate, ParameterValue, Trial, TrialState, best_trials, ledger_key, ledger_of
from hpsearch.verdicts import Cause, Finding

CREATED = datetime(2026, 7, 26, 13, 58, 7, tzinfo=UTC)
TAKEN = datetime(2026, 7, 26, 14, 2, 31, tzinfo=UTC)

SPEC = StudySpec(
    name="digits",
    data=DataSpec(source="digits", task="classification"),
    trials=120,
    seed=20170523,
    metric="validation_accuracy",
)

REMEDIES = {
    Cause.DIVERGED_LR: "Lower the learning rate to a tenth, or add batch normalization.",
    Cause.DEAD_RELU_TOTAL: "Lower the learning rate, or use leaky_relu or elu, which cannot die.",
    Cause.EXPLODING_GRAD: "Clip the gradient, or lower the learning rate.",
    Cause.LR_TOO_LOW: "Raise the learning rate: at this one the budget of epochs ends before the loss has fallen.",
    Cause.WD_DOMINATES: "Lower the weight decay: it outweighs the gradient of the data.",
    Cause.OUTRANKED: "Nothing is wrong with it: others were better after as many epochs.",
    Cause.HEALTHY: "Nothing to change.",
    Cause.EARLY_STOPPED: "Nothing is wrong with it: it did not improve any more.",
    Cause.CODE_ERROR: "Read the worker's log: this is a fault of the program.",
    Cause.WORKER_LOST: "Look at the machine: three workers vanished with this trial.",
}


def finding(cause: Cause, *, first_step: int = 0, evidence: Mapping[str, float] | None = None) -> Finding:
    """Return a finding with the cause's remedy."""
    return Finding(
        cause=cause, confidence=0.9, first_step=first_step, evidence=evidence or {}, remedy=REMEDIES[cause]
    )


def with_early_stop(snapshot: Snapshot) -> Snapshot:
    """Return the study with its last complete trial ended by `trial_epochs_without_improvement`."""
    place = max(i for i, trial in enumerate(snapshot.trials) if trial.fate is Fate.COMPLETE)
    stopped = replace(snapshot.trials[place], finding=finding(Cause.EARLY_STOPPED))
    return replace(snapshot, trials=(*snapshot.trials[:place], stopped, *snapshot.trials[place + 1 :]))


def drawings_of(page: str) -> str:
    """Return the drawings of a self-contained page, which has them compressed, as JSON."""
    found = re.search(r'<script type="text/plain" id="report-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return zlib.decompress(base64.b64decode(found[1], validate=True)).decode()


def study_of(spec: StudySpec) -> StoredStudy:
    """Return a stored study of that specification."""
    return StoredStudy(
        key="k1",
        study_id=1,
        spec=spec,
        fingerprint="sha256:5f2c8e1d90aa77b3",
        version="0.1.0",
        created=CREATED,
    )


def progress_of(spec: StudySpec, trials: Sequence[Trial], *, stopped: str | None = None) -> Progress:
    """Return the progress that the database would report for these trials."""
    states = Counter(trial.state for trial in trials)
    fates = {
        fate: Tally(
            trials=sum(trial.fate is fate for trial in trials),
            epochs=sum(trial.epochs for trial in trials if trial.fate is fate),
        )
        for fate in {trial.fate for trial in trials}
    }
    best = best_trials(trials, maximize=spec.metric == "validation_accuracy", count=1)
    ledger = ledger_of((ledger_key(trial.state, trial.verdict), trial.epochs) for trial in trials)
    return Progress(
        name=spec.name,
        budget=spec.trials,
        complete=states[TrialState.COMPLETE],
        pruned=states[TrialState.PRUNED],
        failed=states[TrialState.FAILED],
        running=states[TrialState.RUNNING],
        waiting=states[TrialState.WAITING],
        fates=fates,
        ledger=ledger,
        epochs=sum(ledger.values()),
        best=best[0] if best else None,
        stopped=stopped,
    )


def snapshot_of(
    trials: Sequence[Trial],
    *,
    spec: StudySpec = SPEC,
    series: Mapping[int, Series] | None = None,
    stopped: str | None = None,
) -> Snapshot:
    """Return a snapshot of these trials."""
    return Snapshot(
        study=study_of(spec),
        progress=progress_of(spec, trials, stopped=stopped),
        trials=trials,
        series=series or {},
        taken=TAKEN,
    )


def synthetic(count: int = 120, *, seed: int = 7, spec: StudySpec = SPEC) -> Snapshot:
    """Return a study of `count` trials; the last nine are crashed, lost, running and waiting ones."""
    generator = np.random.default_rng(seed)
    trials: list[Trial] = []
    series: dict[int, Series] = {}
    for number in range(count - 9):
        trial, recorded = _ended(number, generator, spec)
        trials.append(trial)
        series[number] = recorded
    trials += _unfinished(count - 9, generator, spec)
    return snapshot_of(trials, spec=replace(spec, trials=count), series=series)


def _parameters(generator: np.random.Generator) -> dict[str, ParameterValue]:
    """Return parameters like those of a sampler that learns: half of them near the good learning rates."""
    near = min(generator.normal(-0.8, 0.5), 0.0)
    rate = near if generator.uniform() < 0.5 else generator.uniform(-6, 0)
    return {
        "learning_rate": float(10**rate),
        "weight_decay": float(10 ** generator.uniform(-8, -1)),
    }


def _ended(number: int, generator: np.random.Generator, spec: StudySpec) -> tuple[Trial, Series]:
    params = _parameters(generator)
    rate, decay = math.log10(float(params["learning_rate"])), math.log10(float(params["weight_decay"]))
    noise = float(generator.normal())
    epochs = spec.training.epochs
    # Accuracy has a ridge near learning rate 0.1 and falls where weight decay outweighs the gradient.
    error = 10 ** (-2.0 + 0.55 * abs(rate + 0.8) + 0.5 * max(0.0, decay + 2.5) + 0.06 * noise)
    final = 1 - min(error, 0.9)
    if rate > -0.3 and noise > -0.9:
        cause, length, final = Cause.DIVERGED_LR, 1 + number % 4, math.nan
    elif rate > -0.8 and noise > 0.6:
        cause, length, final = Cause.DEAD_RELU_TOTAL, 2 + number % 3, 0.1
    elif rate < -4.6:
        cause, length = Cause.LR_TOO_LOW, 3
    elif decay > -1.6:
        cause, length = Cause.WD_DOMINATES, 5
    elif final < 0.93 or noise < -0.2:
        cause, length = Cause.OUTRANKED, 3 + number % 7
    else:
        cause, length = Cause.HEALTHY, epochs
    return _trial(number, params, cause, _recorded(final, length, epochs, noise)), _recorded(
        final, length, epochs, noise
    )


def _recorded(final: float, length: int, epochs: int, noise: float) -> Series:
    """Return `length` epochs of curves on their way to `final` at the end of `epochs`."""
    reached = 0.95 if math.isnan(final) else final
    accuracy = [
        0.1 + (reached - 0.1) * (1 - math.exp(-4 * (i + 1) / epochs * (1.5 + 0.2 * noise)))
        for i in range(length)
    ]
    training = [max(2.4 * (1 - value) ** 1.2, 1e-4) for value in accuracy]
    validation = [1.1 * value for value in training]
    if math.isnan(final):
        accuracy[-1] = 0.098
        training = [2.3 * 10 ** (1.2 * i) for i in range(length - 1)] + [math.nan]
        validation = [*training[:-1], math.inf]
    return {
        "training_loss": [float(f"{v:.6g}") for v in training],
        "validation_loss": validation,
        "validation_accuracy": [round(v * 360) / 360 for v in accuracy],
        **_health(length, noise, is_dead=final == 0.1, is_diverged=math.isnan(final)),
    }


def _health(length: int, noise: float, *, is_dead: bool, is_diverged: bool) -> Series:
    """Return the series of the network's health: units die one epoch after the other, numbers overflow."""
    ages = range(1, length + 1)
    share = 0.08 + 0.02 * abs(noise)
    dead = [age / length if is_dead else min(share * age**0.3, 0.6) for age in ages]
    gradient = [0.0 if is_dead and age == length else 0.9 * age**-0.7 for age in ages]
    weight = [9.0 + 0.2 * age for age in ages]
    spread = [2.0 + 1.1 * age**0.5 for age in ages]
    if is_diverged:
        gradient = [0.9 * 1e4**age for age in ages]
        weight = [*(9.0 * 1e3**age for age in range(1, length)), math.inf]
        spread = [*(1e5**age for age in range(1, length)), math.nan]
    return {
        "dead_share": dead,
        "gradient_norm": gradient,
        "weight_norm": weight,
        "logit_max": [1.5 * value for value in spread],
        "output_range": spread,
    }


def _trial(number: int, params: Mapping[str, ParameterValue], cause: Cause, recorded: Series) -> Trial:
    curve = dict(enumerate(recorded["validation_accuracy"]))
    if cause is Cause.DIVERGED_LR:
        curve[max(curve)] = math.nan
    last = curve[max(curve)]
    evidence = {
        Cause.DIVERGED_LR: {"logit_max": 3.1e6 + number, "loss": math.inf},
        Cause.DEAD_RELU_TOTAL: {"dead_share": 1.0, "gradient_norm": 0.0},
        Cause.LR_TOO_LOW: {"predicted_decrease": 1.2e-6},
        Cause.WD_DOMINATES: {"decay_over_gradient": 4.2},
    }
    started = CREATED + timedelta(seconds=1 + 1.5 * (number // 2))
    return Trial(
        number=number,
        state=TrialState.COMPLETE if cause is Cause.HEALTHY else TrialState.PRUNED,
        params=params,
        value=None if math.isnan(last) else last,
        curve=curve,
        finding=finding(cause, first_step=15 * (1 + number % 9), evidence=evidence.get(cause)),
        epochs=len(curve),
        steps=15 * len(curve),
        worker=f"worker-{number % 2}",
        attempts=1,
        started=started,
        finished=started + timedelta(seconds=0.1 * len(curve)),
    )


def _unfinished(first: int, generator: np.random.Generator, spec: StudySpec) -> list[Trial]:
    """Return two crashed, one lost, three running and three waiting trials; two of these have no parameters."""
    crashed = [
        Trial(
            number=first + i,
            state=TrialState.FAILED,
            params=_parameters(generator),
            finding=finding(Cause.CODE_ERROR),
            epochs=i,
            attempts=1,
            started=CREATED,
            finished=CREATED + timedelta(seconds=60 + i),
        )
        for i in range(2)
    ]
    lost = Trial(
        number=first + 2,
        state=TrialState.FAILED,
        params=_parameters(generator),
        finding=finding(Cause.WORKER_LOST),
        epochs=6,
        attempts=3,
        started=CREATED,
        finished=CREATED + timedelta(seconds=90),
    )
    running = [
        Trial(
            number=first + 3 + i,
            state=TrialState.RUNNING,
            params=_parameters(generator),
            curve={epoch: 0.5 + 0.1 * epoch for epoch in range(i * 2)},
            epochs=1 + i * 2,
            attempts=1,
            started=CREATED + timedelta(seconds=200),
        )
        for i in range(3)
    ]
    waiting = [
        Trial(number=first + 6 + i, state=TrialState.WAITING, params=_parameters(generator) if i == 0 else {})
        for i in range(3)
    ]
    return [*crashed, lost, *running, *waiting]


def empty(spec: StudySpec = SPEC) -> Snapshot:
    """Return a study without any work done."""
    return snapshot_of([], spec=spec)


def only_deaths() -> Snapshot:
    """Return the trials of `synthetic` that a diagnosis stopped, and no others."""
    whole = synthetic()
    dead = [trial for trial in whole.trials if trial.fate in (Fate.DIVERGED, Fate.DYING, Fate.TOO_SLOW)]
    return snapshot_of(dead, series=whole.series)


def searching(*search: Dimension, count: int = 60) -> Snapshot:
    """Return a study over other dimensions: each trial's values are spread over them by its number."""
    whole = synthetic(count)
    spec = replace(whole.study.spec, search=search)
    trials = [
        replace(trial, params={d.name: _spread(d, trial.number * (i + 1)) for i, d in enumerate(search)})
        for trial in whole.trials
    ]
    return snapshot_of(trials, spec=spec, series=whole.series)


def regression() -> Snapshot:
    """Return a study whose metric is the validation loss, one of whose values is infinite and one huge."""
    whole = synthetic(60)
    spec = replace(whole.study.spec, name="diabetes", metric="validation_loss")
    trials = []
    for trial in whole.trials:
        losses = whole.series.get(trial.number, {}).get("validation_loss", ())
        value = losses[-1] if losses else None
        curve = dict(enumerate(losses))
        trials.append(replace(trial, value=value, curve=curve))
    trials[0] = replace(trials[0], value=1e30, curve={0: 1e30})
    return snapshot_of(trials, spec=spec, series=whole.series)


MARKUP = "</script><script>document.title='run'</script><img src=x onerror=document.title='run'>&lt;b&gt;"


def hostile() -> Snapshot:
    """Return a study whose every text is markup: name, data, choices, worker, remedy and evidence."""
    spec = replace(SPEC, name=MARKUP, data=replace(SPEC.data, source=MARKUP))
    search = (Choices(name="model.activation", choices=(MARKUP, "relu")), SPEC.search[0])
    whole = searching(*search, count=40)
    trials = [
        replace(
            trial,
            worker=MARKUP,
            finding=None
            if trial.finding is None
            else replace(trial.finding, remedy=MARKUP, evidence={MARKUP: 1.0}),
        )
        for trial in whole.trials
    ]
    stored = replace(study_of(replace(spec, search=search)), fingerprint=MARKUP)
    return replace(snapshot_of(trials, spec=stored.spec, series=whole.series, stopped=MARKUP), study=stored)


def _spread(dimension: Dimension, number: int) -> ParameterValue:
    """Return the `number`-th of the values that fill a dimension evenly."""
    share = number * math.sqrt(2) % 1
    if isinstance(dimension, Choices):
        return dimension.choices[int(share * len(dimension.choices))]
    if dimension.log:
        return float(dimension.low * (dimension.high / dimension.low) ** share)
    value = dimension.low + share * (dimension.high - dimension.low)
    return int(value) if dimension.integer else float(value)


SPECIAL: Mapping[str, Callable[[], Snapshot]] = {
    "empty": empty,
    "only deaths": only_deaths,
    "no search": searching,
    "one dimension": lambda: searching(SPEC.search[0]),
    "no learning rate": lambda: searching(
        Choices(name="model.activation", choices=("relu", "elu")),
        Range(name="model.dropout", low=0.0, high=0.5),
    ),
    "categories": lambda: searching(
        Choices(name="model.hidden", choices=("[64]", "[64, 32]")),
        Choices(name="model.batch_norm", choices=(True, False)),
    ),
}
"""Studies that a report must describe honestly."""
