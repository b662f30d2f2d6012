"""Numbers that sum up a plan: homogeneity, conformity and gradient, and quantities by name.

The prescription isodose volume (PIV) is the volume in which the dose, trilinear between
voxel centres, is the prescribed dose or more: not a count of voxels. It is taken of the
whole dose grid, or of the body where its structure is given, which leaves out what a
planning system or an engine writes into the air around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.analysis.dvh import Dvh, structure_dvh
from dosecalc.analysis.sampling import box_stack, collect
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Dose, Grid, Structure
from dosecalc.patient.resample import crop_to

__all__ = [
    "IsodoseVolumes",
    "PlanIndices",
    "Quantity",
    "gradient_index",
    "homogeneity_index",
    "is_of_prescription",
    "isodose_volumes",
    "paddick_index",
    "plan_indices",
    "quantity",
    "rtog_index",
]

_QUANTITY = re.compile(
    r"(?P<letter>[dv])\s*(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>%|cc|cm3|gy)?"
    r"\s*(?P<of>%|cc|cm3)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Quantity:
    """A number read from a histogram: its name, value, and unit ("Gy", "%", "cm3" or "")."""

    name: str
    value: float
    unit: str


def is_of_prescription(text: str) -> bool:
    """Whether a quantity is a share of the prescribed dose: "V95%", "V107% cc", "D98% %"."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        return False
    unit, of = ((found[k] or "") for k in ("unit", "of"))
    return unit == "%" if found["letter"].lower() == "v" else of == "%"


def quantity(dvh: Dvh, text: str, prescribed_gy: float | None = None) -> Quantity:
    """Read a number from a histogram by its usual name.

    Parameters
    ----------
    dvh : Dvh
    text : str
        "D95%" or "D95": dose that 95 % of the volume receive at least, Gy. "D2cc": that 2 cm3
        receive at least. "V20Gy" or "V20Gy %": volume that receives 20 Gy at least, %.
        "V20Gy cc": the same in cm3. "mean", "min", "max", Gy. "HI": `homogeneity_index`.
        "V95%" or "V95% cc": volume that receives 95 % of the prescribed dose at least, % or
        cm3. "D98% %" or "D2cc %": these doses in % of the prescribed dose. Upper or lower case.
    prescribed_gy : float, Gy, optional
        For what is a share of the prescribed dose (`is_of_prescription`).

    Raises
    ------
    InputError
        It has another form, its percentage is not between 0 and 100, or it is a share of a
        prescribed dose that is not given or not above zero.
    GeometryError
        There are fewer cm3 of the structure than it names.
    """
    word = text.strip()
    named = {"mean": dvh.mean_gy, "min": dvh.minimum_gy, "max": dvh.maximum_gy}
    if word.lower() in named:
        return Quantity(word.lower(), named[word.lower()], "Gy")
    if word.lower() == "hi":
        return Quantity("HI", homogeneity_index(dvh), "")
    found = _QUANTITY.fullmatch(word)
    if found is not None:
        number = float(found["number"])
        unit, of = ((found[k] or "").lower().replace("cc", "cm3") for k in ("unit", "of"))
        if is_of_prescription(word):
            return _of_prescription(dvh, word, found["letter"].lower(), number, prescribed_gy)
        known = _read(dvh, found["letter"].lower(), number, unit, of)
        if known is not None:
            return known
    raise InputError(
        f"{text!r} is no quantity of a histogram: write D95%, D2cc, V20Gy, 'V20Gy cc', V95%, "
        "'V95% cc', 'D95% %', mean, min, max or HI"
    )


def _of_prescription(
    dvh: Dvh, word: str, letter: str, number: float, prescribed_gy: float | None
) -> Quantity:
    """Read a quantity that is a share of the prescribed dose."""
    if prescribed_gy is None or not (np.isfinite(prescribed_gy) and prescribed_gy > 0):
        said = "none is given" if prescribed_gy is None else f"that is {prescribed_gy:g} Gy"
        raise InputError(f"{word!r} is a share of the prescribed dose, and {said}")
    if letter == "v":
        level = number / 100 * prescribed_gy
        if word.lower().endswith(("cc", "cm3")):
            return Quantity(f"V{number:g}%", float(dvh.volume_at_dose(level)), "cm3")
        return Quantity(f"V{number:g}%", float(dvh.percent_at_dose(level)), "%")
    plain = quantity(dvh, word[:-1])
    return Quantity(f"{plain.name} %", 100 * plain.value / prescribed_gy, "%")


