"""The search of a fitted estimator: its trials, figures and report, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.api.arguments import file_path, text
from hpsearch.api.border import public
from hpsearch.api.documents import FilePath
from hpsearch.report.request import ReportRequest
from hpsearch.trials import Trial, best_trials
from hpsearch.workflows.report import write_report

if TYPE_CHECKING:
    import plotly.graph_objects as go


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """The study of a fitted estimator at its end. It needs no database, and can be pickled.

    >>> X, y = sklearn.datasets.load_iris(return_X_y=True)
    >>> classifier = hpsearch.sklearn.HpsearchClassifier(n_trials=2, epochs=5, random_state=0).fit(X, y)
    >>> classifier.study_
    <SearchResult of "HpsearchClassifier": 2 trials>
    """

    snapshot: Snapshot

    def __repr__(self) -> str:
        return f'<SearchResult of "{self.name}": {len(self.trials)} trials>'

    @property
    def name(self) -> str:
        """The name of the study, under which the database of the estimator has it."""
        return self.snapshot.study.name

    @property
    def metric(self) -> str:
        """The name of the metric, such as `validation_accuracy`."""
        return self.snapshot.study.spec.metric

    @property
    def trials(self) -> list[Trial]:
        """All trials by number, each with its `params`, `value`, `state`, `fate` and `verdict`."""
        return list(self.snapshot.trials)

    @property
    def best_trial(self) -> Trial:
        """The trial whose configuration the estimator has."""
        return best_trials(self.snapshot.trials, maximize=self.snapshot.study.maximize, count=1)[0]

    @property
    def best_value(self) -> float:
        """The metric of the best trial on the validation part."""
        value = self.best_trial.value
        assert value is not None  # a ranked trial has one
        return value

    @public
    def figure(self, name: str = "search-map") -> go.Figure:
        """Return a figure of the report. Raises UsageError, with the known names, for an unknown one."""
        from hpsearch.api.figures import figure_named
        from hpsearch.report.figures.catalogue import exhibits

        return figure_named(exhibits(self.snapshot, ReportRequest()), text("figure", name))

    @public
    def report(self, path: FilePath) -> Path:
        """Write the report, one HTML file, and return its path."""
        return write_report(self.snapshot, file_path("report", path))
