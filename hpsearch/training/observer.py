"""Who may look over a cohort's shoulder at every step."""

from typing import Protocol

from hpsearch.nn.arrays import Array
from hpsearch.training.workspace import Lane


class Observer(Protocol):
    """Looks at every step of a cohort's lanes. It reads the arrays that it is shown and changes none of them."""

    def see_forward(self, lane: Lane) -> None:
        """Look behind the forward pass, before the loss overwrites the logits: activations are as computed."""

    def see_backward(self, lane: Lane, losses: Array, scale: Array) -> None:
        """Look behind the backward pass, before the optimizer spends the gradients.

        `losses` (k,) are the minibatch means, float64; `scale` (k, 1, 1) is what each example's gradient was
        multiplied by.
        """
