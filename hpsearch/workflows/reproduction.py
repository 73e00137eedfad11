"""Run the experiments of the source documents, and judge their claims."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from hpsearch.analysis.formats import format_duration
from hpsearch.data.mnist import is_available
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.report.file import check_report_path, write_page
from hpsearch.reproduction.catalogue import EXPERIMENTS, ONLY_FULL
from hpsearch.reproduction.claims import every_claim, judge
from hpsearch.reproduction.laboratory import Lab, Size, Source
from hpsearch.reproduction.page import SOURCES, Reproduction, render
from hpsearch.reproduction.runner import FinishedStudy, outcome_keys, reproduce
from hpsearch.study.messages import nearest
from hpsearch.study.messages import toml_excerpt as quoted
from hpsearch.worker.machine import core_count
from hpsearch.workflows.listener import SILENT, Listener, Notify


def select_studies(names: Sequence[str], *, is_full: bool) -> list[str]:
    """Return the studies with these names, or all if none is named. Raises UsageError for an unknown name."""
    wanted = [name.removesuffix(".toml").rpartition("/")[2] for name in names]
    for name in wanted:
        if name not in EXPERIMENTS:
            near = nearest(name, {known: known for known in EXPERIMENTS})
            hint = f"did you mean {near}?" if near else f"take some of {', '.join(EXPERIMENTS)}"
            raise UsageError(f"NAME: must be a study of the documents (got {quoted(name)}): {hint}")
    if not is_full and (long := [name for name in wanted if name in ONLY_FULL]):
        raise UsageError(f"{long[0]}: is too long for the quick set (got --quick): add --full")
    return [name for name in EXPERIMENTS if not wanted or name in wanted]


def run(
    studies: Sequence[str],
    *,
    size: Size,
    seed: int,
    images: Source | None,
    workers: int | None,
    folder: Path,
    output: Path,
    listener: Listener = SILENT,
) -> Reproduction:
    """Run the studies without results below `folder`, and judge their claims."""
    _make_folder(output.parent)
    check_report_path(output, where="--output")
    source = images or ("mnist" if is_available(os.environ) else "digits")
    lab = Lab(source=source, size=size, seed=seed)
    ready = [name for name in studies if size == "full" or name not in ONLY_FULL]
    keys = outcome_keys(ready, lab)  # ahead of any message: the images may be missing
    listener.notify(f"Training on {SOURCES[source]}")
    if images is None and source == "digits":
        listener.notify(
            "MNIST is not on this machine, so most claims are not tested (hpsearch data fetch mnist downloads it)"
        )
    with listener.stage("Running"):
        outcomes = reproduce(
            keys, lab, folder=folder, workers=workers or core_count(), show=partial(_show, listener.notify)
        )
    judged = [
        judge(claim, outcomes, is_mnist=source == "mnist", is_full=size == "full")
        for claim in every_claim()
        if claim.study in studies
    ]
    return Reproduction(lab=lab, judged=judged, outcomes=outcomes, taken=datetime.now(UTC))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HpsearchError(
            f"--output: its folder must exist (got {folder}: {error.strerror}): name another file"
        ) from error


def _show(notify: Notify, ended: FinishedStudy) -> None:
    how = "stored" if ended.was_stored else format_duration(ended.seconds)
    notify(f"{ended.done:>2}/{ended.wanted} {ended.study}: {how}")
    if ended.storage_error:
        notify(
            f"Warning: the next call trains it again: its outcome could not be stored (got {ended.storage_error})"
        )


def write_reproduction(shown: Reproduction, output: Path) -> None:
    """Write the page of judged claims."""
    write_page(render(shown), output)
