"""What is wrong with a study before anything is trained, as warnings."""

from collections.abc import Collection, Iterable

from hpsearch.cli.output import say
from hpsearch.diagnosis.before import findings_before
from hpsearch.records import Cause, Finding
from hpsearch.study.exact import exact_configurations
from hpsearch.study.faults import fault_in_words
from hpsearch.study.spec import Configuration, configure
from hpsearch.worker.examination import facts_about
from hpsearch.worker.preparation import PreparedStudy


def warn_before(study: PreparedStudy) -> None:
    """Write a line to stderr for each thing that is wrong with the study's fixed values and its data."""
    for line in warnings_before(study):
        say(line)


def warnings_before(study: PreparedStudy) -> list[str]:
    """Return a line for each thing that is wrong with the study's fixed values, or any exact ones, and its data."""
    exact = exact_configurations(study.spec) if study.spec.configurations else [configure(study.spec, {})]
    fault = study.spec.data.fault
    meant = [] if fault is None else [f"Warning: data.fault: {fault_in_words(fault)}, on purpose"]
    lines = (line for configuration in exact for line in _warnings(study, configuration))
    return [*meant, *dict.fromkeys(lines)]


def _warnings(study: PreparedStudy, configuration: Configuration) -> list[str]:
    steps_per_epoch = -(-len(study.data.training.inputs) // configuration.training.batch_size)
    facts = facts_about(study, configuration, steps_per_epoch)
    return warning_lines(findings_before(facts), expected=facts.expected)


def warning_lines(findings: Iterable[Finding], *, expected: Collection[Cause]) -> list[str]:
    """Return a warning for each finding that is not expected, with how to silence it where it is meant."""
    unexpected = [finding for finding in findings if finding.cause not in expected]
    return [
        f"Warning: {finding.cause}: {finding.remedy.removesuffix('.')} "
        f'(meant? pruning.expected = ["{finding.cause}"])'
        for finding in unexpected
    ]
