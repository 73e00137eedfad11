"""How often what diagnosis suggests heals a run: `python -m tests.benchmarks.diagnosis.remedies`."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.bases import available
from tests.benchmarks.diagnosis.detectors import Call, Ours
from tests.benchmarks.diagnosis.heal import healed_of
from tests.benchmarks.diagnosis.report import share
from tests.benchmarks.diagnosis.runs import Run
from tests.benchmarks.diagnosis.scoring import Share, counted, is_healthy
from tests.benchmarks.diagnosis.traces import load

UNTRIED: Final = frozenset({"training.epochs", "training.precision"})
"""What cannot be tried here: a run is judged by its end, which stopping early leaves out, and its data is float32."""


def main() -> None:
    """Train every ill run again with the values that its finding suggests, and print the table."""
    corpus = load()
    # Quotas left some bases without healthy runs of their own, by which to tell what is healed.
    sound = {run.base for run in corpus if run.injection == "none"}
    here = {base.name for base in available()} & sound
    runs = [run for run in corpus if not is_healthy(run) and run.base in here]
    calls = [Ours().call(run) for run in runs]
    for line in lines(corpus, runs, calls):
        sys.stdout.write(f"{line}\n")


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


def _values(call: Call) -> Mapping[str, ParameterValue]:
    return {} if UNTRIED & call.suggested.keys() else call.suggested


def _row(name: str, pairs: Sequence[tuple[bool, bool]]) -> str:
    """Return a line of the table out of (is held out, is healed)."""
    sides = ([healed for held_out, healed in pairs if held_out is side] for side in (True, False))
    cells = (share(Share(hits=sum(own), total=len(own))) if own else "" for own in sides)
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
