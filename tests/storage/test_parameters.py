"""Parameters: stored exactly as Optuna stores them, and read without Optuna."""

import warnings

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from hpsearch.search.space import distributions
from hpsearch.storage.details import parameter, stored_parameters
from hpsearch.study.spec import Choices, DataSpec, Range, StudySpec
from hpsearch.trials import ParameterValue

SPEC = StudySpec(
    name="x",
    data=DataSpec(source="digits"),
    search=(
        Range(name="learning_rate", low=1e-6, high=1.0, log=True),
        Range(name="model.dropout", low=0.0, high=0.55, step=0.25),
        Range(name="training.batch_size", low=16, high=100, step=16, integer=True),
        Choices(name="model.hidden", choices=("[64]", "[64, 32]")),
    ),
)


def test_parameters_are_stored_as_optuna_would() -> None:
    """Float and distribution are those of Optuna's own classes, ends of stepped ranges included."""
    params: dict[str, ParameterValue] = {
        "learning_rate": 1e-3,
        "model.dropout": 0.5,
        "training.batch_size": 48,
        "model.hidden": "[64, 32]",
    }
    stored = stored_parameters(SPEC, params)
    assert [name for name, _, _ in stored] == list(params)
    made = distributions(SPEC)
    for name, value, text in stored:
        assert value == made[name].to_internal_repr(params[name])
        assert json_to_distribution(text) == made[name]
        assert parameter(value, text) == params[name]


def test_an_unknown_parameter_is_a_bug() -> None:
    """A parameter that the study does not search has no distribution to be stored with."""
    with pytest.raises(ValueError, match=r"^momentum: not a searched parameter \(got 0\.9\)$"):
        stored_parameters(SPEC, {"momentum": 0.9})


@given(
    st.one_of(
        st.tuples(st.just(FloatDistribution(-1e3, 1e3)), st.floats(-1e3, 1e3)),
        st.tuples(st.just(IntDistribution(-50, 50)), st.integers(-50, 50)),
        st.tuples(
            st.just(CategoricalDistribution(("a", 1.5, None, True))), st.sampled_from(["a", 1.5, None, True])
        ),
    )
)
def test_parameters_of_other_clients_are_read_as_optuna_would(case: tuple[BaseDistribution, object]) -> None:
    """What any Optuna client stored has the value that Optuna itself reads."""
    distribution, value = case
    stored, text = float(distribution.to_internal_repr(value)), distribution_to_json(distribution)
    read = parameter(stored, text)
    expected = json_to_distribution(text).to_external_repr(stored)
    assert (read, type(read)) == (expected, type(expected))


def test_old_distributions_are_read() -> None:
    """Databases from before Optuna 3 hold classes that are deprecated now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        old = [
            optuna.distributions.UniformDistribution(0.0, 1.0),
            optuna.distributions.IntUniformDistribution(0, 9),
            optuna.distributions.IntLogUniformDistribution(1, 9),
        ]
        texts = [distribution_to_json(distribution) for distribution in old]
    assert [parameter(1.0, text) for text in texts] == [1.0, 1, 1]
    assert [type(parameter(1.0, text)) for text in texts] == [float, int, int]
