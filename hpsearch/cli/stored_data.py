"""The data of a stored study, read on this machine."""

from hpsearch.cli.progress import busy
from hpsearch.storage.records import StoredStudy
from hpsearch.worker.preparation import PreparedStudy, check_data, prepare_study


def read_stored(study: StoredStudy) -> PreparedStudy:
    """Return a stored study with its data. Raises FingerprintError where the data here is not the study's."""
    with busy("Reading the data"):
        prepared = prepare_study(study.spec)
    check_data(study, prepared.data)
    return prepared
