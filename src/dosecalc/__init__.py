"""dosecalc: photon dose calculation for radiotherapy, scriptable and open."""

from importlib import import_module

__version__ = "0.1.0"


def fill_methods() -> None:
    """Import the modules that fill in methods of values; see `dosecalc.model.methods`."""
    for name in ("dosecalc.analysis.dvh", "dosecalc.io.dicom.case_dose"):
        import_module(name)
