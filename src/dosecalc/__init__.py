"""dosecalc: photon dose calculation for radiotherapy, scriptable and open.

``import dosecalc as dc`` offers what `__all__` lists; each name is imported when it is first used.
"""

from importlib import import_module

from dosecalc.moved import find_moved

__version__ = "0.1.0"

__all__ = [
    "Beam",
    "CollapsedCone",
    "Dose",
    "DosecalcError",
    "Grid",
    "MonteCarlo",
    "PencilBeam",
    "Phantom",
    "Plan",
    "build_phantom",
    "calculate",
    "dvh",
    "gamma",
    "load_hu_curve",
    "load_machine",
    "open_record",
    "read_patient",
    "validate",
    "verify",
    "verify_batch",
]

_HOMES = {
    "api.batch": ("verify_batch",),
    "api.doses": ("calculate", "dvh", "gamma"),
    "api.patient": ("build_phantom", "read_patient"),
    "api.verification": ("validate", "verify"),
    "data.hu_curves": ("load_hu_curve",),
    "data.machines": ("load_machine",),
    "engines.collapsed_cone": ("CollapsedCone",),
    "engines.monte_carlo": ("MonteCarlo",),
    "engines.pencil_beam": ("PencilBeam",),
    "errors": ("DosecalcError",),
    "model": ("Beam", "Dose", "Grid", "Phantom", "Plan"),
    "records.record_file": ("open_record",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def fill_methods() -> None:
    """Import the modules that fill in methods of values; see `dosecalc.model.methods`."""
    for name in ("analysis.dvh", "io.dicom.case_dose"):
        import_module(f"{__name__}.{name}")


find_moved()
