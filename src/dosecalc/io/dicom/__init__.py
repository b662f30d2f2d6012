"""Patient folder to model and back: CT, RTSTRUCT, RTPLAN and RTDOSE (the only user of pydicom).

Names are resolved when first used, so that writing a dose does not load what
reading structures needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dosecalc.io.dicom._banner import BannerRow, banner
    from dosecalc.io.dicom._common import read_dataset
    from dosecalc.io.dicom._writing import Subject
    from dosecalc.io.dicom.ct import read_ct
    from dosecalc.io.dicom.ct_writer import write_ct
    from dosecalc.io.dicom.dose import DoseReferences, ImportedDose, read_dose, read_dose_file
    from dosecalc.io.dicom.dose_writer import DvhCurve, write_dose
    from dosecalc.io.dicom.folder import Case, import_folder, references_for
    from dosecalc.io.dicom.identity import Identity, Person, identify
    from dosecalc.io.dicom.plan import read_plan
    from dosecalc.io.dicom.plan_writer import write_plan
    from dosecalc.io.dicom.structures import read_structures
    from dosecalc.io.dicom.structures_writer import write_structures
    from dosecalc.io.dicom.uids import new_uid

__all__ = [
    "BannerRow",
    "Case",
    "DoseReferences",
    "DvhCurve",
    "Identity",
    "ImportedDose",
    "Person",
    "Subject",
    "banner",
    "identify",
    "import_folder",
    "new_uid",
    "read_ct",
    "read_dataset",
    "read_dose",
    "read_dose_file",
    "read_plan",
    "read_structures",
    "references_for",
    "write_ct",
    "write_dose",
    "write_plan",
    "write_structures",
]

_HOMES = {
    "_banner": ("BannerRow", "banner"),
    "_common": ("read_dataset",),
    "_writing": ("Subject",),
    "ct": ("read_ct",),
    "ct_writer": ("write_ct",),
    "dose": ("DoseReferences", "ImportedDose", "read_dose", "read_dose_file"),
    "dose_writer": ("DvhCurve", "write_dose"),
    "folder": ("Case", "import_folder", "references_for"),
    "identity": ("Identity", "Person", "identify"),
    "plan": ("read_plan",),
    "plan_writer": ("write_plan",),
    "structures": ("read_structures",),
    "structures_writer": ("write_structures",),
    "uids": ("new_uid",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
