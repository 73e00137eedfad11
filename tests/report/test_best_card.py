"""The card of the best configuration."""

import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpsearch.analysis.confirmation import sentence
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.best_card import best_card, one_configuration
from hpsearch.storage.records import Evaluation, Part, Unsealing
from hpsearch.study.reader import parse_settings, parse_study, read_study, with_settings
from hpsearch.study.spec import Choices, Range, StudySpec, configure
from hpsearch.study.writer import specification_text
from hpsearch.trials import ParameterValue, Trial, TrialState
from tests.report.synthetic import SPEC, empty, only_deaths, snapshot_of

NOW = datetime(2026, 7, 26, tzinfo=UTC)
WIDE: dict[str, ParameterValue] = {
    "learning_rate": 0.1234567890123456,
    "model.hidden": "[64, 32]",
    "model.initializer": '{"normal": 0.01}',
    "model.activation": "elu",
    "model.batch_norm": True,
    "training.batch_size": 17,
}
WIDE_SPEC = replace(
    SPEC,
    search=(
        Range(name="learning_rate", low=1e-5, high=1.0, log=True),
        Choices(name="model.hidden", choices=("[8]", "[64, 32]")),
        Choices(name="model.initializer", choices=("he", '{"normal": 0.01}')),
        Choices(name="model.activation", choices=("relu", "elu")),
        Choices(name="model.batch_norm", choices=(True, False)),
        Range(name="training.batch_size", low=1, high=64, integer=True),
    ),
)


def best_of(params: dict[str, ParameterValue], spec: StudySpec = WIDE_SPEC) -> Snapshot:
    """Return a study whose only trial has these parameters."""
    return snapshot_of([Trial(number=4, state=TrialState.COMPLETE, params=params, value=0.9)], spec=spec)


@pytest.mark.parametrize("params", [WIDE, {}], ids=["wide", "nothing searched"])
def test_the_study_file_is_exactly_that_configuration(params: dict[str, ParameterValue]) -> None:
    """Read as a study it tries the one configuration; read for `diagnose` its fixed values are the same one."""
    spec = WIDE_SPEC if params else replace(SPEC, search=())
    card = best_card(best_of(params, spec))
    assert card is not None
    read = parse_study(card.study_file, source="card")
    wanted = configure(spec, params)
    assert (read.model, read.training) == (wanted.model, wanted.training)
    assert all(isinstance(dimension, Choices) and len(dimension.choices) == 1 for dimension in read.search)
    tried = {d.name: d.choices[0] for d in read.search if isinstance(d, Choices)}
    assert configure(read, tried) == wanted
    assert (read.trials, read.data, read.seed, read.metric) == (1, spec.data, spec.seed, spec.metric)
    assert (read.pruning.rank, read.pruning.diagnosis) == ("none", False)


def test_the_command_line_sets_exactly_that_configuration(tmp_path: Path) -> None:
    """The settings of `diagnose`, as a shell splits them, turn the study's own file into the configuration."""
    card = best_card(best_of(WIDE))
    assert card is not None
    words = shlex.split(card.commands[-1].line)
    settings = parse_settings([words[i + 1] for i, word in enumerate(words) if word == "--set"])
    assert words[:5] == ["hpsearch", "diagnose", "STUDY.toml", "--seed", str(SPEC.seed)]
    path = tmp_path / "study.toml"
    path.write_text(specification_text(WIDE_SPEC))
    read = read_study(path, settings=settings)
    assert (read.model, read.training) == (
        configure(WIDE_SPEC, WIDE).model,
        configure(WIDE_SPEC, WIDE).training,
    )
    assert with_settings({}, settings)


def test_the_json_has_every_digit() -> None:
    """The JSON names study, trial and seed, and its numbers are the trial's own."""
    card = best_card(best_of(WIDE))
    assert card is not None
    shown = json.loads(card.json)
    assert (shown["study"], shown["trial"], shown["seed"]) == ("digits", 4, SPEC.seed)
    assert shown["params"] == WIDE
    assert shown["training"]["learning_rate"] == WIDE["learning_rate"]
    assert shown["model"]["hidden"] == [64, 32]


