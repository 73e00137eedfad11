"""The data of a stored study, read on this machine."""

from hpsearch.cli.progress import busy
from hpsearch.errors import FingerprintError
from hpsearch.storage.records import StoredStudy
from hpsearch.worker.preparation import PreparedStudy, prepare_study


def read_stored(study: StoredStudy) -> PreparedStudy:
    """Return a stored study with its data. Raises FingerprintError where the data here is not the study's."""
    with busy("Reading the data"):
        prepared = prepare_study(study.spec)
    if prepared.data.fingerprint != study.fingerprint:
        raise FingerprintError(
            f'study "{study.spec.name}": its data has the fingerprint {study.fingerprint} '
            f"(got {prepared.data.fingerprint} from {prepared.data.origin}): bring back the data that the study was "
            "created with, or create another study"
        )
    return prepared
