"""A card of the best configuration: settings to copy, commands to train it again, and how certain it is the best."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, final

from markupsafe import Markup

from hpsearch.analysis.best_trials import rival_words, spread_words
from hpsearch.analysis.confirmation import (
    SeedResults,
    best_of,
    confirmation,
    interval_words,
    mean_words,
    seed_results,
    sentence,
    unconfirmed_words,
)
from hpsearch.analysis.formats import (
    format_metric,
    format_metric_noun,
    format_metric_title,
    format_result,
    format_time,
)
from hpsearch.analysis.json_objects import json_text, with_reasons
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.parts import piece
from hpsearch.study.configurations import why_untrainable
from hpsearch.study.messages import format_count
from hpsearch.study.schema import BUILTIN_SOURCES, PATH_SUFFIXES
from hpsearch.study.spec import Choices, Configuration, SamplerSpec, StudySpec, configure, full_name
from hpsearch.study.writer import specification_text, value_text
from hpsearch.trials import ParameterValue, Trial

FILE: Final = "best.toml"
"""File name of the study file that the card shows."""

_LONGEST_NAME: Final = 200


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A shell command and its purpose."""

    purpose: str
    line: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestCard:
    """The best trial, by fresh seeds if any were trained with them. `study_file` is TOML, `json` one object.

    `untrainable` is the reason if the trial cannot be trained again, else empty; if it cannot, `study_file` is empty
    and there are no commands.

    `repeated` are the configurations trained with fresh seeds, the best mean first; `certainty` concludes from them.
    `test` is the state of the sealed test part.
    """

    number: int
    value: str
    seed: int
    study_file: str
    json: str
    commands: tuple[Command, ...]
    repeated: tuple[SeedResults, ...]
    certainty: str
    test: str
    untrainable: str = ""


def best_card(snapshot: Snapshot) -> BestCard | None:
    """Return the card of the best trial; None if no trial is complete with a finite result."""
    study = snapshot.study
    best = next(iter(best_of(snapshot, 1)), None)
    if best is None:
        return None
    repeated = confirmation(
        snapshot.trials, snapshot.evaluations, metric=study.spec.metric, maximize=study.maximize
    )
    why = why_untrainable(study.spec, best.params)
    untrainable: str | None
    if study.spec.objective is not None:
        untrainable = (
            f"Call the study's function, {study.spec.objective.function}, with the parameters below."
        )
    else:
        untrainable = (
            why and f"Another Optuna client reported this trial, and hpsearch cannot train it: {why}."
        )
    return BestCard(
        number=best.number,
        value=spread_words(best, study.spec.metric),
        seed=study.spec.seed,
        study_file="" if untrainable else specification_text(one_configuration(study.spec, best.params)),
        json=_json(study.spec, best, is_trainable=not untrainable),
        commands=() if untrainable else _commands(study.spec, best),
        untrainable=untrainable or "",
        repeated=tuple(repeated),
        certainty=_certainty_sentence(snapshot, repeated),
        test=_test_words(snapshot),
    )


def _certainty_sentence(snapshot: Snapshot, repeated: Sequence[SeedResults]) -> str:
    if not repeated:
        return unconfirmed_words(snapshot.study, snapshot.trials)
    rival = rival_words(snapshot.trials, snapshot.study, evaluations=snapshot.evaluations)
    return " ".join(filter(None, (sentence(repeated), rival)))


def one_configuration(spec: StudySpec, params: Mapping[str, ParameterValue]) -> StudySpec:
    """Return a study of one trial of exactly this configuration, trained to its end.

    The values are in `[model]` and `[training]`, which `diagnose` reads, and are the only choices of the search, since
    a study file without a search would search the default ranges.
    """
    configuration = configure(spec, params)
    fixed = {"learning_rate": configuration.training.learning_rate}
    searched = {**({} if params else fixed), **params}
    return replace(
        spec,
        name=f"{spec.name[:_LONGEST_NAME]}-best",
        trials=1,
        model=configuration.model,
        training=configuration.training,
        configurations=(),
        search=tuple(Choices(name=name, choices=(value,)) for name, value in searched.items()),
        sampler=SamplerSpec(name="random"),
        pruning=replace(spec.pruning, diagnosis=False, audit=0.0, rank="none"),
    )


