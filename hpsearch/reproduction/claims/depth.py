"""A slide deck on "Understanding Batch Normalization" (Bjorck et al. 2018)."""

from typing import Final

from hpsearch.reproduction.records import Claim, Condition

_NETWORK: Final = "784-100x20-10, ReLU, He's weights, minibatches of 100, SGD on averaged gradients"

CLAIMS: Final = (
    Claim(
        name="growth-with-depth",
        document="normalization slides",
        study="residual-depth",
        text="Without normalization means and variances grow exponentially with depth.",
        stated=f"{_NETWORK}; at the first step",
        why=(
            "With skip connections each layer adds about as much variance as it gets, twice or more; a plain or "
            "normalized layer keeps it, about 1."
        ),
        conditions=(
            Condition(
                measure="residual: growth of variance",
                words="growth of the variance per layer, with skip connections",
                low=2.0,
                high=3.5,
            ),
            Condition(measure="plain: growth of variance", words="plain", low=0.8, high=1.05),
            Condition(
                measure="plain, normalized: growth of variance",
                words="plain, normalized",
                low=0.95,
                high=1.05,
            ),
        ),
        note="In a perceptron only with skip connections: plain layers with He's weights shrink a little.",
    ),
    Claim(
        name="heavy-tails",
        document="normalization slides",
        study="residual-depth",
        text="Gradients are heavy-tailed without normalization.",
        stated=f"{_NETWORK}; kurtosis of the weights' gradients at the first step (a normal distribution has 3)",
        why=(
            "A normal distribution has a kurtosis of 3: heavy tails have three times that and more, light ones "
            "less."
        ),
        conditions=(
            Condition(measure="plain: kurtosis", words="plain, median of the hidden layers", low=10),
            Condition(measure="plain, normalized: kurtosis", words="plain, normalized", high=8),
        ),
        needs="mnist",
    ),
    Claim(
        name="input-independence",
        document="normalization slides",
        study="residual-depth",
        text="Without normalization the gradients of the output layer hardly depend on the input; with it they do.",
        stated=f"{_NETWORK}, with skip connections; the outputs at the first step",
        why="Hardly dependent is 0.9 the same for all inputs; dependent is half or less.",
        conditions=(
            Condition(
                measure="residual: same for all inputs", words="the same for all inputs, without", low=0.9
            ),
            Condition(measure="residual, normalized: same for all inputs", words="with it", high=0.5),
            Condition(measure="less with normalization", words="less with normalization, by"),
            Condition(measure="plain: same for all inputs", words="plain, without"),
            Condition(measure="plain, normalized: same for all inputs", words="plain, with it"),
        ),
        needs="mnist",
        note="Where more than half of them is the same for all inputs, they hardly depend on it.",
    ),
    Claim(
        name="larger-rates",
        document="normalization slides",
        study="depth-and-batch-norm",
        text="Normalization allows learning rates ten times and more larger.",
        stated=f"{_NETWORK}; rates from 0.01 to 100 in decades; stable is to learn with no loss above 1e3",
        why=(
            "Ten times is the claim's own number; the rates without it and with it are decades that leave it "
            "room."
        ),
        conditions=(
            Condition(measure="plain: largest rate", words="largest stable rate without it", high=0.1),
            Condition(measure="BN: largest rate", words="with it", low=1.0),
            Condition(measure="times larger", words="times larger", low=10.0),
            Condition(measure="plain: largest calm rate", words="largest with no loss above 1e3, without it"),
            Condition(measure="BN: largest calm rate", words="with it"),
        ),
        needs="mnist",
    ),
    Claim(
        name="never-recovers",
        document="normalization slides",
        study="depth-and-batch-norm",
        text="A minibatch loss above 1e3 is divergence, and never recovers.",
        stated=f"{_NETWORK}; every run without normalization whose loss was above 1e3",
        why="Never allows no run.",
        conditions=(
            Condition(
                measure="recovered without normalization",
                words="runs that learn in the end",
                high=0.0,
                is_share=True,
            ),
        ),
        needs="mnist",
    ),
    Claim(
        name="never-recovers-residual",
        document="normalization slides",
        study="residual-depth",
        text="The same of normalized residual networks.",
        stated=f"{_NETWORK}, normalized, with skip connections; rates 0.2 to 5; every run whose loss was above 1e3",
        why="Never allows no run.",
        conditions=(
            Condition(
                measure="recovered with normalization, residual",
                words="runs that learn in the end",
                high=0.0,
                is_share=True,
            ),
        ),
        needs="mnist",
    ),
    Claim(
        name="products",
        document="normalization slides",
        study="depth-and-batch-norm",
        text="Products of random matrices get worse conditioned with their number.",
        stated="100 x 100 standard normal matrices; the largest over the smallest singular value",
        why=(
            "The numbers of 20 products of an earlier run of ours, with room for the spread of random matrices."
        ),
        conditions=(
            Condition(measure="condition of 1", words="1 matrix", low=4e1, high=4e3),
            Condition(measure="condition of 5", words="5", low=1e6, high=1e10),
            Condition(measure="condition of 10", words="10", low=1e11, high=1e18),
            Condition(measure="condition of 20", words="20", low=1e23, high=1e31),
            Condition(measure="condition of 30", words="30", low=1e34, high=1e46),
        ),
    ),
    Claim(
        name="dropout-order",
        document="normalization slides",
        study="dropout-order",
        text="Dropout belongs after the last batch normalization.",
        stated="784-100x3-10, ReLU, batch normalization, dropout 0.5, learning rate 0.1",
        why="Better is above 0.",
        conditions=(
            Condition(
                measure="last over before",
                words="held-back accuracy above that with dropout before every normalization",
                low=0.0,
            ),
            Condition(
                measure="last over between", words="above that with dropout after every activation", low=0.0
            ),
        ),
        needs="mnist",
    ),
)
