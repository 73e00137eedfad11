"""A study of exact configurations: its budget, and its trials in Optuna's tables."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import optuna
import pytest

from hpsearch.errors import StudyExistsError
from hpsearch.search.searcher import Searcher
from hpsearch.storage.records import Assignment, StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.configurations import configuration_of, params_of_trial, spanned_dimensions
from hpsearch.study.spec import ExactConfiguration, PruningSpec, SamplerSpec, StudySpec
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, update

Labs = Callable[..., Lab]

CONFIGURATIONS = (
    ExactConfiguration(name="ReLU, 0.05", params=(("learning_rate", 0.05), ("model.hidden", "[8, 8]"))),
    ExactConfiguration(name="batch of 7", params=(("training.batch_size", 7), ("weight_decay", 1e-3))),
    ExactConfiguration(name="the study's own"),
)


def exact_spec(name: str | None = None, *, seeds: int = 4) -> StudySpec:
    """Return a study of three configurations with `seeds` trials each."""
    spec = a_spec(
        name,
        trials=3 * seeds,
        configurations=CONFIGURATIONS,
        sampler=SamplerSpec(name="none"),
        pruning=PruningSpec(rank="none"),
    )
    return replace(spec, search=spanned_dimensions(spec))


def work(url: str, study: StoredStudy, *, worker: str, lose: int = 0) -> None:
    """Claim, suggest and end trials until there are none; the first `lose` are claimed and left to expire."""
    with open_store(url) as store:
        if lose:
            store.queue.claim(study, worker=f"{worker}-killed", count=lose, lease_s=-1.0)
        searcher = Searcher(study.spec)
        while claims := store.queue.claim(study, worker=worker, count=2, lease_s=600.0):
            store.trials.assign(
                study,
                [
                    Assignment(claim=claim, params=searcher.suggest(claim.number, claim.fixed).params)
                    for claim in claims
                    if claim.params is None
                ],
            )
            store.trials.record(study, [update(claim) for claim in claims])


def test_every_configuration_has_its_seeds_exactly(url: str, store: Store) -> None:
    """With four workers, two of which lose what they claimed first, each configuration ends with its four trials."""
    study = store.studies.create(exact_spec(), fingerprint=FINGERPRINT)
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done in [
            pool.submit(work, url, study, worker=f"worker-{index}", lose=2 * (index % 2))
            for index in range(4)
        ]:
            done.result()
    work(url, study, worker="the last")
    trials = store.trials.all(study)
    assert [trial.number for trial in trials] == list(range(12))
    assert all(dict(trial.params) == params_of_trial(study.spec, trial.number) for trial in trials)
    counts = Counter(configuration_of(study.spec, trial.params) for trial in trials)
    assert counts == dict.fromkeys(CONFIGURATIONS, 4)
    assert store.studies.progress(study).is_done


def test_optuna_reads_the_trials(url: str, store: Store) -> None:
    """Stock Optuna sees the parameters with distributions that hold them, in its table of trials and its best."""
    study = store.studies.create(exact_spec(seeds=1), fingerprint=FINGERPRINT)
    work(url, study, worker="only")
    lab = Lab(store=store, url=url, study=study)
    stock = lab.stock()
    for trial in stock.trials:
        assert trial.params == params_of_trial(study.spec, trial.number)
        for name, distribution in trial.distributions.items():
            optuna.distributions.check_distribution_compatibility(
                distribution, stock.trials[0].distributions[name]
            )
            assert distribution._contains(distribution.to_internal_repr(trial.params[name]))
    assert stock.best_value == 0.5
    lab.close()


def test_other_configurations_are_another_study(store: Store) -> None:
    """The error states which configurations differ, and their order is part of the study."""
    spec = exact_spec("exact-taken")
    store.studies.create(spec, fingerprint=FINGERPRINT)
    assert store.studies.create(replace(spec, trials=99), fingerprint=FINGERPRINT).spec.trials == spec.trials
    first, *rest = CONFIGURATIONS
    changed = (replace(first, params=(("learning_rate", 0.5), ("model.hidden", "[8, 8]"))), *rest)
    other = replace(spec, configurations=changed)
    with pytest.raises(StudyExistsError) as caught:
        store.studies.create(replace(other, search=spanned_dimensions(other)), fingerprint=FINGERPRINT)
    assert str(caught.value) == (
        'study "exact-taken": exists with another specification: configurations."ReLU, 0.05" is '
        '{"learning_rate": 0.05, "model.hidden": "[8, 8]"} there '
        '(got {"learning_rate": 0.5, "model.hidden": "[8, 8]"}): '
        "make them equal, choose another name, or delete that study"
    )
    with pytest.raises(
        StudyExistsError, match=r'configurations is \["ReLU, 0.05", .*\] there \(got \["the study'
    ):
        store.studies.create(replace(spec, configurations=CONFIGURATIONS[::-1]), fingerprint=FINGERPRINT)
