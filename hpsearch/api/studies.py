"""Studies as objects: create, load, delete, run, and everything that the command line does with one."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final, overload

from hpsearch.analysis.best_trials import leading_trials
from hpsearch.analysis.confirmation import SeedResults
from hpsearch.analysis.formats import format_result, format_short_metric
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import StudyState, state_of
from hpsearch.api.access import DatabaseAccess, access_study, url_of
from hpsearch.api.arguments import (
    file_path,
    optional_whole_number,
    table,
    text,
    texts,
    whole_number,
    whole_numbers,
)
from hpsearch.api.border import drained_on_interrupt, public
from hpsearch.api.data import Data, study_data
from hpsearch.api.documents import Draft, FilePath, limits_given, raw_choice
from hpsearch.api.objective import NamedFunction, named_function
from hpsearch.api.options import (
    LimitOptions,
    ModelOptions,
    PruningOptions,
    SamplerOptions,
    SearchSpace,
    TrainingOptions,
    Value,
)
from hpsearch.api.progress import ProgressOption, listener_of, log, sentence_listener, without_mark
from hpsearch.api.trials import StudyTrial
from hpsearch.errors import HpsearchError, StudyExistsError, StudyNotFoundError, UsageError
from hpsearch.installation import install_command
from hpsearch.objective.trial import Objective
from hpsearch.report.file import check_report_path
from hpsearch.report.request import ReportRequest
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.ranges import Bounds, checked_bounds
from hpsearch.study.schema import MOST_INTEGER, MOST_ROUNDS, MOST_SEEDS, MOST_TRIALS, MOST_WORKERS
from hpsearch.study.spec import (
    Dimension,
    Direction,
    ObjectiveSpec,
    SamplerName,
    StudySpec,
    full_name,
)
from hpsearch.trials import ParameterValue, Trial
from hpsearch.worker.capacity import objective_job
from hpsearch.worker.events import Event
from hpsearch.worker.preparation import is_study_file
from hpsearch.workflows import confirmation, narrowing, sealed_test, studies, tracking, transfer
from hpsearch.workflows.data import push_data
from hpsearch.workflows.default_storage import is_missing
from hpsearch.workflows.json_objects import JsonObject, best_objects, study_summary
from hpsearch.workflows.listener import Listener
from hpsearch.workflows.report import default_report_path, renew_report, request_report, write_report
from hpsearch.workflows.run import RunOptions, run, run_rounds
from hpsearch.workflows.snapshot import assemble_snapshot
from hpsearch.workflows.tracking import TrackerExport
from hpsearch.workflows.trials import enqueue_values

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@public
def create_study(
    study: FilePath | None = None,
    *,
    name: str | None = None,
    data: Data | None = None,
    target: str | None = None,
    model: ModelOptions | None = None,
    training: TrainingOptions | None = None,
    search: SearchSpace | None = None,
    configurations: Sequence[Mapping[str, Value]] | None = None,
    sampler: SamplerName | SamplerOptions | None = None,
    pruning: PruningOptions | None = None,
    trials: int | None = None,
    hours: float | None = None,
    epochs: int | None = None,
    until: float | None = None,
    patience: int | None = None,
    seed: int | None = None,
    metric: str | None = None,
    direction: Direction | None = None,
    objective: Objective | str | None = None,
    limits: LimitOptions | None = None,
    notify: Sequence[str] | None = None,
    storage: str | None = None,
    load_if_exists: bool | None = None,
) -> Study:
    """Store a study in a database and return it, ready to run.

    `study` is a study file, or the name of an example such as `digits`; the other arguments replace its keys. Without a
    file, `name` and `data` describe the study, with the tables and keys that a study file has:

    >>> study = hpsearch.create_study(
    ...     name="small-digits",
    ...     data="digits",
    ...     model={"hidden": [16]},
    ...     training={"epochs": 3},
    ...     search={"learning_rate": hpsearch.Range(1e-4, 1.0, log=True)},
    ...     trials=6,
    ...     storage="sqlite:///lab.db",
    ... )
    >>> study
    <Study "small-digits": open, 0 of 6 trials>

    `data` is a source (the name of a data set, or a path), arrays `(X, y)`, a data frame of pandas or polars with the
    column `target`, or a table of keys, whose `source` is one of these. Arrays are written to a file for the workers:
    in the folder `data` next to an SQLite database, in `storage/data` for a server, or in the folder that the
    environment variable HPSEARCH_DATA names.

    >>> X, y = sklearn.datasets.load_wine(return_X_y=True)
    >>> study = hpsearch.create_study(
    ...     name="wine", data={"source": (X, y), "scale": "standard"}, trials=6, storage="sqlite:///lab.db"
    ... )

    With `objective`, the study trains a function of yours in place of the built-in network, each trial in a process of
    its own, within `limits`. Its `search` may have any names. A function of a module is stored by its name, so that
    workers anywhere can import it; one of a script or a notebook runs in this process and its forks only.

    >>> study = hpsearch.create_study(
    ...     "parabola",
    ...     objective=lambda trial: (trial.params["x"] - 2) ** 2,
    ...     search={"x": hpsearch.Range(-10.0, 10.0)},
    ...     direction="minimize",
    ...     trials=4,
    ...     storage="sqlite:///lab.db",
    ... )
    >>> study.run(workers=2, progress=False).state
    'finished'

    The study ends with `trials` finished trials, or earlier: after `hours` of training, after `epochs` over all trials,
    once the metric of a complete trial has reached `until`, or after `patience` finished trials in a row without a
    better one. `Study.edit` changes each.

    `notify` are URLs of apprise, such as `mailto://` or `slack://`, that get a notification when the study has a new
    best trial, finishes, fails, or pauses after failures. They are stored apart from the study, and no copy contains
    them.

    >>> study = hpsearch.create_study("digits", name="good-enough", until=0.98, hours=2, storage="sqlite:///lab.db")

    `search` replaces the whole search of a file; other tables replace single keys. `storage` is the URL of the
    database, by default that of the command line. `sampler` is a name such as `random`, or a table.

    A study that is stored already, with the same search over the same data, is returned with its trials and its own
    budget. Any other study of that name is an error, or with `load_if_exists=True` it is returned, as in Optuna; with
    False every existing study is an error.

    Raises StudyFileError with every problem, DataError, StudyExistsError and StorageError.
    """
    url = url_of(storage)
    if study is not None:
        file_path("study", study)
    study, name = _file_and_name(study, name, has_data=data is not None or objective is not None)
    function = None if objective is None else named_function(objective)
    given = study_data(data, target=target, storage=url)
    if isinstance(sampler, str):
        sampler = {"name": sampler}
    tables = {
        "model": model,
        "training": training,
        "sampler": sampler,
        "pruning": pruning,
        "objective": None if function is None else function.table(direction),
        "limits": limits,
        "budget": limits_given(hours=hours, epochs=epochs, until=until, patience=patience),
        "notify": None if notify is None else {"urls": list(texts("notify", notify))},
    }
    draft = Draft(
        where="create_study",
        file=study,
        values={"name": name, "trials": trials, "seed": seed, "metric": metric},
        tables={
            **({"data": given.table} if given.table else {}),
            **{key: table(key, one) for key, one in tables.items() if one is not None},
        },
        search=search,
        configurations=configurations,
        arrays=given.arrays,
    )
    spec = draft.spec()
    if load_if_exists is not None and (found := _existing(url, spec.name)) is not None:
        if load_if_exists:
            return found
        raise StudyExistsError(
            f'study "{found.name}": must not exist yet (a study has the name): choose another name'
        )
    if spec.objective is not None:
        return _with_objective(url, spec, spec.objective, function, source=draft.source)
    prepared = draft.prepared()
    _check_direction(prepared.spec, direction)
    given.store()
    warnings: list[str] = []
    # The budget of a study that is stored already changes only if the caller sets another one than its file.
    budget = None if study is None else trials
    made = studies.create_prepared(url, prepared, trials=budget, listener=Listener(notify=warnings.append))
    for line in (*warnings, made.sentence):
        log(line)
    return Study(*access_study(url, made.study.name), warnings=tuple(map(without_mark, warnings)))


def _with_objective(
    url: str, spec: StudySpec, objective: ObjectiveSpec, function: NamedFunction | None, *, source: str
) -> Study:
    """Return the study of a training function, stored unless it is already."""
    is_known = function is not None and function.function is not None
    job = objective_job(spec, objective) if is_known else studies.checked_job(spec, objective, source)
    made = studies.create_objective(url, job)
    log(made.sentence)
    access, stored = access_study(url, made.study.name)
    return Study(access, stored, function=None if function is None else function.function)


def _file_and_name(
    study: FilePath | None, name: str | None, *, has_data: bool
) -> tuple[FilePath | None, str | None]:
    """Return the study file, if there is one, and the name: with data of its own, `study` may be the name."""
    if isinstance(study, str) and has_data and name is None and not is_study_file(study):
        return None, study
    return study, name


def _existing(url: str, name: str) -> Study | None:
    """Return the study of that name, made by any client; None if there is none."""
    try:
        with open_store(url):  # which makes the database if it is missing
            return Study(*access_study(url, name))
    except StudyNotFoundError:
        return None


def _check_direction(spec: StudySpec, direction: Direction | None) -> None:
    """Raise UsageError unless the metric of the study is searched in that direction."""
    own = "maximize" if spec.maximize else "minimize"
    if direction is not None and direction != own:
        raise UsageError(
            f'direction: must be {own} for the metric {spec.metric} (got "{direction}"): leave it out'
        )


@public
def load_study(name: str, *, storage: str | None = None) -> Study:
    """Return a stored study, made by hpsearch or by another Optuna client.

    >>> hpsearch.load_study("lesson", storage="sqlite:///lesson.db").name
    'lesson'

    Raises StudyNotFoundError with the nearest names, and StorageError if there is no database.
    """
    return Study(*access_study(url_of(storage), text("name", name)))


@public
def delete_study(name: str, *, storage: str | None = None) -> None:
    """Delete a study and all its trials permanently. Its report stays, and so does the file of its arrays, if any.

    >>> _ = hpsearch.create_study("digits", name="mistake", storage="sqlite:///lab.db")
    >>> hpsearch.delete_study("mistake", storage="sqlite:///lab.db")

    Raises StudyNotFoundError.
    """
    with open_store(url_of(storage), foreign=True) as store:
        deleted = studies.delete(store, text("name", name))
    if deleted.data_file is not None:
        log(f"The data stays: {deleted.data_file}; delete the file if no other database needs it")


@public
def get_all_study_names(storage: str | None = None) -> list[str]:
    """Return the names of all studies of a database, oldest first.

    >>> hpsearch.get_all_study_names("sqlite:///lesson.db")
    ['lesson']
    """
    url = url_of(storage)
    if is_missing(url):
        return []
    with open_store(url, foreign=True) as store:
        return [listed.name for listed in store.studies.listing()]


@public
def import_studies(path: FilePath, *, names: Sequence[str] = (), storage: str | None = None) -> list[Study]:
    """Import the studies of a file that `Study.export` wrote, or only `names`, and return them.

    >>> file = study.export("exported.db")
    >>> hpsearch.import_studies(file, storage="sqlite:///another.db")
    [<Study "lesson": finished, 40 of 40 trials, best val acc 0...>]

    The file is imported whole or, if it breaks a rule, not at all.
    """
    url = url_of(storage)
    made = transfer.import_studies(file_path("path", path), url, names=texts("names", names))
    return [load_study(copied.name, storage=url) for copied in made]


@final
class Study:
    """A stored study. `create_study` and `load_study` return one.

    Its properties read the database each time, so they follow the workers of any machine.

    >>> study = hpsearch.load_study("lesson", storage="sqlite:///lesson.db")
    >>> study
    <Study "lesson": finished, 40 of 40 trials, best val acc 0...>
    """

    def __init__(
        self,
        access: DatabaseAccess,
        study: StoredStudy,
        *,
        warnings: tuple[str, ...] = (),
        function: Objective | None = None,
    ) -> None:
        self._function = function
        self._access = access
        self._study = study
        self._warnings = warnings

    def __repr__(self) -> str:
        try:
            progress = self.progress
        except HpsearchError:  # such as a study that was deleted
            return f'<Study "{self.name}" in {self.storage}>'
        budget = "" if progress.is_foreign else f" of {progress.budget:,}"
        best = ""
        if progress.best is not None:
            metric = self._study.spec.metric
            best = f", best {format_short_metric(metric)} {format_result(progress.best.value, metric)}"
        return f'<Study "{self.name}": {state_of(progress)}, {progress.finished:,}{budget} trials{best}>'

    def _repr_html_(self) -> str | None:
        from hpsearch.api.notebook import study_card

        try:
            study = self._current()
            snapshot = assemble_snapshot(self._store, study, self._store.trials.all(study), {})
        except HpsearchError:
            return None  # the notebook shows the text
        return study_card(snapshot, warnings=self._warnings)

    def _current(self) -> StoredStudy:
        """Return the study as it is stored now, also under another name."""
        self._study = (
            self._store.studies.get_any(self._study.name)
            if self._study.foreign is not None
            else self._store.studies.current(self._study)
        )
        return self._study

    @property
    def name(self) -> str:
        """The name of the study.

        >>> study.name
        'lesson'
        """
        return self._study.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """Problems that `create_study` found in the data or the fixed values, before any training.

        >>> study.warnings
        ()
        """
        return self._warnings

    @property
    def _store(self) -> Store:
        return self._access.store

    @property
    def storage(self) -> str:
        """The URL of the database, with its password masked.

        >>> study.storage
        'sqlite:///lesson.db'
        """
        return self._store.url_shown

    @property
    def metric(self) -> str:
        """The name of the metric, such as `validation_accuracy`.

        >>> study.metric
        'validation_accuracy'
        """
        return self._study.spec.metric

    @property
    def direction(self) -> Direction:
        """`maximize` or `minimize`: whether a higher metric is better.

        >>> study.direction
        'maximize'
        """
        return "maximize" if self._study.maximize else "minimize"

    @property
    @public
    def progress(self) -> Progress:
        """The counts of trials, fates and epochs.

        >>> study.progress.finished, study.progress.budget
        (40, 40)
        """
        return self._store.studies.progress(self._current())

    @property
    @public
    def state(self) -> StudyState:
        """The state in one word: `open`, `running`, `finished`, `paused`, `stopped`, or `idle`.

        >>> study.state
        'finished'
        """
        return state_of(self.progress)

    @property
    @public
    def trials(self) -> list[StudyTrial]:
        """All trials by number.

        >>> len(study.trials)
        40
        """
        return [self._trial(trial) for trial in self._trials()]

    @property
    @public
    def best_trials(self) -> list[StudyTrial]:
        """The complete trials with a finite value, best first; those that `confirm` trained again come first.

        With several objectives, these are the trials of the Pareto front, as in Optuna.

        >>> [trial.value for trial in study.best_trials] == sorted((t.value for t in study.best_trials), reverse=True)
        True
        """
        return [self._trial(trial) for trial in self._best()]

    @property
    @public
    def best_trial(self) -> StudyTrial:
        """The best trial. Raises HpsearchError if no trial is complete with a finite value.

        >>> study.best_trial.state.value
        'complete'
        """
        best = self._best(1)
        if not best:
            raise HpsearchError(
                f'study "{self.name}": must have a complete trial with a finite result (got none): '
                "run it, or see the verdicts of its trials"
            )
        return self._trial(best[0])

    @property
    @public
    def best_params(self) -> dict[str, ParameterValue]:
        """The parameters of the best trial.

        >>> sorted(study.best_params)
        ['learning_rate']
        """
        return self.best_trial.params

    @property
    @public
    def best_value(self) -> float:
        """The value of the best trial in the search.

        >>> study.best_value > 0.5
        True
        """
        value = self.best_trial.value
        assert value is not None  # a ranked trial has one
        return value

    def _trials(self) -> list[Trial]:
        study = self._current()
        self._store.queue.sweep(study)
        return self._store.trials.all(study)

    def _best(self, count: int | None = None) -> list[Trial]:
        trials = self._trials()
        evaluations = self._store.evaluations.all(self._study)
        return leading_trials(trials, self._study, evaluations, count=len(trials) if count is None else count)

    def _trial(self, trial: Trial) -> StudyTrial:
        return StudyTrial(self._access, self._study, trial)

    @public
    def trials_dataframe(self) -> pd.DataFrame:
        """Return all trials as a data frame of pandas, with the columns of Optuna, and fate, verdict and epochs.

        >>> list(study.trials_dataframe().columns[:3])
        ['number', 'value', 'datetime_start']

        Raises HpsearchError if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise HpsearchError(
                f"trials_dataframe: needs pandas, which is not installed: {install_command('frames')}"
            ) from None
        rows = [_row(trial) for trial in self.trials]
        names = dict.fromkeys(name for row in rows for name in row)
        first = ("number", "value", "datetime_start", "datetime_complete", "duration")
        last = ("state", "fate", "verdict", "epochs")
        params = sorted(name for name in names if name not in (*first, *last))
        return pd.DataFrame(rows, columns=[*first, *params, *last])

    @public
    def to_dict(self) -> JsonObject:
        """Return the JSON object that `hpsearch study show --format json` prints.

        >>> study.to_dict()["state"]
        'finished'
        """
        return study_summary(self._store, self._current())

    @public
    def best_dicts(self, count: int = 5) -> list[JsonObject]:
        """Return the JSON objects that `hpsearch study best --format json` prints.

        >>> [shown["number"] for shown in study.best_dicts(1)] == [study.best_trial.number]
        True
        """
        return best_objects(
            self._best(whole_number("count", count)), self._study, self._store.evaluations.all(self._study)
        )

    @public
    def run(
        self,
        trials: int | None = None,
        *,
        workers: int | None = None,
        rounds: int = 1,
        cohort: int | None = None,
        progress: ProgressOption = True,
        on_event: Callable[[Event], None] | None = None,
    ) -> Study:
        """Run the study on this machine until its budget is spent, and return it.

        `trials` is a new budget: how many trials are to be finished in all. `workers` is the number of worker
        processes, by default one per core. They import nothing of the calling program, so a script needs no guard for
        `__main__`. With `rounds`, narrow the search by its results, run that, and so on; return the last study.

        `progress` is shown in terminals and notebooks; a function gets the progress about twice a second instead.
        `on_event` gets every event of the study once, within a second or two, in another thread.
        Ctrl-C, or the interruption of a notebook's kernel, stores what is finished, hands the rest back, and raises
        KeyboardInterrupt; the same call continues from there.

        >>> study = hpsearch.create_study(
        ...     "digits", name="short", training={"epochs": 1}, trials=2, storage="sqlite:///lab.db"
        ... )
        >>> study.run(workers=1, progress=False).state
        'finished'

        Raises HpsearchError if the study is stopped or paused before its budget is spent.
        """
        rounds = whole_number("rounds", rounds, most=MOST_ROUNDS)
        options = RunOptions(
            url=self._access.url,
            workers=optional_whole_number("workers", workers, most=MOST_WORKERS),
            trials=optional_whole_number("trials", trials, most=MOST_TRIALS),
            cohort=optional_whole_number("cohort", cohort),
            ends_process=False,
            function=self._function,
            emit=on_event,
        )
        listener = listener_of(progress)
        problem: str | None = None

        def run_one(name: str, options: RunOptions) -> bool:
            nonlocal problem
            problem = run(name, options, stop=stop, listener=listener).problem
            return problem is None

        name = self._current().name
        with drained_on_interrupt("study.run()") as stop:
            if rounds == 1:
                run_one(name, options)
            else:
                name = run_rounds(name, options, rounds=rounds, run_one=run_one, listener=listener).names[-1]
        self._renew()
        if problem is not None:
            raise HpsearchError(problem)
        return self if name == self.name else load_study(name, storage=self._access.url)

    @public
    def figure(
        self, name: str = "search-map", *, trials: Sequence[int] = (), compare: Sequence[str] = ()
    ) -> go.Figure:
        """Return a figure of the report, which a notebook shows inline.

        `trials` are the ones that `comparison` compares, `compare` the other studies of `studies`.

        >>> study.figure("learning-curves-training").layout.height > 0
        True

        Raises UsageError for an unknown name (`figure_names` are the known ones), and HpsearchError if there is nothing
        to draw.
        """
        from hpsearch.api.figures import figure_named
        from hpsearch.report.figures.catalogue import exhibits

        return figure_named(exhibits(*self._request(trials, compare)), text("figure", name))

    @property
    @public
    def figure_names(self) -> tuple[str, ...]:
        """The names of the figures that can be drawn now.

        >>> "learning-curves-training" in study.figure_names
        True
        """
        from hpsearch.api.figures import names_of
        from hpsearch.report.figures.catalogue import exhibits

        return names_of(exhibits(*self._request((), ())))

    @public
    def report(
        self, path: FilePath | None = None, *, trials: Sequence[int] = (), compare: Sequence[str] = ()
    ) -> Path:
        """Write the report, one HTML file, and return its path; by default it is written next to the database.

        `trials` are two to six to compare, `compare` other studies of the same metric.

        >>> study.report("lesson.html").name
        'lesson.html'
        """
        target = None if path is None else file_path("report", path)
        if target is not None:
            check_report_path(target)
        snapshot, request = self._request(trials, compare)
        return write_report(snapshot, target or default_report_path(self._access.url, self.name), request)

    def _request(self, trials: Sequence[int], compare: Sequence[str]) -> tuple[Snapshot, ReportRequest]:
        name = self._current().name
        return request_report(
            self._store,
            name,
            trials=whole_numbers("trials", trials),
            compare=texts("compare", compare),
            ours=False,
            notify=log,
        )

    @public
    def confirm(self, best: int = 5, *, seeds: int = 5, progress: bool = True) -> list[SeedResults]:
        """Train the best configurations again with fresh seeds, and return their results, the best mean first.

        Stored results are not trained again, so after an interruption the same call continues.

        >>> confirmed = study.confirm(best=1, seeds=2)
        >>> len(confirmed[0].values), confirmed[0].mean > 0.5
        (2, True)
        """
        best = whole_number("best", best)
        seeds = whole_number("seeds", seeds, least=2, most=MOST_SEEDS)
        name = self._current().name
        with (
            sentence_listener(name, progress=progress) as listener,
            drained_on_interrupt("study.confirm()") as stop,
        ):
            done = confirmation.confirm(
                self._store,
                name,
                best=best,
                seeds=seeds,
                stop=stop,
                listener=listener,
                function=self._function,
            )
        self._renew()
        return list(done.found)

    @public
    def test(self, trial: int | None = None, *, seeds: int = 5, progress: bool = True) -> SeedResults:
        """Open the sealed test part, once, for one configuration, and return its result there over fresh seeds.

        `trial` is its number, by default that of the best one. The opening is recorded permanently; later calls return
        the stored result.

        >>> study.test(seeds=2).mean > 0.5
        True

        Raises HpsearchError if the data has no test part, or it was opened for another trial.
        """
        trial = optional_whole_number("trial", trial, least=0)
        seeds = whole_number("seeds", seeds, least=2, most=MOST_SEEDS)
        name = self._current().name
        with (
            sentence_listener(name, progress=progress) as listener,
            drained_on_interrupt("study.test()") as stop,
        ):
            done = sealed_test.open_test_part(
                self._store, name, trial=trial, seeds=seeds, stop=stop, listener=listener
            )
        self._renew()
        assert done.found is not None  # it was not stopped
        return done.found

    @public
    def narrow(self) -> NarrowedSearch:
        """Return the search that a follow-up study should have, with a reason for every bound.

        >>> narrowed = study.narrow()
        >>> sorted(narrowed.search)
        ['learning_rate']

        Raises HpsearchError if the trials are too few.
        """
        return NarrowedSearch(self._access, narrowing.narrow(self._store, self._current().name))

    @public
    def enqueue(self, params: Mapping[str, Value]) -> StudyTrial:
        """Add a waiting trial with these values, which is trained next, and return it. The others are sampled.

        They may be the `params` of another trial.

        >>> waiting = study.copy("with-my-own").enqueue({"learning_rate": 0.05})
        >>> waiting.state.value
        'waiting'

        Raises UsageError if the study does not search such values.
        """
        values = {full_name(name): raw_choice(value) for name, value in table("params", params).items()}
        made = enqueue_values(self._store, self._current().name, values)
        self._renew()
        return self._trial(self._store.trials.get(self._study, made.number))

    @public
    def edit(
        self,
        *,
        trials: int | None = None,
        hours: float | Literal["none"] | None = None,
        epochs: int | Literal["none"] | None = None,
        until: float | Literal["none"] | None = None,
        patience: int | Literal["none"] | None = None,
        priority: int | None = None,
        ranges: Mapping[str, Bounds] | None = None,
    ) -> None:
        """Set the budget, the limits of `create_study`, the priority, or bounds of searched ranges.

        Workers apply them from their next claim on. "none" removes a limit, and a study that a limit has ended goes on
        once the limit is raised. `ranges` are `(low, high)` by name; None keeps a bound. New trials are sampled from
        the new range, and the others keep theirs.

        >>> study.edit(priority=5, hours=12)
        >>> study.edit(hours="none")
        >>> study.edit(ranges={"learning_rate": (1e-4, None)})

        Raises UsageError for choices, which Optuna does not allow to change, and for ranges that do not exist.
        """
        trials = optional_whole_number("trials", trials, most=MOST_TRIALS)
        priority = optional_whole_number("priority", priority, least=-MOST_INTEGER)
        limits = limits_given(hours=hours, epochs=epochs, until=until, patience=patience) or {}
        if trials is None and priority is None and not limits and not ranges:
            raise UsageError(
                "edit: needs a value to set (got none): add trials=, priority=, ranges=, or a limit such as hours="
            )
        name, bounds = self._current().name, checked_bounds(ranges or {})
        self._edited(
            studies.edit(self._store, name, trials=trials, priority=priority, limits=limits, ranges=bounds)
        )

    @public
    def push_data(self) -> None:
        """Store the data in the database, up to 256 MiB, so that a worker needs the URL of the database alone.

        >>> try:
        ...     study.push_data()
        ... except hpsearch.DataError as error:
        ...     print(str(error).partition(" (")[0])
        data.source: must be files to be stored

        Raises DataError if it has no files here, such as data that comes with scikit-learn.
        """
        push_data(self._store, self._current().name)

    @public
    def pause(self) -> None:
        """Keep workers from taking more trials. Trials in training run to their end.

        >>> study = study.copy("paused")
        >>> study.pause()
        >>> study.resume()
        """
        self._edited(studies.pause(self._store, self._current().name, by=_user()))

    @public
    def resume(self) -> None:
        """Let workers take trials of a paused study again.

        >>> study.resume()
        """
        self._edited(studies.resume(self._store, self._current().name))

    @public
    def stop(self) -> None:
        """End the study early: its budget becomes the number of finished trials and those in training.

        >>> study.stop()
        """
        self._edited(studies.stop(self._store, self._current().name))

    @public
    def rename(self, name: str) -> None:
        """Give the study another name. Everything else stays.

        >>> study = study.copy("old")
        >>> study.rename("new")
        >>> study.name
        'new'
        """
        before = self._current().name
        studies.check_name("rename", name)
        self._store.studies.rename(before, name)
        self._study = self._store.studies.get_any(name)
        self._renew(before=before)

    @public
    def copy(self, name: str) -> Study:
        """Copy the study with all its trials to another name in the same database, and return the copy.

        >>> study.copy("twin").best_value == study.best_value
        True
        """
        studies.check_name("copy", name)
        self._store.studies.copy(self._current().name, name)
        return load_study(name, storage=self._access.url)

    @overload
    def export(self, path: FilePath) -> Path: ...

    @overload
    def export(self, *, to: str) -> TrackerExport: ...

    @public
    def export(self, path: FilePath | None = None, *, to: str | None = None) -> Path | TrackerExport:
        """Write the study into a new SQLite file, and return its path; or into an experiment tracker.

        >>> hpsearch.get_all_study_names(f"sqlite:///{study.export('exported.db')}")
        ['lesson']

        With `to`, `mlflow:URI` or `tensorboard:DIR`, the tracker gets one parent and a run for each trial that has
        started: parameters, curves, result, and the verdict as tags. Another call adds only what is new.

        >>> study.export(to="tensorboard:runs").added == len(study.trials)
        True
        >>> study.export(to="tensorboard:runs").added
        0

        Raises HpsearchError if the tracker's package is missing, the extra `mlflow` or `tensorboard`.
        """
        if to is not None:
            if path is not None:
                raise UsageError(
                    f"export: takes a path or to=, not both (got {path} and {to}): leave one out"
                )
            target = text("export", to)
            return tracking.export_to_tracker(self._store, self._current().name, target, notify=log)
        file = file_path("export", path)
        transfer.export_study(self._access.url, self._current().name, file)
        return file

    def _edited(self, edited: studies.Edited) -> None:
        for sentence in edited.sentences:
            log(sentence)
        self._study = edited.study
        self._renew()

    def _renew(self, *, before: str | None = None) -> None:
        """Write the report at the default path again, if there is one, as the command line does."""
        renewed = renew_report(
            self._store,
            self._current().name,
            url=self._access.url,
            before=before,
            listener=listener_of(progress=False),
        )
        if renewed is not None and renewed.error is not None:
            log(f'Warning: the report of "{self.name}" is outdated: {renewed.error}')


