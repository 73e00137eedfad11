"""The hover text of a trial."""

import textwrap
from functools import lru_cache
from typing import Final

from hpsearch.analysis.configurations import configuration_name
from hpsearch.analysis.formats import format_count, format_parameters, format_result, format_short_metric
from hpsearch.analysis.trial_facts import verdict_words
from hpsearch.report.figures.scales import measured
from hpsearch.study.spec import StudySpec
from hpsearch.trials import OTHERS, Trial, TrialState

_WIDTH: Final = 60
_REMEMBERED: Final = 16_384
"""Number of texts: the parameters and remedies of some thousand trials, each of which is in eight figures."""


def hover_lines(trial: Trial, spec: StudySpec) -> tuple[str, ...]:
    """Return the trial's number, parameters, result, verdict and remedy: plain text, short lines."""
    params = format_parameters(trial.params, spec.search) or "no parameters yet"
    name = configuration_name(spec, trial.params)
    return (
        f"trial {trial.number}: {trial.fate}",
        *(() if name is None else _wrapped(f"configuration: {name}")),
        *_wrapped(params),
        _result_words(trial, spec),
        f"verdict: {verdict_words(trial)}",
        *_wrapped(_remedy_words(trial)),
    )


@lru_cache(_REMEMBERED)
def _wrapped(text: str) -> tuple[str, ...]:
    """Return a text as short lines."""
    return tuple(textwrap.wrap(text, _WIDTH))


def _result_words(trial: Trial, spec: StudySpec) -> str:
    """Return the trial's result and epochs: `val acc 0.971, 12 epochs begun`; other clients' trials have no epochs."""
    value = measured(trial)
    reached = (
        "no result"
        if value is None
        else f"{format_short_metric(spec.metric)} {format_result(value, spec.metric)}"
    )
    begun = (
        "" if trial.owner == OTHERS and not trial.epochs else f", {format_count(trial.epochs, 'epoch')} begun"
    )
    so_far = " so far" if trial.state is TrialState.RUNNING and value is not None else ""
    return f"{reached}{begun}{so_far}"


def _remedy_words(trial: Trial) -> str:
    """Return the remedy of the trial's verdict; empty if there is none."""
    return "" if trial.finding is None else trial.finding.remedy
