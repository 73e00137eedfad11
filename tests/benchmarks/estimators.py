"""Our estimators next to scikit-learn's networks with the same budget: `python -m tests.benchmarks.estimators`."""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final, final

import numpy as np
import sklearn
from scipy.stats import loguniform
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RandomizedSearchCV, ShuffleSplit, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpsearch
from hpsearch.analysis.intervals import mean_interval
from hpsearch.sklearn import BATCH_EXAMPLES, HpsearchClassifier, HpsearchRegressor

HIDDEN: Final = (64,)
RATES, DECAYS = (1e-4, 1e-1), (1e-6, 1e-1)
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.2

TABLES: Final[Mapping[str, Callable[..., Any]]] = {
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
}

COLUMNS: Final = """\
One line is one table. For each seed, a quarter of the rows is held back as the test part. Both searches have the same
steps before the network (StandardScaler), the same network (64 units, ReLU, Adam, minibatches of 32), the same ranges
of learning rate and weight decay, the same number of trainings and epochs, and a fifth of the other rows to choose by;
then both train the best configuration on all of these rows.

  hpsearch      mean score on the test part: accuracy, or R2 for diabetes
  scikit-learn  the same for RandomizedSearchCV over MLPClassifier or MLPRegressor
  difference    mean of the paired differences over the seeds, with the 95 % interval of Student's t
  seconds       of one fit, in this process, for each
"""


@final
@dataclass(frozen=True, kw_only=True)
class Budget:
    """The number of trainings of a search, and the epochs of each."""

    trials: int
    epochs: int


@final
@dataclass(frozen=True, kw_only=True)
class Score:
    """The score of one search on the test part, and the seconds that `fit` took."""

    value: float
    seconds: float


def ours(budget: Budget, seed: int, *, is_regression: bool) -> Any:
    """Return a pipeline with our estimator."""
    kind = HpsearchRegressor if is_regression else HpsearchClassifier
    search = {
        "learning_rate": hpsearch.Range(*RATES, log=True),
        "weight_decay": hpsearch.Range(*DECAYS, log=True),
    }
    own = kind(
        n_trials=budget.trials,
        hidden=HIDDEN,
        epochs=budget.epochs,
        search=search,
        validation_fraction=VALIDATION_SHARE,
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), own)


def theirs(budget: Budget, seed: int, *, is_regression: bool) -> Any:
    """Return a pipeline with scikit-learn's search over its network."""
    kind = MLPRegressor if is_regression else MLPClassifier
    network = kind(
        hidden_layer_sizes=HIDDEN,
        batch_size=BATCH_EXAMPLES,
        max_iter=budget.epochs,
        n_iter_no_change=budget.epochs,
        random_state=seed,
    )
    search = RandomizedSearchCV(
        network,
        {"learning_rate_init": loguniform(*RATES), "alpha": loguniform(*DECAYS)},
        n_iter=budget.trials,
        cv=ShuffleSplit(1, test_size=VALIDATION_SHARE, random_state=seed),
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), search)


def score(make: Callable[..., Any], load: Callable[..., Any], budget: Budget, seed: int) -> Score:
    """Return the score of one search of a table with one seed."""
    X, y = load(return_X_y=True)
    is_regression = load is datasets.load_diabetes
    stratify = None if is_regression else y
    train_X, test_X, train_y, test_y = train_test_split(
        X, y, test_size=TEST_SHARE, random_state=seed, stratify=stratify
    )
    start = time.perf_counter()
    fitted = make(budget, seed, is_regression=is_regression).fit(train_X, train_y)
    return Score(value=fitted.score(test_X, test_y), seconds=time.perf_counter() - start)


def line(name: str, own: Sequence[Score], other: Sequence[Score]) -> str:
    """Return the line of one table."""
    differences = [a.value - b.value for a, b in zip(own, other, strict=True)]
    interval = mean_interval(differences)
    ends = "" if interval is None else f" ({interval[0]:+.3f} to {interval[1]:+.3f})"
    seconds = " / ".join(f"{fmean(one.seconds for one in scores):.2f}" for scores in (own, other))
    values = [fmean(one.value for one in scores) for scores in (own, other)]
    return f"{name:14} {values[0]:8.3f} {values[1]:12.3f}   {fmean(differences):+.3f}{ends:22} {seconds:>14}"


def main() -> None:
    """Run both searches on every table with the same seeds, and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=list(TABLES), help="of " + ", ".join(TABLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # the budget is meant to end the training
    budget = Budget(trials=options.trials, epochs=options.epochs)
    write = sys.stdout.write
    write(f"{COLUMNS}\nscikit-learn {sklearn.__version__}, NumPy {np.__version__}, {options.seeds} seeds, ")
    write(f"{budget.trials} trainings of {budget.epochs} epochs\n\n")
    write(f"{'table':14} {'hpsearch':>8} {'scikit-learn':>12}   {'difference':28} {'seconds':>14}\n")
    for name in options.tables:
        pairs = [
            (score(ours, TABLES[name], budget, seed), score(theirs, TABLES[name], budget, seed))
            for seed in range(options.seeds)
        ]
        write(f"{line(name, [own for own, _ in pairs], [other for _, other in pairs])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
