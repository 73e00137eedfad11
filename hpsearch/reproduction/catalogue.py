"""All experiments by the name of their study, and all claims by document."""

from collections.abc import Callable, Mapping
from typing import Final

from hpsearch.reproduction.claims import articles as article_claims
from hpsearch.reproduction.claims import book as book_claims
from hpsearch.reproduction.claims import depth as depth_claims
from hpsearch.reproduction.claims import troubles as trouble_claims
from hpsearch.reproduction.experiments import articles, book, depth, random_search, troubles
from hpsearch.reproduction.laboratory import Lab
from hpsearch.reproduction.records import Claim, Outcome

CLAIMS: Final[tuple[Claim, ...]] = (
    *article_claims.CLAIMS,
    *book_claims.CLAIMS,
    *depth_claims.CLAIMS,
    *trouble_claims.CLAIMS,
)

DOCUMENTS: Final[Mapping[str, str]] = {
    "ReLU article": "An article on a hand-written network with one hidden layer on MNIST: how learning fails with ReLU"
    " and LeakyReLU, and what batch normalization does",
    "ELU article": "A second article by the author of the ReLU article: ELU and SELU, and 300 epochs",
    "book notes": 'A reader\'s notes on chapter 6 of the book "Deep Learning from Scratch", on how to train: initial'
    " weights, batch normalization, weight decay, dropout, random search",
    "normalization slides": "A slide deck on Bjorck et al. (2018), Understanding Batch Normalization",
    "list of troubles": "A list of training troubles and their causes",
}
"""The documents by the names that listings have for them. Authors, titles and years are those that are known here."""

EXPERIMENTS: Final[Mapping[str, Callable[[Lab], Outcome]]] = {
    # The longest first, so that two processes end together.
    "activations-300-epochs": articles.activations_300_epochs,
    "random-search-book": random_search.random_search_book,
    "initial-weights": book.initial_weights,
    "residual-depth": depth.residual_depth,
    "depth-and-batch-norm": depth.depth_and_batch_norm,
    "leaky-relu-divergence": articles.leaky_relu_divergence,
    "elu-selu-learning-rates": articles.elu_selu_learning_rates,
    "dropout-order": depth.dropout_order,
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
"""Studies that the quick set leaves out."""
