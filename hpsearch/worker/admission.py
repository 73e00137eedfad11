"""Whether trials of a stored study may be trained here: by this version, with this data."""

import hpsearch
from hpsearch.data.prepare import PreparedData
from hpsearch.errors import FingerprintError, VersionError
from hpsearch.storage.records import StoredStudy


def check_version(study: StoredStudy) -> None:
    """Raise VersionError unless the study was made by this major version of hpsearch."""
    theirs, ours = study.version.partition(".")[0], hpsearch.__version__.partition(".")[0]
    if theirs != ours:
        raise VersionError(
            f'study "{study.spec.name}": was made by hpsearch {study.version}, and its trials must be trained by '
            f"hpsearch {theirs} (got {hpsearch.__version__}): use that version"
        )


def check_data(study: StoredStudy, data: PreparedData) -> None:
    """Raise FingerprintError unless `data` is what the study was created with."""
    if data.fingerprint != study.fingerprint:
        raise FingerprintError(
            f'study "{study.spec.name}": its data has the fingerprint {study.fingerprint} '
            f"(got {data.fingerprint} from {data.origin}): bring back the data that the study was created with, "
            "or create another study"
        )
