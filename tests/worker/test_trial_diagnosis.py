"""The diagnosis of one configuration: its end, and its identity with a search's trial."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpsearch.diagnosis.verdicts import SURE
from hpsearch.study.spec import DataSpec, Fault, ModelSpec, Output, PruningSpec, StudySpec, TrainingSpec
from hpsearch.verdicts import Cause
from hpsearch.worker.preparation import prepare_configuration, prepare_study
from hpsearch.worker.trial_diagnosis import TrialDiagnosis, diagnose_configuration, record_configuration
from tests.worker.bench import SPEC, Bench


def examined(spec: StudySpec = SPEC, **training: Any) -> TrialDiagnosis:
    """Return the diagnosis of iris with another training."""
    changed = replace(spec, search=(), training=replace(spec.training, **training))
    return diagnose_configuration(prepare_study(changed))


def test_a_healthy_configuration_trains_all_its_epochs() -> None:
    """Without a fatal verdict every step is made."""
    found = examined(learning_rate=0.3, epochs=12)
    assert found.verdict.cause is Cause.HEALTHY
    assert (found.steps, found.epochs) == (found.steps_planned, found.epochs_planned) == (48, 12)
    assert found.last is not None
    assert found.last.epoch == 11


def test_the_recording_is_the_same_training() -> None:
    """A recorded training has the samples and epochs of the diagnosed one, step by step."""
    study = prepare_study(replace(SPEC, search=(), training=replace(SPEC.training, epochs=3)))
    found = diagnose_configuration(study)
    recording = record_configuration(study, steps=found.steps)
    assert recording.steps == found.steps
    assert recording.telemetry.epochs[-1] == found.last


@pytest.mark.parametrize("rate", [1e4, 1e-6])
def test_a_certain_fatal_verdict_ends_it(rate: float) -> None:
    """A certain fatal verdict is returned without further training."""
    found = examined(learning_rate=rate, epochs=40)
    assert found.verdict.cause in SPEC.pruning.fatal_causes
    assert found.verdict.findings[0].confidence >= SURE
    assert found.steps < found.steps_planned


def test_an_expected_cause_does_not_end_it() -> None:
    """Without fatal causes a slow configuration trains to its end; non-finite numbers end any."""
    spec = replace(SPEC, pruning=PruningSpec(fatal=()))
    assert examined(spec, learning_rate=1e-6).epochs == SPEC.training.epochs
    broken = replace(spec, model=replace(spec.model, activation="leaky_relu"))
    found = examined(broken, learning_rate=1e9, epochs=40)
    assert found.steps < found.steps_planned


def test_it_is_the_first_trial_of_a_search(tmp_path: Path) -> None:
    """The configuration has the losses of trial 0 of a study with the same seed."""
    training = TrainingSpec(epochs=3, batch_size=32, learning_rate=0.25, weight_decay=1e-3)
    bench = Bench(
        f"sqlite:///{tmp_path}/search.db",
        replace(SPEC, training=training, search=(), trials=1, pruning=PruningSpec(diagnosis=False)),
    )
    bench.worker("a").run()
    (trial,) = bench.trials()
    found = diagnose_configuration(prepare_study(replace(SPEC, training=training, search=())))
    assert found.last is not None
    assert found.last.validation_accuracy == trial.value


def test_a_file_is_prepared_without_its_search() -> None:
    """Searched settings are fixed at the file's own value, even if only that value fits the data."""
    path = Path("x.toml")
    path.write_text(
        'name = "x"\ndata.source = "iris"\ntraining.batch_size = 20\n'
        "[search]\ntraining.batch_size = { low = 10, high = 5000 }\n"
    )
    study = prepare_configuration(path, {"training.epochs": 2, "seed": 4})
    assert study.spec.search == ()
    assert (study.spec.training.batch_size, study.spec.training.epochs, study.spec.seed) == (20, 2, 4)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (Fault(name="labels_shuffled"), Cause.LABELS_UNRELATED),
        (Fault(name="validation_labels_shuffled"), Cause.VAL_MISALIGNED),
        (Fault(name="constant_inputs"), Cause.INPUT_DEGENERATE),
        (Fault(name="integer_division", number=17), Cause.INPUT_DEGENERATE),
        (None, Cause.HEALTHY),
    ],
    ids=lambda case: case.name if isinstance(case, Fault) else None,
)
def test_a_fault_in_the_data_is_found(fault: Fault | None, cause: Cause) -> None:
    """The verdict on digits names the fault in the data, from training and data alone."""
    spec = StudySpec(
        name="x",
        data=DataSpec(source="digits", fault=fault),
        search=(),
        training=TrainingSpec(batch_size=32, epochs=12),
    )
    assert diagnose_configuration(prepare_study(spec)).verdict.cause is cause


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_an_output_that_cannot_give_the_targets_is_named(output: Output) -> None:
    """A regression whose targets lie beyond the output activation has that finding, whatever it learns."""
    spec = StudySpec(
        name="x",
        data=DataSpec(source="diabetes", scale="standard"),
        search=(),
        model=ModelSpec(output=output),
        training=TrainingSpec(epochs=12, learning_rate=0.01),
    )
    assert diagnose_configuration(prepare_study(spec)).verdict.cause is Cause.OUTPUT_RANGE
