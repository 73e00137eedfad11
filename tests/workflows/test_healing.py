"""Healing: the order of remedies, what is kept, when it ends, and the file that it writes."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hpsearch
from hpsearch.errors import HpsearchError
from hpsearch.study.reader import parse_study, read_study
from hpsearch.study.spec import DataSpec, ModelSpec, StudySpec, TrainingSpec
from hpsearch.telemetry import Epoch
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause, Finding, Verdict
from hpsearch.worker.preparation import PreparedStudy, prepare_study
from hpsearch.worker.range_test import RATES, RangeTest
from hpsearch.worker.trial_diagnosis import TrialDiagnosis
from hpsearch.workflows import healing as workflow
from hpsearch.workflows.healing import Healing, fix, write_healed

STEPS = 100


def study(**training: Any) -> PreparedStudy:
    """Return a study of iris that searches nothing."""
    spec = StudySpec(name="x", data=DataSpec(source="iris"), search=(), training=TrainingSpec(**training))
    return prepare_study(spec)


def diagnosis(
    *remedies: Mapping[str, ParameterValue],
    cause: Cause = Cause.OVERFIT,
    accuracy: float = 0.5,
    steps: int = STEPS,
) -> TrialDiagnosis:
    """Return the diagnosis of a run with a finding for each of the remedies."""
    return TrialDiagnosis(
        verdict=Verdict(
            findings=tuple(
                Finding(
                    cause=cause,
                    confidence=1.0,
                    first_step=0,
                    evidence={},
                    remedy="Do that.",
                    suggested=suggested,
                )
                for suggested in remedies
            )
        ),
        steps=steps,
        steps_planned=STEPS,
        epochs=1,
        epochs_planned=1,
        last=Epoch(epoch=0, training_loss=1.0, validation_loss=1.0, validation_accuracy=accuracy),
    )


def heal(start: PreparedStudy, **options: Any) -> Healing:
    """Heal a study whose learning rate is never tested."""
    return workflow.heal(start, **{"test_rates": lambda _: None, **options})


HEALTHY = diagnosis({}, cause=Cause.HEALTHY, accuracy=0.9)


def script(*results: TrialDiagnosis) -> Callable[[PreparedStudy], TrialDiagnosis]:
    """Return a training that has the given results, in order."""
    left = iter(results)
    return lambda _: next(left)


def test_steps_add_up_until_the_run_is_healthy() -> None:
    """Each remedy is tried on top of those before it, with numbers of three digits."""
    trained: list[PreparedStudy] = []
    results = iter([diagnosis({"learning_rate": 0.0123456}), diagnosis({"model.hidden": "[32,32]"}), HEALTHY])

    def train(study: PreparedStudy) -> TrialDiagnosis:
        trained.append(study)
        return next(results)

    healing = heal(study(), train=train)
    assert [dict(step.settings) for step in healing.steps] == [
        {"learning_rate": 0.0123},
        {"model.hidden": "[32,32]"},
    ]
    assert [step.value for step in healing.steps] == [0.5, 0.9]
    assert healing.settings == {"learning_rate": 0.0123, "model.hidden": "[32,32]"}
    assert (healing.is_healthy, healing.reason) == (True, "Healthy after 2 remedies.")
    assert healing.study is trained[-1]
    assert trained[-1].spec.model.hidden == (32, 32)
    assert trained[-1].spec.training.learning_rate == 0.0123


def test_another_network_may_get_another_rate() -> None:
    """The rate is tested if a remedy changes more than it, and changed unless it suits."""
    falls = [0.0] * len(RATES)
    falls[RATES.index(0.2)] = 0.9
    asked: list[PreparedStudy] = []

    def test_rates(changed: PreparedStudy) -> RangeTest:
        asked.append(changed)
        return RangeTest(falls=tuple(falls))

    first, second = diagnosis({"model.batch_norm": True}), diagnosis({"learning_rate": 0.3})
    healing = heal(study(), train=script(first, second, HEALTHY), test_rates=test_rates)
    assert [dict(step.settings) for step in healing.steps] == [
        {"model.batch_norm": True, "learning_rate": 0.2},
        {"learning_rate": 0.3},
    ]
    assert [one.spec.model.batch_norm for one in asked] == [True], "a tested rate is not tested again"
    suited = heal(study(learning_rate=0.2), train=script(first, HEALTHY), test_rates=test_rates)
    assert suited.settings == {"model.batch_norm": True}


def test_a_healthy_run_is_left_alone() -> None:
    """Nothing is tried on a healthy run, even if it has other findings."""
    healing = heal(study(), train=script(HEALTHY))
    assert (healing.steps, healing.settings) == ((), {})
    assert healing.reason == "Nothing to fix: the run is healthy."
    assert healing.first is healing.last


def test_at_most_three_are_tried() -> None:
    """After three remedies the fault that remains is named."""
    rates = (diagnosis({"learning_rate": 0.05 / 10**i}) for i in range(9))
    healing = heal(study(), train=lambda _: next(rates))
    assert len(healing.steps) == 3
    assert healing.reason == "Not healthy after 3 remedies: overfit remains. Do that."


def test_a_fault_without_a_value_ends_it() -> None:
    """Without a suggested value for the strongest finding nothing is tried: it explains the others."""
    healing = heal(study(), train=script(diagnosis({}, {"learning_rate": 0.01})))
    assert healing.steps == ()
    assert healing.reason == "Not healthy: no setting is suggested for overfit. Do that."
    undecided = heal(study(), train=script(diagnosis({}, cause=Cause.INCONCLUSIVE)))
    assert undecided.reason == "Not known to be healthy: the verdict is inconclusive. Do that."


def test_a_worse_step_is_not_kept() -> None:
    """The next remedy, of the same diagnosis, starts from the settings before; the refused one is not repeated."""
    first = diagnosis({"model.batch_norm": True}, {"learning_rate": 0.2})
    healing = heal(study(), train=script(first, diagnosis({}, accuracy=0.4), HEALTHY))
    assert [step.is_kept for step in healing.steps] == [False, True]
    assert healing.settings == {"learning_rate": 0.2}
    assert healing.study.spec.model.batch_norm is False
    only = diagnosis({"model.batch_norm": True})
    refused = heal(study(), train=script(only, diagnosis({}, accuracy=0.4)))
    assert refused.last is only
    assert "model.batch_norm=true, was tried or takes back an earlier change" in refused.reason


@pytest.mark.parametrize(
    ("after", "is_kept"),
    [
        (diagnosis({}, accuracy=0.5), True),
        (diagnosis({}, accuracy=0.49), False),
        (diagnosis({}, cause=Cause.INCONCLUSIVE, accuracy=0.49), True),
        (diagnosis({}, accuracy=0.5, steps=50), False),
        (replace(HEALTHY, last=None), True),
    ],
)
def test_worse_means_a_worse_value_and_no_better_health(after: TrialDiagnosis, *, is_kept: bool) -> None:
    """A healthier run is kept in any case, an equally ill one unless its value is worse."""
    (step,) = heal(study(), train=script(diagnosis({"learning_rate": 0.2}), after), most=1).steps
    assert step.is_kept is is_kept


def test_a_step_that_ended_early_gets_another_remedy() -> None:
    """Its result is not known, so the next remedy is tried on top; if that does not help, neither is kept."""
    first = diagnosis({"data.scale": "standard"}, accuracy=0.5)
    early = diagnosis({"learning_rate": 0.2}, accuracy=0.1, steps=9)
    healed = heal(study(), train=script(first, early, HEALTHY))
    assert [step.is_kept for step in healed.steps] == [True, True]
    assert healed.settings == {"data.scale": "standard", "learning_rate": 0.2}
    ill = heal(study(), train=script(first, early, diagnosis({}, accuracy=0.4)))
    assert [step.is_kept for step in ill.steps] == [False, False]
    assert ill.last is first
    assert (ill.settings, ill.study.spec.data.scale) == ({}, "unit")


def test_runs_that_ended_early_have_no_value_to_compare() -> None:
    """Two untrained networks are equally ill, whatever chance gave them."""
    early = diagnosis({"learning_rate": 0.2}, steps=5)
    healing = heal(study(), train=script(early, diagnosis({}, accuracy=0.1, steps=9)))
    assert healing.steps[0].is_kept


@pytest.mark.parametrize(
    ("second", "is_tried"),
    [
        ({"learning_rate": 0.0001}, True),  # further down
        ({"learning_rate": 0.05}, True),  # between both
        ({"learning_rate": 0.1}, False),  # back
        ({"learning_rate": 0.5}, False),  # further back
        ({"model.batch_norm": True, "training.learning_rate": 0.5}, False),
        ({"model.batch_norm": False}, True),
    ],
)
def test_no_earlier_change_is_taken_back(second: dict[str, ParameterValue], *, is_tried: bool) -> None:
    """A learning rate that was lowered from 0.1 is never 0.1 or more again."""
    first = diagnosis({"learning_rate": 0.001})
    healing = heal(study(), train=script(first, diagnosis(second), HEALTHY))
    assert len(healing.steps) == 1 + is_tried


def test_a_setting_that_changed_its_meaning_has_no_bounds() -> None:
    """With another reduction a learning rate means something else: later ones may be below the first."""
    first = diagnosis({"training.reduction": "mean", "learning_rate": 3.0})
    healing = heal(study(reduction="sum"), train=script(first, diagnosis({"learning_rate": 0.05}), HEALTHY))
    assert healing.settings == {"training.reduction": "mean", "learning_rate": 0.05}


def test_the_data_is_prepared_again_if_it_depends_on_the_setting() -> None:
    """Scaled inputs and the precision are applied to the data of the next training."""
    given = study()
    remedy = {"data.scale": "standard", "training.precision": "float64"}
    healing = heal(given, train=script(diagnosis(remedy), HEALTHY))
    inputs = healing.study.data.training.inputs
    assert inputs.dtype == "float64"
    assert abs(inputs.mean()) < 1e-6 < abs(given.data.training.inputs.mean())


HOT = """# why does it die?
name = "hot"
data = { source = "digits" }

