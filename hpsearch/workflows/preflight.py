"""Check a study before its run: read its data, and report its faults as warnings."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import product

from hpsearch.data.description import facts_of
from hpsearch.diagnosis.facts import facts_about
from hpsearch.diagnosis.static_checks import static_findings
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.configurations import exact_configurations
from hpsearch.study.spec import configure, fault_in_words
from hpsearch.verdicts import Cause, Finding
from hpsearch.worker.preparation import PreparedStudy, check_data, prepare_stored
from hpsearch.workflows.listener import Listener


def read_data(store: Store, study: StoredStudy, listener: Listener) -> PreparedStudy:
    """Return a stored study with its data. Raises FingerprintError if the local data is not the study's."""
    with listener.stage("Reading the data"):
        prepared = prepare_stored(store, study)
    check_data(study, prepared.data)
    return prepared


def preflight_warnings(study: PreparedStudy) -> list[str]:
    """Return a line for an intended fault, one for each decision about the data, and one for each problem found.

    Of exact configurations, the first one with a problem is named.
    """
    fault = study.spec.data.fault
    meant = [] if fault is None else [f"Warning: data.fault: {fault_in_words(fault)}, on purpose"]
    findings = _exact_findings(study) if study.spec.configurations else _fixed_findings(study)
    read = [f"Warning: {note}" for note in study.data.notes]
    return meant + read + warning_lines(findings, expected=study.spec.pruning.expected)


def _fixed_findings(study: PreparedStudy) -> Sequence[Finding]:
    """Return the first finding of every cause, over all folds."""
    found: dict[Cause, Finding] = {}
    configuration = configure(study.spec, {})
    for data in map(facts_of, study.data.searched):
        for finding in static_findings(facts_about(study.spec, data, configuration)):
            found.setdefault(finding.cause, finding)
    return list(found.values())


def _exact_findings(study: PreparedStudy) -> Sequence[Finding]:
    """Return the first finding of every cause, with the name of its configuration in front of the remedy."""
    found: dict[Cause, Finding] = {}
    names = [exact.name for exact in study.spec.configurations]
    named = zip(names, exact_configurations(study.spec), strict=True)
    parts = [facts_of(data) for data in study.data.searched]
    for (name, configuration), data in product(named, parts):
        for finding in static_findings(facts_about(study.spec, data, configuration)):
            found.setdefault(finding.cause, replace(finding, remedy=f'in "{name}": {finding.remedy}'))
    return list(found.values())


def warning_lines(findings: Iterable[Finding], *, expected: Collection[Cause]) -> list[str]:
    """Return a warning for each unexpected finding, with the setting that silences it if it is intended."""
    unexpected = [finding for finding in findings if finding.cause not in expected]
    return [
        f"Warning: {finding.cause}: {finding.remedy.removesuffix('.')} "
        f'(intended? Set pruning.expected = ["{finding.cause}"])'
        for finding in unexpected
    ]
