"""Make the corpus anew: `python -m tests.benchmarks.diagnosis.generate [--share 0.1] [--out FILE]`.

`--base iris/12x3 --base votes --seed 20201129` makes runs of some bases with another seed.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from hpsearch.data.description import facts_of
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.training.examples import EpochOrders
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.bases import Base, available
from tests.benchmarks.diagnosis.injections import data_of, parts_of
from tests.benchmarks.diagnosis.labels import labels_of, standing_of
from tests.benchmarks.diagnosis.plans import Case, cases_of, rates_of, recipe_of
from tests.benchmarks.diagnosis.runs import Run
from tests.benchmarks.diagnosis.selection import selected
from tests.benchmarks.diagnosis.traces import CORPUS, save
from tests.benchmarks.diagnosis.training import Outcome, Recipe, train


def main() -> None:
    """Make the corpus, or a share of it, and say what is in it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.diagnosis.generate", description=__doc__
    )
    parser.add_argument("--share", type=float, default=1.0, help="the share of the bases (1)")
    parser.add_argument("--base", action="append", help="only bases whose names begin so; may be repeated")
    parser.add_argument("--seed", type=int, help="the seed of all these bases (default that of their side)")
    parser.add_argument("--out", type=Path, default=CORPUS, help="the file to write")
    arguments = parser.parse_args()
    names = tuple(arguments.base or ("",))
    bases = [replace(base, fresh_seed=arguments.seed) for base in available() if base.name.startswith(names)]
    chosen = bases[:: max(1, round(1 / arguments.share))]
    began = time.perf_counter()
    runs: list[Run] = []
    for i, base in enumerate(chosen):
        runs += runs_of(base)
        _say(f"{i + 1}/{len(chosen)} {base.name}: {len(runs)} runs, {time.perf_counter() - began:.0f} s")
    runs = selected(runs)
    save(runs, arguments.out)
    _say(summary(runs) + f"\n{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def summary(runs: Sequence[Run]) -> str:
    """Return how many runs there are of each first label, in tuning and held-out families."""
    counts = Counter((run.labels[0], run.is_held_out) for run in runs)
    lines = [
        f"{cause:20} {counts[cause, False]:5} {counts[cause, True]:5}"
        for cause in Cause
        if cause in {run.labels[0] for run in runs}
    ]
    healthy = sum(run.labels == (Cause.HEALTHY,) for run in runs)
    hard = sum(run.is_hard for run in runs)
    double = sum(len(run.labels) > 1 for run in runs)
    return "\n".join([*lines, f"{len(runs)} runs, {healthy} healthy ({hard} hard), {double} with two labels"])


def runs_of(base: Base) -> list[Run]:
    """Return the labelled runs of one base; none, and a line on stderr, where the base itself is not sound."""
    rates = rates_of(base)
    if rates is None:
        _say(f"{base.name}: learns at no rate")
        return []
    cases, outcomes = _trained(base, list(cases_of(base, rates)), rates.sound)
    standing = standing_of(base, [o for c, o in zip(cases, outcomes, strict=True) if c.injection == "none"])
    _say(
        f"{base.name}: rate {rates.sound:g} (best {rates.best:g}), limit {rates.limit:.3g} times that,"
        f" gain {standing.gain:.3f} +- {standing.deviation:.3f}, fit {standing.fit:.3f}"
    )
    if not standing.is_sound:
        _say(f"{base.name}: not sound {[round(g, 2) for g in standing.gains]}")
        return []
    groups: dict[tuple[str, float], list[Outcome]] = {}
    for case, outcome in zip(cases, outcomes, strict=True):
        groups.setdefault((case.injection, case.severity), []).append(outcome)
    runs = []
    for case, outcome in zip(cases, outcomes, strict=True):
        group = groups[case.injection, case.severity]
        labels = labels_of(case.injection, case.severity, outcome, group, standing)
        if labels is not None:
            runs.append(_run(base, case, outcome, labels, rates.best))
    return sorted(runs, key=lambda run: (run.injection, run.severity))


def _trained(base: Base, cases: Sequence[Case], rate: float) -> tuple[list[Case], list[Outcome]]:
    """Return the cases, those with the same data next to each other, and their outcomes."""
    ordered = sorted(cases, key=_data_key)
    outcomes: list[Outcome] = []
    for _, group in groupby(ordered, key=_data_key):
        members = list(group)
        data = data_of(base, members[0].injection, members[0].severity)
        outcomes += train([recipe_of(base, case, rate, data) for case in members])
    return ordered, outcomes


def _data_key(case: Case) -> str:
    """Cases with equal keys have equal data."""
    parts = parts_of(case.injection, case.severity)
    return repr([(injection.name, strength) for injection, strength in parts if injection.distorts])


def _run(base: Base, case: Case, outcome: Outcome, labels: tuple[Cause, ...], rate: float) -> Run:
    recipe = outcome.recipe
    per_epoch = -(-len(recipe.data.training.inputs) // recipe.configuration.training.batch_size)
    is_healthy = labels == (Cause.HEALTHY,)
    return Run(
        base=base.name,
        injection=case.injection,
        severity=case.severity,
        seed=case.number,
        family=base.family,
        is_held_out=base.is_held_out,
        is_hard=is_healthy and (base.is_hard or case.injection != "none"),
        labels=labels,
        zero_column_share=_zero_column_share(recipe),
        facts=TrialFacts(
            configuration=recipe.configuration,
            data=facts_of(recipe.data),
            steps_per_epoch=per_epoch,
        ),
        telemetry=outcome.telemetry,
        best_learning_rate=rate,
    )


def _zero_column_share(recipe: Recipe, *, minibatches: int = 10) -> float:
    """Return the mean share of inputs that are 0 for all examples of a minibatch, over the first of a run."""
    inputs = recipe.data.training.inputs
    size = recipe.configuration.training.batch_size
    order = EpochOrders(recipe.study_seed, len(inputs), order="reshuffle").order(0)
    batches = [order[start : start + size] for start in range(0, len(order), size)][:minibatches]
    return float(np.mean([(inputs[batch] == 0).all(axis=0).mean() for batch in batches]))


if __name__ == "__main__":
    main()