[training]
epochs = 10
learning_rate = 30.0  # too hot?
"""


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "training.learning_rate"),
        ({"training.learning_rate": 1e-6}, "training.learning_rate"),
        ({"training.learning_rate": 0.1, "model.initializer": {"normal": 0.0}}, "model.initializer"),
        ({"training.learning_rate": 0.2, "training.reduction": "sum"}, "training.reduction"),
    ],
)
def test_real_faults_heal(changes: dict[str, Any], key: str) -> None:
    """Digits learn after remedies; the file has the healed value and the options' and is healthy when diagnosed."""
    file = Path("hot.toml")
    file.write_text(HOT)
    fixed = fix(file, changes)
    assert fixed.healing.is_healthy, fixed.healing.reason
    assert fixed.written is not None
    assert (fixed.written.path, fixed.written.keeps_text) == (Path("hot-healed.toml"), True)
    text = fixed.written.path.read_text()
    assert text.startswith("# why does it die?\n")
    assert "  # too hot?\n" in text
    table, _, name = key.partition(".")
    healed, given = tomllib.loads(text)[table][name], tomllib.loads(HOT)
    assert healed != changes.get(key, given.get(table, {}).get(name))
    assert hpsearch.diagnose("hot-healed.toml").cause is Cause.HEALTHY
    assert file.read_text() == HOT


