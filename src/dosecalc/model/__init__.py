"""What everything is about: grids, phantoms, structures, plans, machines and doses."""

from dosecalc.model.control_point import ControlPoint
from dosecalc.model.dose import Dose
from dosecalc.model.grid import Grid
from dosecalc.model.image import CtImage
from dosecalc.model.machine import (
    Calibration,
    JawModel,
    Limits,
    Machine,
    MlcModel,
    PhotonSource,
    RadialProfile,
    Spectrum,
)
from dosecalc.model.phantom import Phantom, VoxelSource
from dosecalc.model.plan import (
    Beam,
    LeftOutBeam,
    PatientPosition,
    Plan,
    Prescription,
)
from dosecalc.model.structures import Contour, Structure, StructureSet

__all__ = [
    "Beam",
    "Calibration",
    "Contour",
    "ControlPoint",
    "CtImage",
    "Dose",
    "Grid",
    "JawModel",
    "LeftOutBeam",
    "Limits",
    "Machine",
    "MlcModel",
    "PatientPosition",
    "Phantom",
    "PhotonSource",
    "Plan",
    "Prescription",
    "RadialProfile",
    "Spectrum",
    "Structure",
    "StructureSet",
    "VoxelSource",
]
