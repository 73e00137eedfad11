"""A reader's notes on chapter 6 of the book "Deep Learning from Scratch"."""

from typing import Final

from hpsearch.reproduction.records import Claim, Condition

_SEARCH: Final = (
    "784-100x6-10, ReLU, He's weights, 500 images of which 20 % validate, 50 epochs, minibatches of 100, SGD; 100 "
    "random trials, learning rate 1e-6 to 1e-2, weight decay 1e-8 to 1e-4, both log-uniform"
)

CLAIMS: Final = (
    Claim(
        name="search-best",
        document="book notes",
        study="random-search-book",
        text="The best five have validation accuracy 0.69 to 0.85, at learning rates of 0.0058 to 0.0093.",
        stated=_SEARCH,
        why=(
            "The notes' numbers; bounds of the fifth best and of the rates are widened by what five searches with "
            "other seeds gave."
        ),
        conditions=(
            Condition(measure="best accuracy", words="best validation accuracy", low=0.69, high=0.85),
            Condition(measure="fifth accuracy", words="the fifth best", low=0.66, high=0.85),
            Condition(
                measure="lowest rate of the best", words="lowest rate of the five", low=0.005, high=0.0097
            ),
            Condition(
                measure="highest rate of the best", words="highest rate of the five", low=0.0058, high=0.01
            ),
        ),
        needs="mnist",
        note="The best sit at the edge of the range, which should be wider.",
    ),
    Claim(
        name="search-good-rates",
        document="book notes",
        study="random-search-book",
        text="Learning rates from 0.001 to 0.01 are good.",
        stated=_SEARCH,
        why="A good rate is one whose trials have a median accuracy of half or more.",
        conditions=(
            Condition(measure="median accuracy below", words="median accuracy below 10^-2.5", low=0.5),
            Condition(measure="median accuracy above", words="above it", low=0.5),
        ),
        needs="mnist",
        note="Only the upper half is.",
    ),
    Claim(
        name="search-good-decays",
        document="book notes",
        study="random-search-book",
        text="Weight decays from 1e-8 to 1e-6 are good.",
        stated=f"{_SEARCH}; trials above 1e-3",
        why=(
            "If small weight decays are better, accuracy falls with them: a clear rank correlation is below -0.3."
        ),
        conditions=(
            Condition(
                measure="rank correlation with decay",
                words="rank correlation of weight decay and accuracy",
                high=-0.3,
            ),
        ),
        needs="mnist",
        note="Weight decay has no effect that can be seen in this range.",
    ),
    Claim(
        name="search-narrow",
        document="book notes",
        study="random-search-book",
        text="Narrow the ranges step by step from the best results, then pick one.",
        stated=f"{_SEARCH}; then as many trials in the ranges that study narrow proposes",
        why="The second round must gain: 0.05 for the median trial, anything for the best.",
        conditions=(
            Condition(measure="median gained", words="median accuracy gained by the second round", low=0.05),
            Condition(measure="best gained", words="best accuracy gained", low=0.0),
        ),
        needs="mnist",
        note="`hpsearch study run --rounds 3` does this.",
    ),
    Claim(
        name="initial-weights",
        document="book notes",
        study="initial-weights",
        text="A standard deviation of 0.01 fails, Xavier's and He's weights work.",
        stated="784-100x4-10, ReLU, 2,000 steps of 120 images, learning rate 0.01, SGD",
        why="To fail is near chance, 0.1; to work is 0.85 after 2,000 steps.",
        conditions=(
            Condition(measure="relu, 0.01: accuracy", words="std 0.01, training accuracy", high=0.2),
            Condition(measure="relu, Xavier: accuracy", words="Xavier", low=0.85),
            Condition(measure="relu, He: accuracy", words="He", low=0.85),
        ),
        needs="mnist",
    ),
    Claim(
        name="initial-weights-activations",
        document="book notes",
        study="initial-weights",
        text="He's weights suit ReLU; Xavier's suit sigmoid and tanh.",
        stated="Five layers of 100 units, 1,000 standard normal inputs, no training",
        why=(
            "A spread that keeps half of itself over five layers suits; one that falls to a hundredth does not. "
            "Tanh shrinks what it passes on, so 0.4."
        ),
        conditions=(
            Condition(
                measure="relu, He: layer 5 over layer 1",
                words="spread of layer 5 over layer 1: ReLU, He",
                low=0.5,
            ),
            Condition(measure="relu, Xavier: layer 5 over layer 1", words="ReLU, Xavier", high=0.5),
            Condition(measure="relu, std 0.01: layer 5 over layer 1", words="ReLU, std 0.01", high=0.01),
            Condition(measure="tanh, Xavier: layer 5 over layer 1", words="tanh, Xavier", low=0.4),
            Condition(measure="tanh, std 0.01: layer 5 over layer 1", words="tanh, std 0.01", high=0.01),
        ),
    ),
    Claim(
        name="batch-norm-scale",
        document="book notes",
        study="batch-norm-and-initial-scale",
        text="With batch normalization learning is faster and does not depend on the initial scale.",
        stated="784-100x5-10, ReLU, 1,000 images, 20 epochs, learning rate 0.01; eight scales from 1 to 1e-4; epsilon "
        "1e-6; to learn is to reach five times chance",
        why="All eight scales must learn with it, and at most three without.",
        conditions=(
            Condition(measure="plain: scales that learn", words="scales that learn without it", high=3),
            Condition(measure="BN: scales that learn", words="with it", low=8),
            Condition(measure="faster", words="gain of mean accuracy at scale 0.072", low=0.0),
            Condition(measure="BN: lowest accuracy", words="lowest accuracy of the eight with it"),
            Condition(
                measure="plain: scales above chance", words="scales that reach twice chance without it"
            ),
            Condition(measure="BN: scales above chance", words="with it"),
        ),
        needs="mnist",
        note="Every scale rises above chance with it, but the largest learns far more slowly. It needs the book's "
        "epsilon: with 1e-5, which is common, the smallest scales fail, because their variances are smaller than that.",
    ),
    Claim(
        name="weight-decay-gap",
        document="book notes",
        study="weight-decay-and-overfitting",
        text="Weight decay shrinks the gap between training and test accuracy with 300 images.",
        stated="784-100x6-10, ReLU, He's weights, 300 images, 200 epochs, learning rate 0.01; weight decay 0.1",
        why=(
            "Without it the training images are learned by heart, 0.99; a gap that shrinks does so by a point or "
            "more."
        ),
        conditions=(
            Condition(measure="without: training", words="training accuracy without it", low=0.99),
            Condition(measure="with: gap closed", words="smaller gap", low=0.01),
            Condition(measure="with: held back lost", words="test accuracy that it costs"),
        ),
        needs="mnist",
        note="Test accuracy falls too.",
    ),
    Claim(
        name="dropout-gap",
        document="book notes",
        study="dropout-and-overfitting",
        text="Dropout shrinks the gap between training and test accuracy with 300 images.",
        stated="784-100x6-10, ReLU, He's weights, 300 images, 300 epochs, learning rate 0.01; dropout 0.2 that "
        "evaluation makes up for",
        why=(
            "Without it the training images are learned by heart, 0.99; a gap that shrinks does so by a point or "
            "more."
        ),
        conditions=(
            Condition(measure="without: training", words="training accuracy without it", low=0.99),
            Condition(measure="with: gap closed", words="smaller gap", low=0.01),
            Condition(measure="with: training", words="training accuracy with it"),
            Condition(measure="with: held back lost", words="test accuracy that it costs"),
            Condition(measure="inverted: gap closed", words="smaller gap with inverted dropout"),
            Condition(measure="inverted: held back lost", words="test accuracy that this costs"),
        ),
        needs="mnist",
        note="Test accuracy falls too. The book's dropout does not enlarge what it keeps, so the same weights learn "
        "more slowly, and that is what closes the gap; inverted dropout, with the same share, closes none of it.",
    ),
    Claim(
        name="sealed-test",
        document="book notes",
        study="random-search-book",
        text="The test set is for the end only.",
        stated="A rule",
        answer="test data are sealed, and hpsearch study test NAME opens them once",
    ),
)