def test_an_existing_file_is_overwritten_only_by_name() -> None:
    """The default path must be free before anything is trained; a named path is written over, the study's too."""
    file = Path("hot.toml")
    file.write_text(HOT)
    Path("hot-healed.toml").write_text("mine")
    with pytest.raises(HpsearchError, match=r"hot-healed\.toml: must not exist yet"):
        fix(file)
    with pytest.raises(HpsearchError, match="--output: its folder must exist"):
        fix(file, output=Path("no/where.toml"))
    assert Path("hot-healed.toml").read_text() == "mine"
    fix(file, output=file)
    assert file.read_text() == HOT.replace("30.0", "0.5")


def test_no_file_is_written_unless_a_remedy_healed() -> None:
    """A healthy run, and a fault that stays, leave the folder as it is."""
    file = Path("hot.toml")
    file.write_text(HOT)
    for changes in (
        {"training.learning_rate": 0.1},
        {"training.learning_rate": 0.1, "data.fault": "labels_shuffled"},
    ):
        assert fix(file, changes).written is None
    assert [path.name for path in Path().iterdir()] == ["hot.toml"]


def test_the_chosen_configuration_is_written_alone() -> None:
    """Of exact configurations the healed file has the chosen one, under its name, with the healed values."""
    Path("two.toml").write_text(
        'name = "two"\nseeds = 3\ndata.source = "digits"\n'
        '[[configurations]]\nname = "hot"\nlearning_rate = 30.0\nmodel.hidden = [32]\n[[configurations]]\n'
    )
    written = write_healed(
        Path("healed.toml"),
        Path("two.toml"),
        changes={"training.learning_rate": 0.3},
        configuration="hot",
    )
    spec = read_study(Path("healed.toml"))
    assert not written.keeps_text
    assert [(exact.name, dict(exact.params)) for exact in spec.configurations] == [
        ("hot", {"model.hidden": "[32]"})
    ]
    assert (spec.trials, spec.training.learning_rate) == (3, 0.3)


