"""Two articles by one author: how a network with one hidden layer fails on MNIST, and what batch normalization does."""

from typing import Final

from hpsearch.reproduction.records import Claim, Condition

_NETWORK: Final = (
    "784-64-10, pixels in 0..1, minibatches of 100, one epoch of 600 steps, SGD on summed gradients, softmax "
    "cross-entropy, float32, He's weights"
)

CLAIMS: Final = (
    Claim(
        name="relu-dies",
        document="ReLU article",
        study="relu-learning-rates",
        text="ReLU at 0.05: every unit dies, accuracy stays at chance, the loss does not fall.",
        stated=f"{_NETWORK}; learning rate 0.05",
        why=(
            "Every unit is one seed's 0.97 or more; chance is 0.1, and the loss of ten equal classes is 2.303."
        ),
        conditions=(
            Condition(
                measure="ReLU, 0.05: dead",
                words="share of units positive on no held-back image",
                low=0.97,
                high=1.0,
            ),
            Condition(measure="ReLU, 0.05: accuracy", words="training accuracy", high=0.15),
            Condition(measure="ReLU, 0.05: loss", words="training loss", low=2.2, high=2.5),
        ),
        needs="mnist",
    ),
    Claim(
        name="relu-half-dies",
        document="ReLU article",
        study="relu-learning-rates",
        text="ReLU at 0.01: about half of the units die, and learning goes on.",
        stated=f"{_NETWORK}; learning rate 0.01",
        why='"About half" names no range: these are those of 10 to 20 seeds in an earlier run of ours.',
        conditions=(
            Condition(
                measure="ReLU, 0.01: dead",
                words="share of units positive on no held-back image",
                low=0.22,
                high=0.53,
            ),
            Condition(measure="ReLU, 0.01: silent", words="units silent on minibatches", low=0.35, high=0.70),
            Condition(measure="ReLU, 0.01: accuracy", words="training accuracy", low=0.90),
        ),
        needs="mnist",
    ),
    Claim(
        name="relu-fine",
        document="ReLU article",
        study="relu-learning-rates",
        text="ReLU at 0.001: nothing dies.",
        stated=f"{_NETWORK}; learning rate 0.001",
        why="No dead unit at all, and an accuracy that only a network that learns has.",
        conditions=(
            Condition(
                measure="ReLU, 0.001: dead", words="share of units positive on no held-back image", high=0.0
            ),
            Condition(measure="ReLU, 0.001: accuracy", words="training accuracy", low=0.90),
        ),
        needs="mnist",
    ),
    Claim(
        name="relu-how-units-die",
        document="ReLU article",
        study="relu-learning-rates",
        text=(
            "A unit dies because its bias and weights swing negative; its activation stops, then its gradient, and it "
            "never changes again."
        ),
        stated=f"{_NETWORK}; the first trial at each rate, replayed",
        why="Never again is no change of a bit; that a weight fell is asked of nearly all dead units.",
        conditions=(
            Condition(measure="swung negative", words="dead units whose bias or mean weight fell", low=0.95),
            Condition(
                measure="changed after death",
                words="parameters into dead units that changed after the last firing, bit for bit",
                high=0.0,
            ),
        ),
        needs="mnist",
    ),
    Claim(
        name="leaky-diverges",
        document="ReLU article",
        study="leaky-relu-divergence",
        text="LeakyReLU at 0.057 diverges to NaN (near minibatch 350, in the article).",
        stated=f"{_NETWORK}; LeakyReLU with slope 0.01",
        why=(
            "Near 350 is read as within 50 minibatches. That most seeds diverge is the claim; the step is a "
            "detail of it."
        ),
        conditions=(
            Condition(measure="LeakyReLU, 0.057: NaN", words="seeds that end in NaN", low=0.5, is_share=True),
            Condition(
                measure="LeakyReLU, 0.057: NaN step",
                words="first step with NaN",
                low=300,
                high=400,
                is_detail=True,
            ),
            Condition(
                measure="float64: NaN", words="seeds that end in NaN in float64", high=0.0, is_share=True
            ),
        ),
        needs="mnist",
        note="It comes earlier than in the article, and needs float32.",
    ),
    Claim(
        name="leaky-survives",
        document="ReLU article",
        study="leaky-relu-divergence",
        text="LeakyReLU at 0.056 just survives.",
        stated=f"{_NETWORK}; LeakyReLU with slope 0.01",
        why="To survive is that at most half of the seeds end in NaN.",
        conditions=(
            Condition(
                measure="LeakyReLU, 0.056: NaN", words="seeds that end in NaN", high=0.5, is_share=True
            ),
        ),
        needs="mnist",
        note="There is no sharp threshold: see the share of NaN by learning rate.",
    ),
    Claim(
        name="leaky-alternates",
        document="ReLU article",
        study="leaky-relu-divergence",
        text="While it diverges, weights and biases change their sign and grow; one unit drags the others with it.",
        stated=f"{_NETWORK}; LeakyReLU, 0.057, trials that end in NaN, replayed",
        why=(
            "The article has no number: the share of sign changes is that of 20 seeds in an earlier run of ours."
        ),
        conditions=(
            Condition(measure="sign flips", words="growing steps with a change of sign", low=0.13, high=0.24),
            Condition(measure="lead", words="steps by which the first unit leads the median one", low=1),
        ),
        needs="mnist",
    ),
    Claim(
        name="batch-norm-trains",
        document="ReLU article",
        study="batch-norm-learning-rates",
        text="With batch normalization ReLU trains at 0.5, 0.05 and 0.01: ten times the rate that failed.",
        stated=f"{_NETWORK}; normalization between the affine map and ReLU, without gamma and beta",
        why=(
            "To train is 0.90 at the highest rate, where noise is large, and 0.93 below; to fail is near chance, "
            "0.1."
        ),
        conditions=(
            Condition(measure="BN, 0.5: accuracy", words="training accuracy at 0.5", low=0.90),
            Condition(measure="BN, 0.05: accuracy", words="at 0.05", low=0.93),
            Condition(measure="BN, 0.01: accuracy", words="at 0.01", low=0.93),
            Condition(
                measure="BN with gamma and beta, 0.5: accuracy", words="at 0.5 with gamma and beta", high=0.15
            ),
        ),
        needs="mnist",
        note="Only without gamma and beta: with them 0.5 fails.",
    ),
    Claim(
        name="batch-norm-bias",
        document="ReLU article",
        study="batch-norm-learning-rates",
        text="The bias before batch normalization gets no gradient and does not move.",
        stated=f"{_NETWORK}; the largest bias of layer 1 in the end, at all three rates",
        why=(
            "Not to move is rounding alone: 600 steps of float32 and float64 rounding, measured in an earlier run "
            "of ours."
        ),
        conditions=(
            Condition(measure="float32: bias", words="largest bias in float32", high=6e-6),
            Condition(measure="float64: bias", words="in float64", high=1.1e-14),
            Condition(measure="no BN, 0.05: bias", words="without normalization", low=0.1),
        ),
    ),
    Claim(
        name="elu-selu-fail",
        document="ELU article",
        study="elu-selu-learning-rates",
        text="ELU and SELU fail at 0.01, by large negative swings to a plateau, and train at 0.001.",
        stated=f"{_NETWORK}; ELU alpha 1, SELU alpha 1.673 and scale 1.051",
        why=(
            "To train is 0.88. The article has no number for failing: the ranges are those of 10 to 20 seeds in "
            "an earlier run of ours."
        ),
        conditions=(
            Condition(
                measure="ELU, 0.01: accuracy", words="ELU at 0.01, training accuracy", low=0.10, high=0.84
            ),
            Condition(measure="SELU, 0.01: accuracy", words="SELU at 0.01", low=0.09, high=0.29),
            Condition(measure="ELU, 0.001: accuracy", words="ELU at 0.001", low=0.88),
            Condition(measure="SELU, 0.001: accuracy", words="SELU at 0.001", low=0.88),
        ),
        needs="mnist",
    ),
    Claim(
        name="relu-leaky-learn",
        document="ELU article",
        study="elu-selu-learning-rates",
        text="ReLU and LeakyReLU still learn at 0.01.",
        stated=_NETWORK,
        why="To learn is 0.88, as for ELU and SELU at 0.001.",
        conditions=(
            Condition(measure="ReLU, 0.01: accuracy", words="ReLU, training accuracy", low=0.88),
            Condition(measure="LeakyReLU, 0.01: accuracy", words="LeakyReLU", low=0.88),
        ),
        needs="mnist",
    ),
    Claim(
        name="epochs-300",
        document="ELU article",
        study="activations-300-epochs",
        text="300 epochs at 0.001, test accuracy: LeakyReLU 98.1 %, ReLU and ELU about 98.0, SELU and BN about 97.9.",
        stated=f"{_NETWORK}; 300 epochs; 100 units, beside 64",
        why=(
            "The article's accuracies are 0.979 to 0.981, less what 64 units cost; the order must exceed a tenth "
            "of a point. The level is the claim, the order a detail of it."
        ),
        conditions=(
            Condition(
                measure="level", words="held-back accuracy of the five activations", low=0.975, high=0.981
            ),
            Condition(
                measure="order", words="LeakyReLU above BN + ReLU, percentage points", low=0.1, is_detail=True
            ),
        ),
        needs="full",
        note="An order inside the noise of seeds is none.",
    ),
)
