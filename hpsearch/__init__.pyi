from hpsearch.api.diagnosis import Diagnosis as Diagnosis
from hpsearch.api.diagnosis import diagnose as diagnose
from hpsearch.api.studies import Study as Study
from hpsearch.api.studies import create_study as create_study
from hpsearch.api.studies import delete_study as delete_study
from hpsearch.api.studies import get_all_study_names as get_all_study_names
from hpsearch.api.studies import load_study as load_study
from hpsearch.errors import DataError as DataError
from hpsearch.errors import HpsearchError as HpsearchError
from hpsearch.errors import StorageError as StorageError
from hpsearch.errors import StudyExistsError as StudyExistsError
from hpsearch.errors import StudyFileError as StudyFileError
from hpsearch.errors import StudyNotFoundError as StudyNotFoundError
from hpsearch.errors import UsageError as UsageError
from hpsearch.storage import open_storage as open_storage
from hpsearch.study.spec import Choices as Choices
from hpsearch.study.spec import Range as Range

__version__: str
