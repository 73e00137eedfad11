"""Speed next to Optuna and Ray Tune: `python -m tests.benchmarks [--quick] [--out FILE]`.

Prints a page of Markdown as it measures, and stores it with `--out FILE.json`: the numbers in that file, the page next
to it in `FILE.md`. Peers run on the same data, space, budget and number of epochs, in turn with hpsearch.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.benchmarks import comparison, engine
from tests.benchmarks.diagnosis.data_sets import has_mnist
from tests.benchmarks.peers.ray_environment import install_ray, ray_python

PARTS: Final = ("start-up", "digits", "database", "mnist", "engine", "others")
QUICK: Final = ("start-up", "digits", "database", "engine")

ENGINE_ROWS: Final = (1, 16, 32)

OTHERS: Final[Sequence[Sequence[str]]] = (
    ("estimators", "--seeds", "3"),
    ("storage", "--quick", "--only", "costs", "--only", "search"),
    ("searches", "random", "no pruning", "asha, 2", "--seeds", "10"),
)
"""Benchmarks of their own, whose pages come last, with their arguments."""


class Page:
    """The page that is printed while it grows, and the numbers that are stored next to it."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self._text = ""
        self.numbers: dict[str, Any] = {}

    def say(self, text: str = "") -> None:
        """Add a line, or several, to the page, and store everything so far."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        self._text += f"{text}\n"
        if self._out is not None:
            self._out.with_suffix(".md").write_text(self._text, encoding="utf-8")
            self._out.write_text(json.dumps(self.numbers, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, str | int | float]:
    """Return the date, the machine and the versions."""
    packages = ("hpsearch", "numpy", "optuna", "torch", "scikit-learn")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
    }


def _processor() -> str:
    """Return the processor's name, or its architecture if the system does not have it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def start_up(page: Page, folder: Path, repeats: int) -> None:
    """Measure `study run` of two trials, and print the fastest."""
    found = [
        comparison.start_up(comparison.DIGITS, folder / f"start-up-{repeat}") for repeat in range(repeats)
    ]
    best = min(found, key=lambda one: one.timing.cpu_s)
    imports_s = min(one.imports_cpu_s for one in found)
    page.numbers["start-up"] = [asdict(one) for one in found]
    page.say("## Start-up\n")
    page.say("| `study run`, digits, 2 trials | s | CPU s | imports, CPU s | ratio | report, MB |")
    page.say("| --- | --- | --- | --- | --- | --- |")
    page.say(
        f"| best of {repeats} | {best.timing.wall_s:.2f} | {best.timing.cpu_s:.2f} | {imports_s:.2f} "
        f"| {best.timing.cpu_s / imports_s:.2f} | {best.report_bytes / 1e6:.2f} |\n"
    )


def searches(page: Page, folder: Path, parts: Sequence[str], *, repeats: int, ray: str | None) -> None:
    """Run the searches of all programs in turn, and print their table."""
    plan = [
        (part, search, has_database)
        for part, search, has_database in (
            ("digits", comparison.DIGITS, False),
            ("database", comparison.DIGITS, True),
            ("mnist", comparison.MNIST, False),
        )
        if part in parts
    ]
    found: list[comparison.Measured] = []
    failures: list[str] = []
    for seed in range(repeats):
        for part, search, has_database in plan:
            if part == "mnist" and not has_mnist():
                failures.append("mnist: set HPSEARCH_MNIST to the folder with its files")
                continue
            # Ray Tune once, without a database: it takes longer than all others together, and has none of its own.
            with_ray = ray if seed == 0 and not has_database else None
            for each in comparison.compare(
                search,
                seed=seed,
                folder=folder,
                chosen=comparison.programs(with_ray),
                has_database=has_database,
                note=failures.append,
            ):
                found.append(each)
                sys.stderr.write(
                    f"{search.title}, {each.storage}, {each.program}: {each.timing.wall_s:.1f} s\n"
                )
    goals = comparison.targets(found)
    page.numbers["searches"] = [each.record(goals[each.search.source, each.seed]) for each in found]
    page.numbers["failures"] = failures
    page.say(f"## Searches\n\n```text\n{comparison.COLUMNS}```\n")
    for line in comparison.table(found):
        page.say(line)
    if ray is None:
        page.say("\nRay Tune: not measured. Install it with `--install-ray DIR`.")
    for failure in dict.fromkeys(failures):
        page.say(f"\nNot measured: {failure}")
    page.say()


def engine_shares(page: Page, repeats: int) -> None:
    """Measure a cohort's step next to its matrix products."""
    cases, square = engine.measured_cases(repeats, ENGINE_ROWS)
    page.numbers["engine"] = list(engine.records(cases, max(square.rates)))
    page.say(f"## Training step\n\n{engine.page(cases, square, repeats)}")


def others(page: Page, environment: Mapping[str, str]) -> None:
    """Add the pages of benchmarks of their own."""
    for name, *arguments in OTHERS:
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
        text = done.stdout if done.returncode == 0 else f"{done.stdout}\n{done.stderr[-2000:]}"
        page.numbers[name] = text
        page.say(f"## {' '.join((name, *arguments))}\n\n```text\n{text.strip()}\n```\n")


def benchmark(
    page: Page, parts: Sequence[str], *, repeats: int, engine_repeats: int, ray: str | None
) -> None:
    """Measure the parts, in their order."""
    page.numbers["machine"] = machine()
    page.say("# Benchmarks\n")
    page.say(", ".join(f"{key} {value}" for key, value in machine().items()) + "\n")
    with TemporaryDirectory(prefix="hpsearch-benchmarks-") as name:
        folder = Path(name)
        if "start-up" in parts:
            start_up(page, folder, max(2, repeats))
        if {"digits", "database", "mnist"} & set(parts):
            searches(page, folder, parts, repeats=repeats, ray=ray)
    if "engine" in parts:
        engine_shares(page, engine_repeats)
    if "others" in parts:
        others(page, comparison.program_environment())
    page.numbers["load at the end"] = round(os.getloadavg()[0], 1)
    page.say(f"Load at the end: {page.numbers['load at the end']}.")


def requested_ray(options: argparse.Namespace) -> str | None:
    """Return Ray Tune's interpreter, or None if it is not requested or cannot be used; stderr gets the reason."""
    folder: Path | None = options.install_ray or options.ray
    if folder is None:
        return None
    problem = install_ray(folder) if options.install_ray else None
    python = ray_python(folder)
    if problem is None and python is not None:
        return str(python)
    sys.stderr.write(f"Ray Tune: {problem or f'no environment in {folder}: use --install-ray'}\n")
    return None


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    own = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own.add_argument("--quick", action="store_true", help="about 2 minutes on 2 cores: digits, few repeats")
    own.add_argument(
        "--out", type=Path, metavar="FILE.json", help="store the numbers, and the page as FILE.md"
    )
    own.add_argument("--only", nargs="+", choices=PARTS, help="these parts alone")
    own.add_argument("--repeats", type=int, help="seeds of each search (default 3, with --quick 2)")
    own.add_argument("--ray", type=Path, metavar="DIR", help="measure Ray Tune too, from this environment")
    own.add_argument("--install-ray", type=Path, metavar="DIR", help="make that environment first")
    return own


def main() -> None:
    """Measure what the command line asks for."""
    options = parser().parse_args()
    benchmark(
        Page(options.out),
        options.only or (QUICK if options.quick else PARTS),
        repeats=options.repeats or (2 if options.quick else 3),
        engine_repeats=3 if options.quick else 10,
        ray=requested_ray(options),
    )


if __name__ == "__main__":
    main()
