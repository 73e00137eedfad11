"""The Python interface: studies, trials and diagnoses as objects. `hpsearch/__init__.py` exports its public names."""

import sys
import warnings
from contextlib import suppress
from importlib import import_module

if "ipykernel" in sys.modules:
    # Optuna imports tqdm's bars, which print a warning into every notebook without ipywidgets. We show none of them.
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        import_module("tqdm.auto")