def _read(dvh: Dvh, letter: str, number: float, unit: str, of: str) -> Quantity | None:
    """Dose at a volume, or volume at a dose; None where letter and units do not fit together."""
    if letter == "d" and unit == "cm3" and not of:
        return Quantity(f"D{number:g}cc", dvh.dose_at_cm3(number), "Gy")
    if letter == "d" and unit in ("", "%") and not of:
        return Quantity(f"D{number:g}%", dvh.dose_at_volume(number), "Gy")
    if letter == "v" and unit == "gy" and of == "cm3":
        return Quantity(f"V{number:g}Gy", float(dvh.volume_at_dose(number)), "cm3")
    if letter == "v" and unit == "gy":
        return Quantity(f"V{number:g}Gy", float(dvh.percent_at_dose(number)), "%")
    return None


def homogeneity_index(dvh: Dvh) -> float:
    """(D2 - D98) / D50 of ICRU Report 83: 0 is a uniform dose.

    Raises
    ------
    InputError
        The median dose is zero.
    """
    if not dvh.median_gy > 0:
        raise InputError(f"homogeneity of {dvh.name!r}: its median dose is {dvh.median_gy:g} Gy")
    return (dvh.near_maximum_gy - dvh.near_minimum_gy) / dvh.median_gy


def rtog_index(isodose_cm3: float, target_cm3: float) -> float:
    """PIV / TV: prescription isodose volume over target volume (Shaw et al. 1993, RTOG).

    1 is neither more nor less than the target's volume, wherever it lies.
    """
    _refuse_nothing(target_cm3, "the target volume")
    return isodose_cm3 / target_cm3


def paddick_index(covered_cm3: float, isodose_cm3: float, target_cm3: float) -> float:
    """TV_PIV^2 / (TV PIV) (Paddick, J. Neurosurg. 93 (2000) suppl. 3, 219): 1 is perfect.

    Parameters
    ----------
    covered_cm3 : float
        Part of the target within the prescription isodose.
    isodose_cm3, target_cm3 : float
    """
    _refuse_nothing(target_cm3, "the target volume")
    _refuse_nothing(isodose_cm3, "the volume of the prescription isodose")
    return covered_cm3**2 / (target_cm3 * isodose_cm3)


def gradient_index(half_isodose_cm3: float, isodose_cm3: float) -> float:
    """PIV50 / PIV (Paddick and Lippitz, J. Neurosurg. 105 (2006) suppl., 194).

    Volume at half the prescribed dose over that at the prescribed dose.
    """
    _refuse_nothing(isodose_cm3, "the volume of the prescription isodose")
    return half_isodose_cm3 / isodose_cm3


def _refuse_nothing(cm3: float, what: str) -> None:
    if not cm3 > 0:
        raise InputError(f"{what} is {cm3:g} cm3: the index is not defined")


@dataclass(frozen=True)
class IsodoseVolumes:
    """Volumes at or above doses.

    Parameters
    ----------
    gray : (n,) float64, Gy
    cm3 : (n,) float64
    cut_off : (n,) bool
        Whether the isodose reaches the faces of the dose grid, beyond which there may be more.
    """

    gray: NDArray[np.float64]
    cm3: NDArray[np.float64]
    cut_off: NDArray[np.bool_]


def isodose_volumes(dose: Dose, gray: ArrayLike) -> IsodoseVolumes:
    """Volume of the dose grid in which the interpolated dose is `gray` or more.

    Parameters
    ----------
    dose : Dose
    gray : (n,) Gy, > 0
    """
    levels = np.atleast_1d(np.asarray(gray, dtype=np.float64))
    if levels.size == 0 or not (levels > 0).all():
        raise InputError(f"isodose volumes at {levels.tolist()} Gy: doses above zero are needed")
    lowest = float(levels.min())
    hot = dose.gray >= np.float32(lowest)
    rims = np.concatenate([np.take(dose.gray, [0, -1], axis=k).ravel() for k in range(3)])
    cut_off = np.asarray(levels <= float(rims.max()))
    if not hot.any():
        return IsodoseVolumes(levels, np.zeros(levels.shape), cut_off)
    place, grid = _around(hot, dose.grid)
    part = Dose(grid, dose.gray[place], dose.dose_to, dose.unit)
    # A voxel next to a hot one is hot in part: the box reaches one voxel beyond.
    found = collect(box_stack(grid.lower, grid.upper), part)
    if found is None:
        return IsodoseVolumes(levels, np.zeros(levels.shape), cut_off)
    dvh = Dvh("isodoses", 0, found.dose_gy, found.volumes_cm3)
    return IsodoseVolumes(levels, dvh.volume_at_dose(levels), cut_off)