@final
class NarrowedSearch:
    """The search that the trials of a study suggest for a follow-up study.

    >>> narrowed = study.narrow()
    >>> narrowed.changes
    True
    >>> follow_up = narrowed.create(trials=4)
    >>> follow_up.name, follow_up.progress.waiting
    ('lesson-round-2', 1)
    """

    def __init__(self, access: DatabaseAccess, narrowing: narrowing.Narrowing) -> None:
        self._access = access
        self._narrowing = narrowing

    @property
    def search(self) -> dict[str, Dimension]:
        """The searched names with their new ranges or choices."""
        return {dimension.name: dimension for dimension in self._narrowing.proposal.search}

    @property
    def reasons(self) -> dict[str, tuple[str, ...]]:
        """The reasons by name: for the low and the high bound of a range, or for the choices."""
        return {one.after.name: one.reasons for one in self._narrowing.proposal.revisions}

    @property
    def changes(self) -> bool:
        """True if the search would change."""
        return self._narrowing.proposal.changes

    @public
    def create(self, name: str | None = None, *, trials: int | None = None) -> Study:
        """Store the follow-up study, by default as `NAME-round-2`, and return it.

        It keeps the seed and the split, so results are comparable, and begins with the best configurations inside the
        bounds. Raises HpsearchError if nothing would change.
        """
        trials = optional_whole_number("trials", trials, most=MOST_TRIALS)
        if name is not None:
            studies.check_name("name", name)
        made = narrowing.follow_up(self._access.store, self._narrowing, name=name, trials=trials)
        return load_study(made.study.name, storage=self._access.url)


def _row(trial: StudyTrial) -> dict[str, Any]:
    """Return the row of a trial in a data frame."""
    return {
        "number": trial.number,
        "value": trial.value,
        "datetime_start": trial.datetime_start,
        "datetime_complete": trial.datetime_complete,
        "duration": trial.duration,
        **{f"params_{name}": value for name, value in trial.params.items()},
        "state": trial.state.name,
        "fate": trial.fate.value,
        "verdict": None if trial.verdict is None else trial.verdict.cause.value,
        "epochs": trial.epochs,
    }


def _user() -> str:
    """Return the current user as `user@host`, or the host alone if the system has no name for the user."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError, ImportError):
        return socket.gethostname()
