"""Whether a trial that is trained again has the numbers that are stored of it, to the last bit."""

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import hpsearch
from hpsearch.records import Series, Trial
from hpsearch.storage.records import StoredStudy
from hpsearch.training.recording import Recording
from hpsearch.training.series import series_of


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """One trial as the database holds it, with its series; empty where it has none."""

    study: StoredStudy
    trial: Trial
    series: Series


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The first stored number that came out otherwise: of `series`, after the epoch (from 0) of these steps."""

    series: str
    epoch: int
    first_step: int
    last_step: int
    stored: float
    replayed: float
    reasons: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What came of the comparison with what is stored: over so many epochs and numbers, and where they part."""

    epochs: int
    numbers: int
    difference: Difference | None


def check(stored: Stored, recording: Recording) -> Check:
    """Compare everything that is stored of a trial by epoch with its replay, bit for bit as it is stored.

    Reported values are stored in double precision and series in single. NaN equals NaN. Epochs that the replay has
    not trained are left out.
    """
    made = series_of(recording.telemetry, steps_per_epoch=recording.subject.steps_per_epoch)
    finished = len(recording.telemetry.epochs)
    compared = [
        (epoch, name, (value, made[name][epoch] if name in made else math.nan), is_single)
        for name, values, is_single in _stored_lines(stored)
        for epoch, value in values.items()
        if epoch < finished
    ]
    parted = [one for one in compared if not _is_same(*one[2], is_single=one[3])]
    first = min(parted, key=lambda one: one[0], default=None)
    steps = recording.subject.steps_per_epoch
    return Check(
        epochs=max((epoch + 1 for epoch, *_ in compared), default=0),
        numbers=len(compared),
        difference=None if first is None else _difference(*first[:3], stored=stored, steps_per_epoch=steps),
    )


def _stored_lines(stored: Stored) -> Iterator[tuple[str, Mapping[int, float], bool]]:
    """Yield everything stored by epoch: its name, the numbers, and whether they are in single precision."""
    if stored.trial.curve:
        yield stored.study.spec.metric, stored.trial.curve, False
    for name, values in stored.series.items():
        yield name, dict(enumerate(values)), True


def _is_same(stored: float, now: float, *, is_single: bool) -> bool:
    """Say whether a number is to the last bit the stored one; NaN equals NaN."""
    if math.isnan(stored) or math.isnan(now):
        return math.isnan(stored) and math.isnan(now)
    return stored == (array("f", [now])[0] if is_single else now)


def _difference(
    epoch: int, series: str, numbers: tuple[float, float], *, stored: Stored, steps_per_epoch: int
) -> Difference:
    return Difference(
        series=series,
        epoch=epoch,
        first_step=epoch * steps_per_epoch,
        last_step=(epoch + 1) * steps_per_epoch - 1,
        stored=numbers[0],
        replayed=numbers[1],
        reasons=tuple(_reasons(stored)),
    )


def _reasons(stored: Stored) -> Iterator[str]:
    """Yield what may have made the numbers of the stored trial others than those of its replay."""
    if stored.trial.worker is None:
        yield "another program than hpsearch trained it"
    else:
        yield f"the worker {stored.trial.worker} ran on another machine, or with another NumPy or BLAS"
    if stored.study.version != hpsearch.__version__:
        yield f"the study was made by hpsearch {stored.study.version}, and this is {hpsearch.__version__}"