def _json(spec: StudySpec, best: Trial, *, is_trainable: bool) -> str:
    configuration: Configuration | None = configure(spec, best.params) if is_trainable else None
    shown = {
        "study": spec.name,
        "trial": best.number,
        "seed": spec.seed,
        "metric": spec.metric,
        "value": best.value,
        "params": with_reasons(best.params),
        **({} if configuration is None else asdict(configuration)),
    }
    return json_text(shown, indent=2)


def _commands(spec: StudySpec, best: Trial) -> tuple[Command, ...]:
    settings = [
        shlex.quote(f"{full_name(name)}={value_text(name, value)}") for name, value in best.params.items()
    ]
    given = "".join(f" --set {setting}" for setting in settings)
    return (
        Command(
            purpose="Train it again from the database, bit for bit",
            line=f"hpsearch trial replay {shlex.quote(spec.name)} {best.number}",
        ),
        Command(
            purpose=f"Train the configuration with other initial weights: save the file below as {FILE}",
            line=f"hpsearch study run {FILE}",
        ),
        Command(
            purpose="Its diagnosis, with the study's own file",
            line=f"hpsearch diagnose STUDY.toml --seed {spec.seed}{given}",
        ),
    )


def _test_words(snapshot: Snapshot) -> str:
    spec, unsealing = snapshot.study.spec, snapshot.unsealing
    if unsealing is None:
        return _unopened_words(spec)
    opened = f"opened {format_time(unsealing.opened)} for trial {unsealing.number} by `{unsealing.command}`"
    chosen = next((trial for trial in snapshot.trials if trial.number == unsealing.number), None)
    if chosen is None:
        return f"The test part was {opened}, but that trial no longer exists."
    found = seed_results(chosen, snapshot.evaluations, part="test", metric=spec.metric)
    return f"The test part was {opened}: {_test_result(found, spec.metric)}."


def _unopened_words(spec: StudySpec) -> str:
    """Return whether there is a test part to open, in words. Only MNIST and folders of IDX files have one."""
    if spec.objective is not None:
        return "The study's function reads its own data: hpsearch keeps no test part of it."
    data = spec.data
    is_table = data.source in BUILTIN_SOURCES or data.source.endswith(PATH_SUFFIXES)
    has_own = data.sealed == "test" and (data.source == "mnist" or not is_table)
    if not data.test_fraction and not has_own:
        return "The study has no test part (data.test_fraction is 0)."
    name = shlex.quote(spec.name)
    return f"The test part is sealed. `hpsearch study test {name}` opens it, once, after the search."


def _test_result(found: SeedResults, metric: str) -> str:
    if not found.values:
        return "no result was stored"
    noun = format_metric_noun(metric)
    seeds = format_count(len(found.values), "fresh seed")
    return f"test {noun} {mean_words(found, metric)}, the mean over {seeds}"


_TITLE = "Use the best configuration"


def best_card_section(snapshot: Snapshot) -> Markup:
    """Return the card; a sentence if no trial is the best."""
    card, metric = best_card(snapshot), snapshot.study.spec.metric
    return piece(
        "best_card.html",
        "card",
        title=_TITLE,
        shown=card,
        pairs=[] if card is None else _pairs(card, metric),
        heads=[
            "trial",
            f"{format_metric(metric)} in the search",
            "fresh seeds",
            "their mean",
            "95 % interval",
        ],
        repeated=[] if card is None else [_repeated_cells(one, metric) for one in card.repeated],
        file=FILE,
    )


def _pairs(card: BestCard, metric: str) -> list[tuple[str, str]]:
    """Return the facts of the card, including those from fresh seeds if the trial was trained with any."""
    mine = [one for one in card.repeated if one.number == card.number]
    return [
        ("Trial", str(card.number)),
        (format_metric_title(metric), card.value),
        *((f"Over {format_count(len(one.values), 'fresh seed')}", mean_words(one, metric)) for one in mine),
        ("Seed of the study", str(card.seed)),
    ]


def _repeated_cells(one: SeedResults, metric: str) -> tuple[str, ...]:
    return (
        piece("parts.html", "trial", one.number),
        format_result(one.in_search, metric),
        format_count(len(one.values)),
        mean_words(one, metric),
        interval_words(one, metric),
    )
