"""How often what diagnosis suggests heals a run: `python -m tests.benchmarks.diagnosis.remedies`.

With `--steps 3` remedies are tried one after another, as `hpsearch diagnose --fix` does. `--sample 60` takes 60 of the
runs: one of each label in turn, in a fixed random order.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause
from hpsearch.workflows.healing import settings_words
from tests.benchmarks.diagnosis.bases import available
from tests.benchmarks.diagnosis.detectors import Call, Ours
from tests.benchmarks.diagnosis.heal import HEALED, base_gains, healed_of, healing_gain, healing_of
from tests.benchmarks.diagnosis.report import share
from tests.benchmarks.diagnosis.runs import Run
from tests.benchmarks.diagnosis.scoring import Share, counted, is_healthy
from tests.benchmarks.diagnosis.traces import load

UNTRIED: Final = frozenset({"training.epochs", "training.precision"})
"""What cannot be tried here: a run is judged by its end, which stopping early leaves out, and its data is float32."""


SAMPLE_SEED: Final = 20201129

BEYOND_SETTINGS: Final = (
    "labels_shuffled",
    "validation_shuffled",
    "whole_inputs",
    "rare_classes",
    "few_examples",
)
"""Faults of the data, which no setting heals: they need other examples, or more of them."""

DATA_CAUSES: Final = frozenset(
    {
        Cause.LABELS_UNRELATED,
        Cause.VAL_MISALIGNED,
        Cause.INPUT_DEGENERATE,
        Cause.COLLAPSED_OUTPUT,
        Cause.OVERFIT,
    }
)
"""What such a run may be called: the last is what shuffled labels look like to a network that learns by heart."""


def main() -> None:
    """Train every ill run again with the values that its finding suggests, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.diagnosis.remedies", description=__doc__
    )
    parser.add_argument("--steps", type=int, default=1, help="remedies one after another (default 1)")
    parser.add_argument("--sample", type=int, help="only so many runs, of each label in turn (default all)")
    arguments = parser.parse_args()
    corpus = load()
    # Quotas left some bases without healthy runs of their own, by which to tell what is healed.
    sound = {run.base for run in corpus if run.injection == "none"}
    here = {base.name for base in available()} & sound
    runs = [run for run in corpus if not is_healthy(run) and run.base in here]
    if arguments.sample is not None:
        runs = in_turn(runs)[: arguments.sample]
    if arguments.steps > 1:
        for line in step_lines(corpus, runs, most=arguments.steps):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        return
    calls = [Ours().call(run) for run in runs]
    for line in lines(corpus, runs, calls):
        sys.stdout.write(f"{line}\n")


def in_turn(runs: Sequence[Run]) -> list[Run]:
    """Return the runs in a fixed random order, one of each first label after the other."""
    order = random.Random(SAMPLE_SEED).sample(range(len(runs)), len(runs))
    counts: Counter[Cause] = Counter()
    turns = {}
    for i in order:
        turns[i] = counts[runs[i].labels[0]]
        counts[runs[i].labels[0]] += 1
    return [runs[i] for i in sorted(order, key=turns.__getitem__)]


def lines(corpus: Sequence[Run], runs: Sequence[Run], calls: Sequence[Call]) -> Iterator[str]:
    """Yield the table: by the cause that was called, how many runs got a value to try, and how many that healed."""
    values = {id(run): _values(call) for run, call in zip(runs, calls, strict=True)}
    healed = healed_of(runs, lambda run: values[id(run)], corpus=corpus)
    tried: dict[Cause, list[tuple[bool, bool]]] = {}
    for run, call, is_healed in zip(runs, calls, healed, strict=True):
        if values[id(run)]:
            tried.setdefault(counted(call.cause), []).append((run.is_held_out, is_healed))
    yield "| cause called | healed, held-out families | healed, tuning families |"
    yield "| --- | ---: | ---: |"
    for cause in (cause for cause in Cause if cause in tried):
        yield _row(str(cause), tried[cause])
    everything = [pair for pairs in tried.values() for pair in pairs]
    yield _row("all", everything)
    yield ""
    yield f"{len(everything)} of {len(runs)} ill runs were given a value to try."


def step_lines(corpus: Sequence[Run], runs: Sequence[Run], *, most: int) -> Iterator[str]:
    """Yield the table: by the cause of the first diagnosis, how many runs healed within `most` remedies.

    Runs whose data no setting heals are counted below it: those in which a fault of the data is named at last.
    """
    standard = base_gains(corpus)
    healed: dict[Cause, list[tuple[bool, bool]]] = {}
    named: list[bool] = []
    for run in runs:
        healing = healing_of(run, most=most)
        cause = healing.first.verdict.cause
        if healing.first.verdict.cause is Cause.HEALTHY:
            continue
        if any(fault in run.injection for fault in BEYOND_SETTINGS):
            named.append(healing.last.verdict.cause in DATA_CAUSES)
            continue
        gained = healing_gain(healing, run)
        is_healed = gained >= HEALED * standard[run.base]
        healed.setdefault(counted(cause), []).append((run.is_held_out, is_healed))
        if not is_healed:
            steps = "; ".join(settings_words(step.settings) + " " * step.is_kept for step in healing.steps)
            sys.stderr.write(
                f"{cause} -> {healing.last.verdict.cause}: {run.base} {run.injection} {run.severity:g}: {steps}: "
                f"{gained:.2f} of {standard[run.base]:.2f}\n"
            )
    yield f"| first diagnosis | healed within {most}, held-out families | healed within {most}, tuning families |"
    yield "| --- | ---: | ---: |"
    for cause in (cause for cause in Cause if cause in healed):
        yield _row(str(cause), healed[cause])
    yield _row("all", [pair for pairs in healed.values() for pair in pairs])
    yield ""
    yield (
        f"Of {len(named)} ill runs whose data no setting heals, {sum(named)} end with a verdict on the data or the fit."
    )


def _values(call: Call) -> Mapping[str, ParameterValue]:
    return {} if UNTRIED & call.suggested.keys() else call.suggested


def _row(name: str, pairs: Sequence[tuple[bool, bool]]) -> str:
    """Return a line of the table out of (is held out, is healed)."""
    sides = ([healed for held_out, healed in pairs if held_out is side] for side in (True, False))
    cells = (share(Share(hits=sum(own), total=len(own))) if own else "" for own in sides)
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
