"""RT Structure Set files to structures.

What the standard calls CLOSED_PLANAR and CLOSEDPLANAR_XOR becomes contours;
on one plane they combine by the even-odd rule, whichever of the two they are
called, because planning systems write holes as both. Points and open contours
enclose nothing and are left out with a note. A structure that cannot be read is left out
with a note too, and refused where somebody asks for it. DICOM PS3.3, C.8.8.5 to C.8.8.8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, DosecalcError, UnsupportedError
from dosecalc.io.dicom._common import attribute, integer, items, number, require, text, vector
from dosecalc.model import Contour, Structure, StructureSet
from dosecalc.model.spacing import POSITION_MM
from dosecalc.patient.drawing import drawing_notes as _drawing_notes
from dosecalc.patient.drawing import on_drawn_planes, spacing_of_set
from dosecalc.patient.outlines import Outlines

__all__ = ["RT_STRUCTURE_SET_STORAGE", "read_structures"]

RT_STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_WITHOUT_AREA = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
# A contour whose z varies by more than this (mm) is not in an axial plane.
_FLATNESS = POSITION_MM
# A contour repeated within this distance in z (mm) is one.
_SAME_PLANE = POSITION_MM
# No patient is 100 m from the origin: such a number is damage.
_FARTHEST = 1e5
_DENSEST = 25.0

# Names and frames of reference of ROIs by their numbers.
_Rois = dict[int, tuple[str, str]]


def read_structures(ds: Dataset, *, where: str = "RTSTRUCT") -> StructureSet:
    """Convert an RT Structure Set data set to structures.

    Parameters
    ----------
    ds : Dataset
    where : str
        What to call the file in messages.

    Returns
    -------
    StructureSet
        Every ROI of the file, in its order, those without contours included.
        What was left out or is unusual is in the notes of the structure or the set. An ROI
        out of axial planes, of a contour type that is not known, offset or damaged has no
        contours and says in `left_out` why.

    Raises
    ------
    DicomError
        The file is not a structure set, or is incomplete or contradicts itself.
    UnsupportedError
        Structures in different frames of reference.
    """
    sop_class = text(ds, "SOPClassUID", where)
    if sop_class != RT_STRUCTURE_SET_STORAGE:
        raise DicomError(f"{where}: SOP class {sop_class or 'missing'} is not an RT structure set")
    notes: list[str] = []
    rois, lost = _rois(ds, where, notes)
    contours = _by_roi(ds, "ROIContourSequence", rois, where, notes)
    observations = _by_roi(ds, "RTROIObservationsSequence", rois, where, notes)
    structures = [
        _structure(number_, name, contours.get(number_, ()), observations.get(number_, ()), where)
        for number_, (name, _) in rois.items()
    ]
    structures = [
        _left_out(s, lost[s.number], where) if s.number in lost else s for s in structures
    ]
    spacing = spacing_of_set(structures)
    structures = [_with_drawing_notes(on_drawn_planes(s, spacing)) for s in structures]
    repeated = [name for name, n in Counter(s.name for s in structures).items() if n > 1]
    if repeated:
        notes.append(f"structure names used more than once: {', '.join(repeated)}")
    structures = _without_other_frames(ds, structures, rois, where)
    frame = _frame_of_reference(ds, structures, rois, where, notes)
    require(ds, "SOPInstanceUID", where)
    return StructureSet(
        structures=tuple(structures),
        label=text(ds, "StructureSetLabel", where),
        uid=text(ds, "SOPInstanceUID", where),
        frame_of_reference_uid=frame,
        image_series_uid=_image_series(ds, frame, where, notes),
        patient_id=text(ds, "PatientID", where),
        notes=tuple(notes),
    )


def _rois(ds: Dataset, where: str, notes: list[str]) -> tuple[_Rois, dict[int, str]]:
    """Names and frames of reference of the ROIs by their number, and why some have no contours.

    An ROI without a number, or with that of another, gets one that is free: no contours are its.
    """
    found: list[tuple[int | None, str, str]] = []
    for index, item in enumerate(items(ds, "StructureSetROISequence", where), start=1):
        try:
            roi = integer(item, "ROINumber", f"{where}, structure set ROI {index}")
        except DicomError:
            roi = None
        place = f"{where}, ROI {index if roi is None else roi}"
        name = text(item, "ROIName", place)
        if not name:
            name = f"ROI {index if roi is None else roi}"
            notes.append(f"ROI number {roi or index} has no name; it is called {name!r} here")
        found.append((roi, name, text(item, "ReferencedFrameOfReferenceUID", place)))
    if all(roi is None for roi, _, _ in found):
        what = "none of its ROIs has a number" if found else "StructureSetROISequence is empty"
        raise DicomError(f"{where}: it defines no ROI ({what})")
    rois: _Rois = {}
    lost: dict[int, str] = {}
    free = max((roi for roi, _, _ in found if roi is not None), default=0) + 1
    times = Counter(roi for roi, _, _ in found)
    for roi, name, frame in found:
        number_ = free if roi is None or roi in rois else roi
        free += number_ == free
        rois[number_] = (name, frame)
        if roi is None:
            lost[number_] = "it has no ROI number, by which its contours would be found"
        elif times[roi] > 1:
            named = ", ".join(repr(name) for other, name, _ in found if other == roi)
            lost[number_] = (
                f"the ROI number {roi} is used {times[roi]} times ({named}), so that it is not "
                "known whose the contours are; export the structure set again with unique numbers"
            )
    return rois, lost


def _by_roi(
    ds: Dataset,
    keyword: str,
    rois: Mapping[int, tuple[str, str]],
    where: str,
    notes: list[str],
) -> dict[int, list[Dataset]]:
    """Items of a sequence by the ROI they refer to; those of unknown ROIs become a note."""
    found: dict[int, list[Dataset]] = {}
    unknown: set[int] = set()
    nameless = 0
    for item in items(ds, keyword, where):
        try:
            roi = integer(item, "ReferencedROINumber", f"{where}, {keyword}")
        except DicomError:
            nameless += 1
            continue
        if roi in rois:
            found.setdefault(roi, []).append(item)
        else:
            unknown.add(roi)
    if nameless:
        notes.append(f"{keyword} refers {nameless} times to no ROI number, left out")
    if unknown:
        listed = ", ".join(str(n) for n in sorted(unknown))
        notes.append(f"{keyword} refers to ROI numbers that are not defined, left out: {listed}")
    return found


def _structure(
    roi: int,
    name: str,
    contour_items: Sequence[Dataset],
    observations: Sequence[Dataset],
    where: str,
) -> Structure:
    """Return one ROI; where it cannot be read, its name and why."""
    place = f"{where}, ROI {roi} {name!r}"
    kind, density = "", None
    notes: list[str] = []
    try:
        if len(contour_items) > 1:
            raise DicomError(
                f"{place}: ROIContourSequence lists it {len(contour_items)} times; once is allowed"
            )
        kind = _kind(observations, place)
        density = _density(observations, place, notes)
        contours = _contours(contour_items[0], place, notes) if contour_items else ()
    except DosecalcError as error:
        reason = str(error)
        why = reason.removeprefix(f"{place}, ").removeprefix(f"{place}: ")
        said = (f"left out: {why}",)
        return Structure(roi, name, kind, density=density, notes=said, left_out=reason)
    return Structure(roi, name, kind, contours, density, tuple(notes))


def _with_drawing_notes(structure: Structure) -> Structure:
    if structure.left_out:
        return structure
    return replace(structure, notes=(*structure.notes, *_drawing_notes(structure)))


def _contours(item: Dataset, place: str, notes: list[str]) -> tuple[Contour, ...]:
    """Return the closed contours of one ROI; what encloses no area is counted in the notes."""
    known = _Known()
    left_out: Counter[str] = Counter()
    for index, entry in enumerate(items(item, "ContourSequence", place), start=1):
        spot = f"{place}, contour {index}"
        kind = text(entry, "ContourGeometricType", spot)
        if kind in _WITHOUT_AREA:
            left_out[f"{kind} contour"] += 1
            continue
        if kind not in _CLOSED:
            raise UnsupportedError(
                f"{spot}: contour type {kind or 'missing'!r} is not known; "
                "export the structure as CLOSED_PLANAR contours"
            )
        contour = _contour(entry, spot)
        if contour is None:
            left_out["closed contour of fewer than three points"] += 1
            continue
        repeated = known.find(contour)
        if repeated is None:
            known.add(contour)
        elif kind == "CLOSED_PLANAR":
            left_out["repeated contour"] += 1
        else:
            known.remove(repeated)
            left_out["CLOSEDPLANAR_XOR contour that its repetition cancels"] += 2
    notes.extend(f"left out: {n} x {what}" for what, n in left_out.items())
    return known.contours


class _Known:
    """Contours of one ROI in their order, among which a repeated one is found at once."""

    def __init__(self) -> None:
        self._contours: dict[int, Contour] = {}
        self._planes: dict[int, Outlines] = {}

    @property
    def contours(self) -> tuple[Contour, ...]:
        return tuple(self._contours.values())

    def find(self, contour: Contour) -> Contour | None:
        """Return the contour that this one repeats, on its plane or at most 0.1 mm from it."""
        level = round(contour.z / _SAME_PLANE)
        for near in (level - 1, level, level + 1):
            found = self._planes[near].find(contour) if near in self._planes else None
            if found is not None and abs(found.z - contour.z) <= _SAME_PLANE:
                return found
        return None

    def add(self, contour: Contour) -> None:
        self._contours[id(contour)] = contour
        self._planes.setdefault(round(contour.z / _SAME_PLANE), Outlines()).add(contour)

    def remove(self, contour: Contour) -> None:
        del self._contours[id(contour)]
        self._planes[round(contour.z / _SAME_PLANE)].remove(contour)


def _contour(entry: Dataset, spot: str) -> Contour | None:
    """One closed contour, None where it has fewer than three points."""
    values = _contour_data(entry, spot)
    if values.size % 3:
        raise DicomError(f"{spot}: {values.size} coordinates are no whole number of x, y, z points")
    stated = integer(entry, "NumberOfContourPoints", spot, None)
    if stated is not None and stated != values.size // 3:
        raise DicomError(f"{spot}: {values.size // 3} points are stored, {stated} are stated")
    if values.size < 9:
        return None
    if np.abs(values).max() > _FARTHEST:
        raise DicomError(f"{spot}: a coordinate of {np.abs(values).max():g} mm is no position")
    if attribute(entry, "ContourOffsetVector", spot) is not None:
        offset = vector(entry, "ContourOffsetVector", 3, spot)
        if offset.any():
            raise UnsupportedError(
                f"{spot}: it is offset by {offset.tolist()} mm; export it in place"
            )
    points = values.reshape(-1, 3)
    low, high = points[:, 2].min(), points[:, 2].max()
    if high - low > _FLATNESS:
        raise UnsupportedError(
            f"{spot}: its z runs from {low:g} to {high:g} mm; only contours in axial planes "
            "(constant z) can be used; export the structure on axial planes"
        )
    return Contour(z=float((low + high) / 2), points=points[:, :2])


def _contour_data(entry: Dataset, spot: str) -> NDArray[np.float64]:
    """Contour Data as numbers, none where it is empty.

    The stored text is split here, 20 times as fast as through pydicom's decimal
    class; whatever is unusual about it goes the way of all other attributes.
    """
    raw = entry.get_item("ContourData") if "ContourData" in entry else None
    if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
        try:
            values = np.array(raw.value.strip(b" \0").split(b"\\"), dtype=np.float64)
        except ValueError:
            values = np.array([np.nan])
        if np.isfinite(values).all():
            return values
    if attribute(entry, "ContourData", spot) is None:
        return np.empty(0)
    return vector(entry, "ContourData", where=spot)


def _kind(observations: Iterable[Dataset], place: str) -> str:
    """RT ROI Interpreted Type, "" where no observation states one."""
    stated = {text(o, "RTROIInterpretedType", place).upper() for o in observations} - {""}
    if len(stated) > 1:
        raise DicomError(
            f"{place}: its observations disagree on what it is: {', '.join(sorted(stated))}; "
            "correct its type in the planning system"
        )
    return stated.pop() if stated else ""


def _density(observations: Iterable[Dataset], place: str, notes: list[str]) -> float | None:
    """Mass density override in g/cm3; other physical properties are only noted.

    Relative mass density is relative to water, taken as 1 g/cm3. A relative electron
    density is not converted: that takes a composition, which the file does not fix.
    """
    densities: set[float] = set()
    unused: list[str] = []
    for observation in observations:
        for item in items(observation, "ROIPhysicalPropertiesSequence", place):
            what = text(item, "ROIPhysicalProperty", place)
            if what == "REL_MASS_DENSITY":
                densities.add(number(item, "ROIPhysicalPropertyValue", place))
            else:
                value = text(item, "ROIPhysicalPropertyValue", place)
                unused.append(f"{what} = {value or 'empty'}")
    if unused:
        notes.append(f"physical properties not used: {', '.join(unused)}")
    if len(densities) > 1:
        raise DicomError(f"{place}: it states several mass densities: {sorted(densities)}")
    if not densities:
        return None
    density = densities.pop()
    if not 0 <= density <= _DENSEST:
        raise DicomError(f"{place}: a relative mass density of {density:g} is not possible")
    return density


def _without_other_frames(
    ds: Dataset, structures: Sequence[Structure], rois: Mapping[int, tuple[str, str]], where: str
) -> list[Structure]:
    """Leave out structures that are not in the one frame of the images that the set names."""
    declared = {
        text(item, "FrameOfReferenceUID", where)
        for item in items(ds, "ReferencedFrameOfReferenceSequence", where)
    } - {""}
    own = {s.number for s in structures if rois[s.number][1] in (*declared, "")}
    if len(declared) != 1 or not any(not s.is_empty for s in structures if s.number in own):
        return list(structures)
    (frame,) = declared
    kept = []
    for one in structures:
        elsewhere = one.number not in own and not one.is_empty
        kept.append(_of_another_frame(one, rois[one.number][1], frame, where) if elsewhere else one)
    return kept


def _of_another_frame(structure: Structure, its_frame: str, frame: str, where: str) -> Structure:
    why = (
        f"it lies in the frame of reference {its_frame}, and the images of the structure set in "
        f"{frame}"
    )
    return _left_out(structure, why, where)


def _left_out(structure: Structure, why: str, where: str) -> Structure:
    reason = f"{where}, ROI {structure.number} {structure.name!r}: {why}"
    said = (f"left out: {why}",)
    return replace(structure, contours=(), notes=said, left_out=reason)


def _frame_of_reference(
    ds: Dataset,
    structures: Iterable[Structure],
    rois: Mapping[int, tuple[str, str]],
    where: str,
    notes: list[str],
) -> str:
    """Return the one frame of reference that all drawn structures share."""
    declared = [
        text(item, "FrameOfReferenceUID", where)
        for item in items(ds, "ReferencedFrameOfReferenceSequence", where)
    ]
    fallback = declared[0] if len(set(declared)) == 1 else ""
    used: dict[str, list[str]] = {}
    for structure in structures:
        if not structure.is_empty:
            used.setdefault(rois[structure.number][1] or fallback, []).append(structure.name)
    if len(used) > 1:
        listed = "; ".join(f"{uid or 'none stated'}: {', '.join(n)}" for uid, n in used.items())
        raise UnsupportedError(
            f"{where}: its structures lie in different frames of reference ({listed}); "
            "export those of one image series only"
        )
    stated = {uid for _, uid in rois.values() if uid}
    frame = next(iter(used)) if used else (fallback or (stated.pop() if len(stated) == 1 else ""))
    if not frame:
        notes.append("no frame of reference is stated: nothing ties it to an image series")
    others = sorted((set(declared) | stated) - {frame, ""})
    if others:
        notes.append(f"other frames of reference are mentioned and not used: {', '.join(others)}")
    return frame


def _image_series(ds: Dataset, frame: str, where: str, notes: list[str]) -> str:
    """Series the structures were drawn on: the only one of the frame, or the one contours name."""
    images: dict[str, set[str]] = {}
    for item in items(ds, "ReferencedFrameOfReferenceSequence", where):
        if text(item, "FrameOfReferenceUID", where) != frame:
            continue
        for study in items(item, "RTReferencedStudySequence", where):
            for series in items(study, "RTReferencedSeriesSequence", where):
                uid = text(series, "SeriesInstanceUID", where)
                images.setdefault(uid, set()).update(_image_uids(series, where))
    images.pop("", None)
    if len(images) < 2:
        return next(iter(images), "")
    named = {
        uid
        for roi in items(ds, "ROIContourSequence", where)
        for contour in items(roi, "ContourSequence", where)
        for uid in _image_uids(contour, where)
    }
    drawn_on = [uid for uid, own in images.items() if own & named]
    if len(drawn_on) == 1:
        return drawn_on[0]
    if drawn_on:
        notes.append(f"drawn on {len(drawn_on)} image series")
    else:
        notes.append(f"drawn on one of {len(images)} image series, which one is not stated")
    return ""


def _image_uids(item: Dataset, where: str) -> set[str]:
    return {
        text(image, "ReferencedSOPInstanceUID", where)
        for image in items(item, "ContourImageSequence", where)
    } - {""}
