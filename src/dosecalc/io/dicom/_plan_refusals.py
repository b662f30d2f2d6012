"""What a plan or beam asks that is not modelled: other particles, sources, matter in the beam."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, UnsupportedError
from dosecalc.io.dicom._common import integer, items, number, require, text

__all__ = [
    "bolus_numbers",
    "fluence_mode",
    "refuse_brachytherapy",
    "refuse_matter_in_beam",
    "refuse_other_plans",
    "refuse_radiation",
]

RT_ION_PLAN_STORAGE = "1.2.840.10008.5.1.4.1.1.481.8"

_NEEDED = {
    "ELECTRON": "an electron beam model",
    "PROTON": "a proton engine",
    "ION": "an ion engine",
    "NEUTRON": "a neutron engine",
}
# Number attribute, sequence, what it is, what calculating it would need.
_MODIFIERS = (
    ("NumberOfCompensators", "CompensatorSequence", "compensator", "its thickness map"),
    ("NumberOfBlocks", "BlockSequence", "block", "its outline, transmission and tray factor"),
    ("", "ApplicatorSequence", "applicator", "a model of its collimation and scatter"),
    ("", "EnhancedRTBeamLimitingDeviceSequence", "enhanced beam limiting device", "a model of it"),
)
_TRAYS = (
    ("TotalBlockTrayFactor", 1.0),
    ("TotalCompensatorTrayFactor", 1.0),
    ("TotalWedgeTrayWaterEquivalentThickness", 0.0),
    ("TotalBlockTrayWaterEquivalentThickness", 0.0),
    ("TotalCompensatorTrayWaterEquivalentThickness", 0.0),
)
# Behind the patient, or only there to be looked at.
_HARMLESS_ACCESSORIES = ("IMAGE_DETECTOR",)


def refuse_other_plans(ds: Dataset, where: str, notes: list[str]) -> None:
    """Refuse what is no plan, ion plans, and plans whose dose comes from sources alone.

    A plan with external beams that also states a brachytherapy type is one of external
    beams; `refuse_brachytherapy` looks at what its fraction group delivers.
    """
    if text(ds, "SOPClassUID", where) == RT_ION_PLAN_STORAGE or items(ds, "IonBeamSequence", where):
        raise UnsupportedError(
            f"{where}: RT Ion Plan; protons and ions are not calculated (an ion engine would "
            "be needed)"
        )
    modality = text(ds, "Modality", where)
    if modality != "RTPLAN":
        raise DicomError(f"{where}: Modality (0008,0060) is {modality or 'missing'}, not RTPLAN")
    brachy = text(ds, "BrachyTreatmentType", where)
    setups = items(ds, "ApplicationSetupSequence", where)
    if not brachy and not setups:
        return
    if not items(ds, "BeamSequence", where):
        raise UnsupportedError(
            f"{where}: brachytherapy plan ({brachy or 'type not stated'}); sources in the patient "
            "are not calculated (a source model would be needed)"
        )
    said = f"BrachyTreatmentType {brachy}" if brachy else f"{len(setups)} application setups"
    notes.append(f"the plan has external beams and a leftover of brachytherapy ({said}): ignored")


def refuse_brachytherapy(ds: Dataset, group: Dataset, where: str, notes: list[str]) -> None:
    """Refuse a fraction group that delivers sources; what names none is a leftover and noted."""
    stated = integer(group, "NumberOfBrachyApplicationSetups", where, 0)
    listed = items(group, "ReferencedBrachyApplicationSetupSequence", where)
    if not stated and not listed:
        return
    named = [integer(one, "ReferencedBrachyApplicationSetupNumber", where, None) for one in listed]
    for setup in items(ds, "ApplicationSetupSequence", where):
        number_ = integer(setup, "ApplicationSetupNumber", where, None)
        wanted = number_ in named or not any(n is not None for n in named)
        if wanted and items(setup, "ChannelSequence", where):
            raise UnsupportedError(
                f"{where}: the fraction group delivers brachytherapy as well (application setup "
                f"{number_}); only external beams are calculated"
            )
    if not items(ds, "BeamSequence", where) or not items(group, "ReferencedBeamSequence", where):
        raise UnsupportedError(
            f"{where}: the fraction group has {max(stated, len(listed))} brachytherapy application "
            "setups and no beams; only external beams are calculated"
        )
    notes.append(
        f"the fraction group states {max(stated, len(listed))} brachytherapy application setups, "
        "but the plan holds no source for them: ignored"
    )


def bolus_numbers(beam: Dataset, where: str) -> tuple[int, ...]:
    """Return the ROI numbers of the boluses in a beam.

    Raises
    ------
    UnsupportedError
        A bolus that is no structure, so that nobody knows where it lies.
    """
    named = items(beam, "ReferencedBolusSequence", where)
    numbers = [integer(one, "ReferencedROINumber", where, None) for one in named]
    known = tuple(dict.fromkeys(n for n in numbers if n is not None))
    stated = max(integer(beam, "NumberOfBoli", where, 0), len(named))
    if stated > len(numbers) or None in numbers:
        raise UnsupportedError(
            f"{where}: {stated} bolus (NumberOfBoli), but ReferencedBolusSequence (300C,00B0) does "
            "not say which ROI it is; draw the bolus as a structure and export the plan again"
        )
    return known


def refuse_radiation(beam: Dataset, where: str) -> None:
    """Refuse beams that are not photons, or whose dose is not steered in MU."""
    radiation = text(beam, "RadiationType", where)
    if not radiation:
        raise DicomError(f"{where}: RadiationType (300A,00C6) is missing or empty")
    if radiation != "PHOTON":
        needed = _NEEDED.get(radiation, "a model of it")
        raise UnsupportedError(
            f"{where}: RadiationType (300A,00C6) is {radiation}; only PHOTON beams are "
            f"calculated ({needed} would be needed)"
        )
    unit = text(beam, "PrimaryDosimeterUnit", where)
    if unit != "MU":
        raise UnsupportedError(
            f"{where}: PrimaryDosimeterUnit (300A,00B3) is {unit or 'missing'}; "
            "beams must be stated in MU"
        )


def refuse_matter_in_beam(
    beam: Dataset, points: Sequence[Dataset], where: str, notes: list[str]
) -> None:
    """Refuse wedges, blocks, compensators, applicators, trays by name.

    A wedge that is OUT at every control point is in nobody's way: it becomes a note.
    """
    for count_keyword, sequence, what, needed in _MODIFIERS:
        listed = len(items(beam, sequence, where))
        stated = integer(beam, count_keyword, where, 0) if count_keyword else 0
        if listed or stated:
            raise UnsupportedError(
                f"{where}: {max(listed, stated)} {what} ({count_keyword or sequence}); "
                f"it would need {needed}, which is not modelled"
            )
    _refuse_wedges(beam, points, where, notes)
    for keyword, harmless in _TRAYS:
        value = number(beam, keyword, where, harmless)
        if value != harmless:
            raise UnsupportedError(
                f"{where}: {keyword} is {value:g}; attenuating trays are not modelled"
            )
    for item in items(beam, "GeneralAccessorySequence", where):
        kind = text(item, "GeneralAccessoryType", where) or "of unnamed type"
        name = text(item, "GeneralAccessoryID", where)
        if kind not in _HARMLESS_ACCESSORIES:
            raise UnsupportedError(
                f"{where}: general accessory {name!r} ({kind}) in the beam; its attenuation "
                "is not modelled"
            )
        notes.append(f"accessory {name} ({kind}) left out")


def _refuse_wedges(beam: Dataset, points: Sequence[Dataset], where: str, notes: list[str]) -> None:
    wedges = items(beam, "WedgeSequence", where)
    count = max(len(wedges), integer(beam, "NumberOfWedges", where, 0))
    if not count:
        return
    kinds = [
        f"{text(wedge, 'WedgeType', where) or 'of unnamed type'} {text(wedge, 'WedgeID', where)}"
        f" {text(wedge, 'WedgeAngle', where)} degrees"
        for wedge in wedges
    ]
    per_point = [items(point, "WedgePositionSequence", where) for point in points]
    positions = {text(item, "WedgePosition", where) for stated in per_point for item in stated}
    if wedges and positions == {"OUT"} and len(per_point[0]) == count:
        notes.append(f"wedge stated but OUT throughout: {'; '.join(kinds)}")
        return
    raise UnsupportedError(
        f"{where}: {count} wedge ({'; '.join(kinds) or 'not described'}); physical and dynamic "
        "wedges need a wedge model, which there is none of"
    )


def fluence_mode(beam: Dataset, where: str, notes: list[str]) -> str:
    """Return "STANDARD" or "FFF", known from the primary fluence mode alone.

    Raises
    ------
    UnsupportedError
        A non-standard mode other than FFF; "SRS" among them, which stands for a
        small thin flattening filter on some machines, for none on others.
    DicomError
        The mode is missing from its sequence or not one the standard knows.
    """
    modes = items(beam, "PrimaryFluenceModeSequence", where)
    if len(modes) > 1:
        raise DicomError(f"{where}: {len(modes)} primary fluence modes are stated; one is needed")
    if not modes:
        return _without_mode(beam, where, notes, "no primary fluence mode")
    require(modes[0], "FluenceMode", where)
    mode = text(modes[0], "FluenceMode", where)
    name = text(modes[0], "FluenceModeID", where)
    if mode == "STANDARD":
        return _without_mode(beam, where, notes, "primary fluence mode STANDARD", stated=True)
    if mode != "NON_STANDARD":
        raise DicomError(
            f"{where}: FluenceMode (3002,0051) is {mode!r}; STANDARD or NON_STANDARD is needed"
        )
    if name.upper() != "FFF":
        raise UnsupportedError(
            f"{where}: fluence mode NON_STANDARD with FluenceModeID (3002,0052) "
            f"{name or 'missing'!r}; only FFF (no flattening filter) is modelled"
        )
    return "FFF"


def _without_mode(
    beam: Dataset, where: str, notes: list[str], said: str, *, stated: bool = False
) -> str:
    """Return "STANDARD", with a note where the mode is assumed or the beam's names say FFF."""
    for keyword in ("BeamName", "BeamDescription", "TreatmentMachineName"):
        if "FFF" in text(beam, keyword, where).upper():
            notes.append(f"{said}, though {keyword} says FFF: taken as flattened; check the energy")
            return "STANDARD"
    if not stated:
        notes.append(f"{said}: taken as STANDARD (flattened)")
    return "STANDARD"
