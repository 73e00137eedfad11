"""Mistakes that a study makes in its data on purpose, in words."""

from hpsearch.study.spec import Fault


def fault_in_words(fault: Fault) -> str:
    """Return what `fault` does to the data, for people."""
    match fault.name:
        case "labels_shuffled":
            return "the training part's targets are shuffled apart from its inputs"
        case "validation_labels_shuffled":
            return "the validation part's targets are shuffled apart from its inputs"
        case "constant_inputs":
            return "every example has the inputs of the first one"
        case "integer_division":
            return f"inputs are divided by {fault.number} as whole numbers, before they are scaled"
        case "byte_product":
            return (
                f"inputs are multiplied by {fault.number} as bytes, which wrap at 256, before they are scaled"
            )