def test_the_replay_names_the_trial() -> None:
    """The first command trains the trial of this study again; a name with blanks is one word of the shell."""
    spec = replace(WIDE_SPEC, name="two words; rm")
    card = best_card(best_of(WIDE, spec))
    assert card is not None
    assert card.commands[0].line == "hpsearch trial replay 'two words; rm' 4"
    assert one_configuration(spec, WIDE).name == "two words; rm-best"


@pytest.mark.parametrize("snapshot", [empty(), only_deaths()], ids=["empty", "only deaths"])
def test_without_a_best_there_is_no_card(snapshot: Snapshot) -> None:
    """A study without a complete trial has no card."""
    assert best_card(snapshot) is None


def evaluations(number: int, *values: float | None, part: Part = "validation") -> list[Evaluation]:
    """Return a trial's configuration trained with as many fresh seeds."""
    return [
        Evaluation(number=number, part=part, seed=seed, loss=0.5, accuracy=value, made=NOW)
        for seed, value in enumerate(values)
    ]


def complete(*values: float) -> list[Trial]:
    """Return complete trials with these results."""
    return [
        Trial(number=number, state=TrialState.COMPLETE, params={"learning_rate": 0.1}, value=value)
        for number, value in enumerate(values)
    ]


def test_without_fresh_seeds_the_best_is_uncertain() -> None:
    """Without evaluations the card names the command that makes them; those of the test part do not count."""
    snapshot = snapshot_of(complete(0.9, 0.8))
    for one in (snapshot, replace(snapshot, evaluations=evaluations(0, 0.9, 0.9, part="test"))):
        card = best_card(one)
        assert card is not None
        assert card.repeated == ()
        assert "Not sure yet" in card.certainty
        assert "`hpsearch study confirm digits`" in card.certainty


def test_the_card_has_the_results_of_fresh_seeds() -> None:
    """Every configuration with fresh seeds has a row, the best mean first, regardless of the search's order."""
    made = [*evaluations(0, 0.80, 0.81, 0.80), *evaluations(1, 0.94, 0.95, 0.94), *evaluations(2, 0.9, None)]
    card = best_card(replace(snapshot_of(complete(0.95, 0.94, 0.93, 0.92)), evaluations=made))
    assert card is not None
    assert (card.number, card.value) == (1, "0.940")
    assert [one.number for one in card.repeated] == [1, 0, 2]
    assert card.certainty == sentence(card.repeated)
    assert card.certainty.startswith("Trial 1 is better than all others")


def test_the_test_part_is_sealed_opened_or_absent() -> None:
    """The card states which of the three it is, and the result only after the opening."""
    none = best_card(snapshot_of(complete(0.9)))
    assert none is not None
    assert none.test == "The study has no test part (data.test_fraction is 0)."
    spec = replace(SPEC, data=replace(SPEC.data, test_fraction=0.1))
    sealed = best_card(snapshot_of(complete(0.9), spec=spec))
    assert sealed is not None
    assert "is sealed. `hpsearch study test digits` opens it, once" in sealed.test
    for data in (replace(SPEC.data, source="mnist"), replace(SPEC.data, source="mnist", sealed="validation")):
        own = best_card(snapshot_of(complete(0.9), spec=replace(SPEC, data=data)))
        assert own is not None
        assert ("is sealed" in own.test) == (data.sealed == "test")
    opened = replace(
        snapshot_of(complete(0.9), spec=spec),
        unsealing=Unsealing(number=0, command="hpsearch study test digits", opened=NOW),
        evaluations=[*evaluations(0, 0.8, 0.9, part="test"), *evaluations(0, 0.1, 0.2)],
    )
    card = best_card(opened)
    assert card is not None
    assert card.test == (
        "The test part was opened 2026-07-26 00:00 UTC for trial 0 by `hpsearch study test digits`:"
        " test accuracy 0.850, the mean over 2 fresh seeds."
    )
