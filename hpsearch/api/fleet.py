"""Fleets: workers on an engine for one study or all."""

from __future__ import annotations

from collections.abc import Mapping

from hpsearch.api.access import url_of
from hpsearch.api.arguments import optional_whole_number, table, text
from hpsearch.api.border import drained_on_interrupt, public
from hpsearch.api.progress import ProgressOption, listener_of
from hpsearch.errors import HpsearchError
from hpsearch.study.schema import MOST_FLEET
from hpsearch.workflows.fleet import Engine, FleetOptions, FleetRun, run_fleet


@public
def fleet(
    study: str | None = None,
    *,
    on: Engine = "local",
    count: int | None = None,
    minimum: int | None = None,
    maximum: int | None = None,
    scheduler: str | None = None,
    job: Mapping[str, str | int | float] | None = None,
    cohort: int | None = None,
    storage: str | None = None,
    progress: ProgressOption = True,
) -> FleetRun:
    """Keep workers on an engine, replace those that are lost, and return when the study ends.

    `on` is `local`, `dask` (with `scheduler`, the address of a Dask scheduler) or `slurm` (with `job`, the parameters
    of its jobs in submitit's words, such as `{"slurm_partition": "short"}`). `count` is the number of workers; with
    `minimum` and `maximum` it follows the unfinished trials. Without a `study` the workers serve every open one, until
    Ctrl-C, which drains them and raises KeyboardInterrupt.

    >>> study = hpsearch.create_study(
    ...     "digits", name="placed", training={"epochs": 1}, trials=2, storage="sqlite:///lab.db"
    ... )
    >>> run = hpsearch.fleet("placed", on="local", count=1, storage="sqlite:///lab.db", progress=False)
    >>> run.started, run.progress.finished
    (1, 2)

    Raises UsageError for wrong arguments, StudyNotFoundError, and HpsearchError if the engine does not answer, workers
    fail repeatedly, or the study is stopped or paused before its budget is spent.
    """
    options = FleetOptions(
        url=url_of(storage),
        engine=text("on", on),
        count=optional_whole_number("count", count, most=MOST_FLEET),
        least=optional_whole_number("minimum", minimum, least=0, most=MOST_FLEET),
        most=optional_whole_number("maximum", maximum, most=MOST_FLEET),
        study=None if study is None else text("study", study),
        rows=optional_whole_number("cohort", cohort),
        scheduler=None if scheduler is None else text("scheduler", scheduler),
        parameters={} if job is None else table("job", job),
    )
    with drained_on_interrupt("hpsearch.fleet()") as stop:
        done = run_fleet(options, stop=stop, listener=listener_of(progress))
    if done.problem is not None:
        raise HpsearchError(done.problem)
    return done
