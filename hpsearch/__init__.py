"""hpsearch: a hyperparameter-search service that explains why trials fail.

    import hpsearch

    study = hpsearch.create_study("digits", trials=40)
    study.run()
    print(study.best_params, study.best_value)
    print(hpsearch.diagnose("digits", learning_rate=30.0).remedy)

Public names are loaded when they are first used, so that `import hpsearch` is fast. `__init__.pyi` declares them for
type checkers and editors.
"""

__version__ = "0.2.0"

_MODULES = {
    "Choices": "hpsearch.study.spec",
    "DataError": "hpsearch.errors",
    "Diagnosis": "hpsearch.api.diagnosis",
    "Event": "hpsearch.worker.events",
    "HpsearchError": "hpsearch.errors",
    "Model": "hpsearch.api.models",
    "ObjectiveTrial": "hpsearch.objective.trial",
    "Progress": "hpsearch.storage.records",
    "Range": "hpsearch.study.spec",
    "StorageError": "hpsearch.errors",
    "Study": "hpsearch.api.studies",
    "StudyExistsError": "hpsearch.errors",
    "StudyFileError": "hpsearch.errors",
    "StudyNotFoundError": "hpsearch.errors",
    "TrainingMonitor": "hpsearch.api.watch",
    "TrainingWarning": "hpsearch.errors",
    "Trial": "hpsearch.api.trials",
    "TrialStopped": "hpsearch.objective.trial",
    "UsageError": "hpsearch.errors",
    "Verdict": "hpsearch.api.trials",
    "create_study": "hpsearch.api.studies",
    "data_cache": "hpsearch.api.data_cache",
    "delete_study": "hpsearch.api.studies",
    "diagnose": "hpsearch.api.diagnosis",
    "errors": "hpsearch.errors",
    "fleet": "hpsearch.api.fleet",
    "get_all_study_names": "hpsearch.api.studies",
    "import_studies": "hpsearch.api.studies",
    "load_model": "hpsearch.api.models",
    "load_study": "hpsearch.api.studies",
    "open_storage": "hpsearch.storage",
    "sklearn": "hpsearch.sklearn",
    "watch": "hpsearch.api.watch",
}
"""The module of each public name."""

_CLASSES = {"Trial": "StudyTrial", "Verdict": "TrialVerdict"}
"""Public names of classes whose own names differ, since records of inner stages have these."""

__all__ = [*_MODULES, "__version__"]  # noqa: PLE0604 # these are names


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'hpsearch' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 # half of the time that `import hpsearch` would take

    module = import_module(_MODULES[name])
    value = module if name in ("errors", "sklearn") else getattr(module, _CLASSES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