def _around(hot: NDArray[np.bool_], grid: Grid) -> tuple[tuple[slice, slice, slice], Grid]:
    """Part of a grid around the voxels that are set, with one voxel to spare on every side."""
    index = [np.flatnonzero(hot.any(axis=tuple({0, 1, 2} - {k}))) for k in range(3)]
    low = grid.position_of([float(i[0]) - 1 for i in index])
    high = grid.position_of([float(i[-1]) + 1 for i in index])
    return crop_to(grid, tuple(low.tolist()), tuple(high.tolist()))


@dataclass(frozen=True)
class PlanIndices:
    """Conformity of a dose with one target.

    Parameters
    ----------
    target : str
    prescribed_gy : float
    target_cm3 : float
        TV.
    isodose_cm3 : float
        PIV, volume at the prescribed dose or more, `within`.
    half_isodose_cm3 : float
        PIV50, volume at half of it or more, `within`.
    covered_cm3 : float
        TV_PIV, part of the target at the prescribed dose or more.
    homogeneity, rtog, paddick, gradient : float
        See the functions of these names; `paddick` and `gradient` are None where the
        prescribed dose is reached nowhere.
    within : str
        "dose grid" or the name of the body's structure.
    notes : tuple of str
    """

    target: str
    prescribed_gy: float
    target_cm3: float
    isodose_cm3: float
    half_isodose_cm3: float
    covered_cm3: float
    homogeneity: float
    rtog: float
    paddick: float | None
    gradient: float | None
    within: str
    notes: tuple[str, ...] = ()


def plan_indices(
    target: Structure,
    dose: Dose,
    prescribed_gy: float,
    *,
    body: Structure | None = None,
    plane_spacing: float | None = None,
) -> PlanIndices:
    """Judge how a dose fits a target.

    Parameters
    ----------
    target : Structure
    dose : Dose
        In Gy, of as many fractions as the prescription.
    prescribed_gy : float, > 0
    body : Structure or None
        Isodose volumes are taken within it; of the whole dose grid if None.
    plane_spacing : float, mm, optional
        See :func:`dosecalc.analysis.dvh.structure_dvh`.

    Raises
    ------
    InputError
        The prescription is not above zero.
    GeometryError
        The target, or part of it, lies outside the dose grid.
    """
    if not (np.isfinite(prescribed_gy) and prescribed_gy > 0):
        raise InputError(f"prescribed dose of {target.name!r} is {prescribed_gy} Gy")
    dvh = structure_dvh(target, dose, plane_spacing=plane_spacing)
    if not dvh.is_complete:
        raise GeometryError(
            f"{dvh.outside_cm3:.4g} of {dvh.total_cm3:.4g} cm3 of target {target.name!r} lie "
            "outside the dose grid: what they receive is not known; calculate on a larger grid"
        )
    full, half, notes = _isodoses(dose, prescribed_gy, body, plane_spacing)
    covered = float(dvh.volume_at_dose(prescribed_gy))
    if not full > 0:
        notes = (*notes, f"no dose reaches the prescribed {prescribed_gy:g} Gy")
    return PlanIndices(
        target=target.name,
        prescribed_gy=float(prescribed_gy),
        target_cm3=dvh.total_cm3,
        isodose_cm3=full,
        half_isodose_cm3=half,
        covered_cm3=covered,
        homogeneity=homogeneity_index(dvh),
        rtog=rtog_index(full, dvh.total_cm3),
        paddick=paddick_index(covered, full, dvh.total_cm3) if full > 0 else None,
        gradient=gradient_index(half, full) if full > 0 else None,
        within="dose grid" if body is None else body.name,
        notes=notes,
    )


def _isodoses(
    dose: Dose, prescribed_gy: float, body: Structure | None, plane_spacing: float | None
) -> tuple[float, float, tuple[str, ...]]:
    """Volumes at the prescribed dose and at half of it, cm3, and what is missing in them."""
    levels = [prescribed_gy, prescribed_gy / 2]
    if body is not None:
        inside = structure_dvh(body, dose, plane_spacing=plane_spacing)
        full, half = (float(v) for v in inside.volume_at_dose(levels))
        missing = f"{inside.outside_cm3:.4g} cm3 of {body.name!r} lie outside the dose grid"
        return full, half, () if inside.is_complete else (missing,)
    isodoses = isodose_volumes(dose, levels)
    full, half = (float(v) for v in isodoses.cm3)
    missing = f"the {100 if isodoses.cut_off[0] else 50} % isodose reaches the dose grid's faces"
    return full, half, (missing,) if isodoses.cut_off.any() else ()
