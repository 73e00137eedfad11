"""How well runs are judged, by hpsearch and by others: `python -m tests.benchmarks.diagnosis [--corpus FILE]`."""

import argparse
import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.diagnosis.contenders import baselines
from tests.benchmarks.diagnosis.detectors import Detector, Ours
from tests.benchmarks.diagnosis.report import comparison, confused, labels, per_cause, summary
from tests.benchmarks.diagnosis.runs import Run
from tests.benchmarks.diagnosis.scoring import Judged

CORPUS = "tests.benchmarks.diagnosis.traces"


def main() -> None:
    """Score everybody on the committed corpus and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--seconds", action="store_true", help="say on stderr how long each detector took")
    parser.add_argument("--corpus", type=Path, help="the file of labelled runs (default the committed one)")
    arguments = parser.parse_args()
    is_timed = arguments.seconds
    load = importlib.import_module(CORPUS).load
    runs: list[Run] = load() if arguments.corpus is None else load(arguments.corpus)
    detectors: list[Detector] = [Ours(), *baselines(runs)]
    judged = {}
    for detector in detectors:
        start = time.perf_counter()
        judged[detector.name] = detector, [(run, detector.call(run)) for run in runs]
        if is_timed:
            sys.stderr.write(f"{detector.name}: {time.perf_counter() - start:.2f} s\n")
    for line in page(judged):
        sys.stdout.write(f"{line}\n")


def page(judged: dict[str, tuple[Detector, list[Judged]]]) -> Iterator[str]:
    """Yield the lines of the report: held-out families first, then those that thresholds were tuned on."""
    for title, is_held_out in (("Held-out families", True), ("Families for tuning", False)):
        part = {
            name: (detector, [(run, call) for run, call in pairs if run.is_held_out is is_held_out])
            for name, (detector, pairs) in judged.items()
        }
        ours = part[Ours().name][1]
        if ours:
            yield from _section(title, ours)
            yield from comparison(part)
            yield ""


def _section(title: str, ours: Sequence[Judged]) -> Iterator[str]:
    yield from (f"### {title}", "", labels(ours), "")
    yield from summary(ours)
    yield ""
    yield from per_cause(ours)
    yield ""
    yield from confused(ours)
    yield ""


if __name__ == "__main__":
    main()
