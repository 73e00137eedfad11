"""A list of training troubles and their causes."""

from typing import Final

from hpsearch.reproduction.numerics import LARGEST_LOGIT
from hpsearch.reproduction.records import Claim, Condition

_NEVER: Final = "85 % was not reached"

CLAIMS: Final = (
    Claim(
        name="log-zero",
        document="list of troubles",
        study="training-troubles",
        text="Cross-entropy gives NaN at log 0.",
        stated="Binary cross-entropy of one logit, as in textbooks and as softplus; the smallest logit that breaks it",
        why=(
            "Where rounding puts 1 - sigmoid(x) to 0: at 24 ln 2 = 16.64 in float32, at 53 ln 2 = 36.74 in "
            "float64. A stable form has no such logit."
        ),
        conditions=(
            Condition(measure="0 log 0 is NaN", words="0 log 0 is NaN", low=1, high=1, is_share=True),
            Condition(measure="textbook breaks, float32", words="textbook in float32", low=16.63, high=16.65),
            Condition(measure="textbook breaks, float64", words="in float64", low=36.73, high=36.75),
            Condition(
                measure="stable breaks, float32",
                words="stable form in float32",
                low=LARGEST_LOGIT,
                beyond="largest logit tried",
                never="none up to there breaks it",
            ),
            Condition(
                measure="stable breaks, float64",
                words="in float64",
                low=LARGEST_LOGIT,
                beyond="largest logit tried",
                never="none up to there breaks it",
            ),
        ),
    ),
    Claim(
        name="nan-while-right",
        document="list of troubles",
        study="batch-norm-learning-rates",
        text="The loss can be NaN while accuracy is 0.93.",
        stated="784-64-10, batch normalization, 0.5, summed gradients; loss of the held-back images, two ways",
        why=(
            "Half of the seeds or more have NaN in the textbook's form, none in the stable one, while accuracy is "
            "above 0.9."
        ),
        conditions=(
            Condition(
                measure="textbook loss is NaN",
                words="seeds whose textbook loss is NaN",
                low=0.5,
                is_share=True,
            ),
            Condition(measure="stable loss is NaN", words="whose stable loss is", high=0.0, is_share=True),
            Condition(measure="BN, 0.5: held-back accuracy", words="held-back accuracy", low=0.9),
        ),
        needs="mnist",
    ),
    Claim(
        name="sigmoid",
        document="list of troubles",
        study="training-troubles",
        text="sigmoid(-500) is 0 in float32 and 7.12e-218 in float64.",
        stated="The network's own sigmoid",
        why="The number itself, to its last digit.",
        conditions=(
            Condition(measure="sigmoid(-500), float32", words="float32", low=0.0, high=0.0),
            Condition(measure="sigmoid(-500), float64", words="float64", low=7.12e-218, high=7.13e-218),
        ),
    ),
    Claim(
        name="huge-rate",
        document="list of troubles",
        study="huge-learning-rate",
        text="At a learning rate of 1e9: NaN, training accuracy 0.0987, test accuracy 0.0980.",
        stated="784-1000-1000-10, ReLU, minibatches of 100, SGD on averaged gradients",
        why="The numbers themselves: they are shares of one class.",
        conditions=(
            Condition(measure="NaN", words="seeds that end in NaN", low=1, is_share=True),
            Condition(
                measure="training accuracy",
                words="training accuracy",
                low=0.0987165,
                high=0.0987168,
                digits=6,
            ),
            Condition(measure="held-back accuracy", words="test accuracy", low=0.098, high=0.098, digits=6),
        ),
        needs="mnist",
    ),
    Claim(
        name="first-class",
        document="list of troubles",
        study="huge-learning-rate",
        text="That is the share of the first class: the largest of outputs that are all NaN is taken to be the first.",
        stated="The same",
        why="The same share, to the last example.",
        conditions=(
            Condition(measure="training off class 0", words="distance from its share, training", high=0.0),
            Condition(measure="held-back off class 0", words="test", high=0.0),
        ),
    ),
    Claim(
        name="rate-scale",
        document="list of troubles",
        study="learning-rate-scale",
        text="A rate of 1e-7 hardly moves, 0.1 learns, around 0.01 is safe.",
        stated="784-64-10, ReLU, 2 epochs of 600 steps, SGD on averaged gradients",
        why=(
            "Hardly to move is to change the loss by less than 0.1; to learn is 0.93 and, at the safe rate, 0.88 "
            "after two epochs."
        ),
        conditions=(
            Condition(
                measure="fall of the loss at 1e-7", words="fall of the loss at 1e-7", low=-0.1, high=0.1
            ),
            Condition(measure="rate 0.1: held-back accuracy", words="test accuracy at 0.1", low=0.93),
            Condition(measure="rate 0.01: held-back accuracy", words="at 0.01", low=0.88),
        ),
        needs="mnist",
    ),
    Claim(
        name="squared-error",
        document="list of troubles",
        study="losses",
        text="Squared error converges far slower than cross-entropy.",
        stated="784-64-10, ReLU, learning rate 0.1, averaged gradients; steps until 85 % of 20 minibatches are right",
        why='"Far slower" is read as twice as many steps or more.',
        conditions=(
            Condition(
                measure="squared error of softmax: times slower",
                words="squared error of softmax, times",
                low=2,
                beyond="squared error of softmax: slower than",
                never=_NEVER,
            ),
            Condition(
                measure="squared error of sigmoid: times slower",
                words="of sigmoid",
                low=2,
                beyond="squared error of sigmoid: slower than",
                never=_NEVER,
            ),
            Condition(
                measure="squared error: times slower",
                words="of the plain outputs",
                low=2,
                beyond="squared error: slower than",
                never=_NEVER,
            ),
        ),
        needs="mnist",
        note="Part of it is scale: squared error is the mean over ten outputs; half their sum has gradients five times "
        "as large.",
    ),
    Claim(
        name="wrong-output",
        document="list of troubles",
        study="wrong-output-in-regression",
        text="In regression an output activation of sigmoid or ReLU cannot give the targets.",
        stated="10-32-1 on the diabetes data, targets from 25 to 346",
        why="Targets that cannot be given double the loss at least.",
        conditions=(
            Condition(
                measure="sigmoid over identity", words="loss after sigmoid over that of identity", low=2
            ),
            Condition(measure="sigmoid: named", words="sigmoid is named output_range", low=1, is_share=True),
        ),
        note="ReLU can give these targets, none of which is negative.",
    ),
    Claim(
        name="integers-255",
        document="list of troubles",
        study="integer-inputs-255",
        text="Integer arithmetic spoils inputs: images // 255 leave accuracy 0.30.",
        stated="784-64-10, ReLU, learning rate 0.1",
        why="0.30, give or take what seeds change.",
        conditions=(
            Condition(measure="held-back accuracy", words="held-back accuracy", low=0.2, high=0.4),
            Condition(measure="x // 255: named", words="named input_degenerate", low=1, is_share=True),
        ),
        needs="mnist",
    ),
    Claim(
        name="integers-256",
        document="list of troubles",
        study="integer-inputs-256",
        text="Images // 256 leave nothing: accuracy 0.1135, the share of the most frequent class.",
        stated="784-64-10, ReLU, learning rate 0.1",
        why="The share of the most frequent class, to its last digit.",
        conditions=(
            Condition(measure="held-back accuracy", words="held-back accuracy", low=0.1134, high=0.1136),
            Condition(measure="x // 256: named", words="named input_degenerate", low=1, is_share=True),
        ),
        needs="mnist",
    ),
    Claim(
        name="integers-100",
        document="list of troubles",
        study="integer-inputs-100",
        text="Images // 100 keep accuracy at 0.93: this fault cannot be seen in it.",
        stated="784-64-10, ReLU, learning rate 0.1",
        why="0.93, less what seeds change.",
        conditions=(Condition(measure="held-back accuracy", words="held-back accuracy", low=0.91),),
        needs="mnist",
    ),
    Claim(
        name="labels-shuffled",
        document="list of troubles",
        study="labels-shuffled-apart",
        text="Training labels shuffled apart from their images: accuracy 0.11, loss 2.30.",
        stated="784-64-10, ReLU, learning rate 0.1",
        why="Chance with its noise; ln 10 = 2.303 is the loss of guessing.",
        conditions=(
            Condition(measure="training accuracy", words="training accuracy", low=0.08, high=0.14),
            Condition(measure="training loss", words="training loss", low=2.28, high=2.33),
            Condition(
                measure="labels shuffled apart: named", words="named labels_unrelated", low=1, is_share=True
            ),
        ),
        needs="mnist",
    ),
    Claim(
        name="validation-shuffled",
        document="list of troubles",
        study="validation-shuffled-apart",
        text="Only the validation labels shuffled apart: training accuracy 0.917, validation accuracy 0.098.",
        stated="784-64-10, ReLU, learning rate 0.1",
        why="0.917, less what seeds change; chance with its noise.",
        conditions=(
            Condition(measure="training accuracy", words="training accuracy", low=0.9),
            Condition(measure="held-back accuracy", words="held-back accuracy", low=0.08, high=0.12),
            Condition(
                measure="validation labels shuffled apart: named",
                words="named val_misaligned",
                low=1,
                is_share=True,
            ),
        ),
        needs="mnist",
    ),
    Claim(
        name="overfitting",
        document="list of troubles",
        study="overfitting-unnoticed",
        text="Overfitting goes unnoticed without early stopping.",
        stated="784-200-200-10, ReLU, Adam at 0.003, 500 images, 200 epochs",
        why="Learned by heart is a loss near 0; a loss that goes unnoticed has risen by a fifth or more.",
        conditions=(
            Condition(measure="training loss", words="training loss in the end", high=0.05),
            Condition(
                measure="rise of the held-back loss", words="held-back loss over its smallest", low=1.2
            ),
            Condition(measure="without early stopping: named", words="named overfit", low=1, is_share=True),
        ),
        needs="mnist",
    ),
    Claim(
        name="troubles-named",
        document="list of troubles",
        study="training-troubles",
        text="Rates far too high or low, wrong initial weights, saturation, weight decay, wrong outputs are why.",
        stated="784-64-64-10 and deeper, 6,000 images, 5 epochs; ten configurations, nine with a trouble",
        why="All ten of them.",
        conditions=(
            Condition(measure="all named", words="configurations whose verdict names what they have", low=1),
        ),
        needs="mnist",
    ),
    Claim(
        name="shape-errors",
        document="list of troubles",
        study="training-troubles",
        text="Shapes that do not fit show as errors deep inside libraries.",
        stated="Three studies that do not fit their data: loss, minibatch and hidden layers",
        answer="hpsearch refuses such studies before training, and names every key that does not fit",
    ),
)
