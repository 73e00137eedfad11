"""Every study file of the repository, made small, from its text to its report."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from hpsearch.analysis.configurations import configuration_rows
from hpsearch.data.idx import write_idx
from hpsearch.report.page import render
from hpsearch.storage.store import open_store
from hpsearch.study.configurations import params_of_trial, spanned_dimensions
from hpsearch.study.reader import read_study
from hpsearch.study.spec import ExactConfiguration, StudySpec
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.preparation import prepare_study
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows.snapshot import take_snapshot

STUDIES = Path(__file__).parents[2] / "studies"
FILES = sorted(STUDIES.glob("*.toml"))

EXAMPLES, SEALED, TRIALS = 400, 100, 3


@pytest.fixture(scope="module")
def small_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that has the files of MNIST with 500 of scikit-learn's digits, 100 of them sealed."""
    folder = tmp_path_factory.mktemp("mnist")
    digits = load_digits()
    images = (digits.images[: EXAMPLES + SEALED] * 15).astype(np.uint8)
    labels = digits.target[: EXAMPLES + SEALED].astype(np.uint8)
    for name, part in (("train", slice(EXAMPLES)), ("t10k", slice(EXAMPLES, None))):
        write_idx(folder / f"{name}-images-idx3-ubyte", images[part])
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels[part])
    return folder


def made_small(spec: StudySpec) -> StudySpec:
    """Return the study with one epoch of at most 400 examples, and one trial a configuration or three in all."""
    examples = None if spec.data.source == "diabetes" else min(spec.data.examples or EXAMPLES, EXAMPLES)
    small = replace(
        spec,
        trials=len(spec.configurations) or TRIALS,
        data=replace(spec.data, examples=examples),
        training=replace(spec.training, epochs=1),
        configurations=tuple(map(_of_one_epoch, spec.configurations)),
    )
    return replace(small, search=spanned_dimensions(small) if small.configurations else small.search)


def _of_one_epoch(exact: ExactConfiguration) -> ExactConfiguration:
    params = tuple((name, value) for name, value in exact.params if name != "training.epochs")
    return replace(exact, params=params)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_study_file_runs_to_its_end(
    path: Path, small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trials all end, each with the configuration of its number, and listings and report show them."""
    monkeypatch.setitem(os.environ, "HPSEARCH_MNIST", str(small_mnist))
    prepared = prepare_study(made_small(read_study(path)))
    with open_store(f"sqlite:///{tmp_path / 'small.db'}") as store:
        study = store.studies.create(prepared.spec, fingerprint=prepared.data.fingerprint)
        options = WorkerOptions(name="only", rows=4)
        Worker(store, study, prepared.data, options=options, stop=StopRequest()).run()
        snapshot = take_snapshot(store, study)
    assert snapshot.progress.is_done
    assert snapshot.progress.failed == 0
    if study.spec.configurations:
        assert all(dict(t.params) == params_of_trial(study.spec, t.number) for t in snapshot.trials)
        assert [row.ended for row in configuration_rows(study, snapshot.trials)] == [1] * study.spec.trials
    assert path.stem in render(snapshot)
