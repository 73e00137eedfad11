"""All experiments, by the name of their study."""

from collections.abc import Callable, Mapping
from typing import Final

from hpsearch.reproduction.experiments import articles, book, normalization, troubles
from hpsearch.reproduction.laboratory import Lab, Outcome

EXPERIMENTS: Final[Mapping[str, Callable[[Lab], Outcome]]] = {
    # The longest first, so that two processes finish together.
    "activations-300-epochs": articles.activations_300_epochs,
    "random-search-book": book.random_search_book,
    "initial-weights": book.initial_weights,
    "residual-depth": normalization.residual_depth,
    "depth-and-batch-norm": normalization.depth_and_batch_norm,
    "leaky-relu-divergence": articles.leaky_relu_divergence,
    "elu-selu-learning-rates": articles.elu_selu_learning_rates,
    "dropout-order": normalization.dropout_order,
    "losses": troubles.losses,
    "batch-norm-learning-rates": articles.batch_norm_learning_rates,
    "batch-norm-and-initial-scale": book.batch_norm_and_initial_scale,
    "dropout-and-overfitting": book.dropout_and_overfitting,
    "weight-decay-and-overfitting": book.weight_decay_and_overfitting,
    "overfitting-unnoticed": troubles.overfitting_unnoticed,
    "relu-learning-rates": articles.relu_learning_rates,
    "learning-rate-scale": troubles.learning_rate_scale,
    "training-troubles": troubles.training_troubles,
    "huge-learning-rate": troubles.huge_learning_rate,
    "integer-inputs-255": troubles.integer_inputs_255,
    "integer-inputs-256": troubles.integer_inputs_256,
    "integer-inputs-100": troubles.integer_inputs_100,
    "labels-shuffled-apart": troubles.labels_shuffled_apart,
    "validation-shuffled-apart": troubles.validation_shuffled_apart,
    "wrong-output-in-regression": troubles.wrong_output_in_regression,
}

ONLY_FULL: Final = frozenset({"activations-300-epochs"})
"""Studies that the quick set omits."""
