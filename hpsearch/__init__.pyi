from hpsearch import errors, sklearn
from hpsearch.api.data_cache import data_cache
from hpsearch.api.diagnosis import Diagnosis, diagnose
from hpsearch.api.fleet import fleet
from hpsearch.api.models import Model, load_model
from hpsearch.api.studies import (
    Study,
    create_study,
    delete_study,
    get_all_study_names,
    import_studies,
    load_study,
)
from hpsearch.api.trials import StudyTrial as Trial
from hpsearch.api.trials import TrialVerdict as Verdict
from hpsearch.api.watch import TrainingMonitor, watch
from hpsearch.errors import (
    DataError,
    HpsearchError,
    StorageError,
    StudyExistsError,
    StudyFileError,
    StudyNotFoundError,
    TrainingWarning,
    UsageError,
)
from hpsearch.objective.trial import ObjectiveTrial, TrialStopped
from hpsearch.storage import open_storage
from hpsearch.storage.records import Progress
from hpsearch.study.spec import Choices, Range
from hpsearch.worker.events import Event

__all__ = [
    "Choices",
    "DataError",
    "Diagnosis",
    "Event",
    "HpsearchError",
    "Model",
    "ObjectiveTrial",
    "Progress",
    "Range",
    "StorageError",
    "Study",
    "StudyExistsError",
    "StudyFileError",
    "StudyNotFoundError",
    "TrainingMonitor",
    "TrainingWarning",
    "Trial",
    "TrialStopped",
    "UsageError",
    "Verdict",
    "__version__",
    "create_study",
    "data_cache",
    "delete_study",
    "diagnose",
    "errors",
    "fleet",
    "get_all_study_names",
    "import_studies",
    "load_model",
    "load_study",
    "open_storage",
    "sklearn",
    "watch",
]

__version__: str
