# The names of `dosecalc` and where they come from, for type checkers and editors.
from dosecalc.api.batch import verify_batch
from dosecalc.api.doses import calculate, dvh, gamma
from dosecalc.api.patient import build_phantom, read_patient
from dosecalc.api.verification import validate, verify
from dosecalc.data.hu_curves import load_hu_curve
from dosecalc.data.machines import load_machine
from dosecalc.engines.collapsed_cone import CollapsedCone
from dosecalc.engines.monte_carlo import MonteCarlo
from dosecalc.engines.pencil_beam import PencilBeam
from dosecalc.errors import DosecalcError
from dosecalc.model import Beam, Dose, Grid, Phantom, Plan
from dosecalc.records.record_file import open_record

__version__: str

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

def fill_methods() -> None: ...
