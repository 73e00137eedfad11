"""Exact configurations as a sampler."""

from collections.abc import Callable

from hpsearch.search.searcher import Searcher
from hpsearch.study.configurations import params_of_trial, spanned_dimensions
from hpsearch.study.spec import ExactConfiguration, StudySpec
from hpsearch.trials import Trial, TrialState

SpecOf = Callable[..., StudySpec]

CONFIGURATIONS = (
    ExactConfiguration(name="a", params=(("learning_rate", 0.05), ("model.activation", "relu"))),
    ExactConfiguration(name="b", params=(("learning_rate", 0.001), ("training.batch_size", 7))),
    ExactConfiguration(name="c", params=(("model.initializer", '{"normal": 0.01}'),)),
)


def exact_study(spec_of: SpecOf) -> StudySpec:
    """Return a study of three configurations."""
    spec = spec_of("none", configurations=CONFIGURATIONS)
    return spec_of("none", configurations=CONFIGURATIONS, search=spanned_dimensions(spec))


def test_a_trial_gets_the_configuration_of_its_number(spec_of: SpecOf) -> None:
    """In any order of requests, trial n gets configuration n modulo their number."""
    spec = exact_study(spec_of)
    searcher = Searcher(spec)
    for number in (5, 0, 3, 1, 100, 2):
        searcher.learn(
            [Trial(number=7, state=TrialState.COMPLETE, params=params_of_trial(spec, 7), value=1.0)]
        )
        assert dict(searcher.suggest(number).params) == params_of_trial(spec, number)


def test_enqueued_parameters_are_kept(spec_of: SpecOf) -> None:
    """A trial that was enqueued with parameters keeps those inside the search space."""
    spec = exact_study(spec_of)
    params = Searcher(spec).suggest(0, {"learning_rate": 0.02}).params
    assert dict(params) == params_of_trial(spec, 0) | {"learning_rate": 0.02}


def test_a_configuration_of_fixed_values_has_no_parameters(spec_of: SpecOf) -> None:
    """The only configuration, without values of its own, has trials without parameters."""
    spec = spec_of("none", configurations=(ExactConfiguration(name="fixed"),), search=())
    assert dict(Searcher(spec).suggest(4).params) == {}
