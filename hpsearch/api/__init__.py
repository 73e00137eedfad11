"""The Python interface: studies, trials and diagnoses as objects. `hpsearch/__init__.py` exports its public names."""
