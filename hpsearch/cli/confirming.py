"""What fresh seeds say about the best configurations, for people and for programs."""

from collections.abc import Sequence
from typing import Any

from hpsearch.analysis.confirmation import (
    Repeated,
    confirmation,
    interval_words,
    mean_words,
    ranked_trials,
    sentence,
)
from hpsearch.analysis.formats import format_parameter, format_result, format_short_metric
from hpsearch.analysis.json_objects import trial_object
from hpsearch.cli.options import Format
from hpsearch.cli.output import Listing, answer, write_listing
from hpsearch.storage.records import Evaluation, StoredStudy
from hpsearch.trials import Trial
from hpsearch.workflows.confirmation import Confirmation


def write_confirmation(confirmed: Confirmation, form: Format) -> None:
    """Write what fresh seeds say about the best configurations to stdout."""
    write_listing(confirmation_listing(confirmed.found, confirmed.study), form)
    if form is Format.TABLE:
        answer()
        answer(sentence(confirmed.found))


def confirmation_listing(found: Sequence[Repeated], study: StoredStudy) -> Listing:
    """Return configurations over fresh seeds, the best mean first."""
    metric = study.spec.metric
    searched = [dimension.name for dimension in study.spec.search]
    short = format_short_metric(metric)
    return Listing(
        objects=[repeated_object(one) for one in found],
        heads=(
            "rank",
            "trial",
            "in the search",
            f"{short}, fresh seeds",
            "95 % interval",
            "seeds",
            *searched,
        ),
        rows=[
            (
                str(one.rank),
                str(one.number),
                format_result(one.in_search, metric),
                mean_words(one, metric),
                interval_words(one, metric),
                str(len(one.values)),
                *(format_parameter(one.params[name]) if name in one.params else "" for name in searched),
            )
            for one in found
        ],
        right=frozenset({"rank", "trial", "in the search", f"{short}, fresh seeds", "seeds", *searched}),
    )


def confirmed_objects(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation]
) -> dict[str, Any]:
    """Return the best trial and `confirmed`, what fresh seeds say, the best mean first, as JSON has them."""
    metric, maximize = study.spec.metric, study.maximize
    best = ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=1)
    found = confirmation(trials, evaluations, metric=metric, maximize=maximize)
    return {
        "best": trial_object(best[0]) if best else None,
        "confirmed": [repeated_object(one) for one in found],
    }


def repeated_object(one: Repeated) -> dict[str, Any]:
    """Return a configuration over fresh seeds as a JSON object; `low` and `high` hold the mean at 95 %."""
    low, high = one.interval or (None, None)
    return {
        "rank": one.rank,
        "number": one.number,
        "value": one.in_search,
        "mean": one.mean,
        "low": low,
        "high": high,
        "is_behind": one.is_behind,
        "seeds": [{"seed": seed, "value": value} for seed, value in one.values.items()],
        "params": dict(one.params),
    }