def test_other_forms_of_a_file_are_written_anew() -> None:
    """A file with inline tables gives the same study with the changed value, although its text is new."""
    text = (
        'name = "x"\ndata = { source = "iris" }\ntraining = { epochs = 7 }\n'
        "[search]\nmomentum = { low = 0.1, high = 0.9 }\n"
    )
    Path("x.toml").write_text(text)
    written = write_healed(Path("y.toml"), Path("x.toml"), changes={"training.learning_rate": 0.3})
    given = parse_study(text, source="x.toml")
    assert not written.keeps_text
    assert read_study(Path("y.toml")) == replace(
        given, training=replace(given.training, learning_rate=0.3), model=ModelSpec()
    )


def test_a_path_of_data_stays_true() -> None:
    """In another folder the healed file names the data by its whole path, next to its study the path is kept."""
    folder = Path("data")
    folder.mkdir()
    (folder / "a.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    (folder / "a.toml").write_text('name = "a"\n[data]\nsource = "a.csv"\n')
    changes = {"training.learning_rate": 0.3}
    write_healed(Path("b.toml"), folder / "a.toml", changes=changes)
    write_healed(folder / "b.toml", folder / "a.toml", changes=changes)
    sources = [
        tomllib.loads(path.read_text())["data"]["source"] for path in (Path("b.toml"), folder / "b.toml")
    ]
    assert sources == [str((folder / "a.csv").resolve()), "a.csv"]


def test_python_saves_studies_without_a_file() -> None:
    """Keyword arguments become a study file; data in memory cannot."""
    healing = hpsearch.diagnose(data="digits", hidden=[32], epochs=10, learning_rate=30.0).heal()
    healing.save("saved.toml")
    spec = read_study(Path("saved.toml"))
    assert (spec.model.hidden, spec.training.epochs) == ((32,), 10)
    assert spec.training.learning_rate == healing.settings["learning_rate"]
    assert healing.diagnosis.training.curves["loss"]
    in_memory = hpsearch.diagnose([[0.0], [1.0]] * 20, [0, 1] * 20, learning_rate=1e-6, batch_size=8).heal()
    with pytest.raises(HpsearchError, match="save: must have data that a study file can name"):
        in_memory.save("memory.toml")
