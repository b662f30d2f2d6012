"""Two doses beside each other: which points are compared, gamma, and the largest difference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.difference import dose_difference
from dosecalc.analysis.gamma import GammaCriteria, GammaResult, gamma_index
from dosecalc.model import Dose
from dosecalc.patient.coverage import holds
from dosecalc.verification.convention import is_doubtful
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.tolerances import Tolerances
from dosecalc.verification.verification import Largest
from dosecalc.verification.where import SKIN_MM, deep_voxels, patient_voxels, stopping_ratio

__all__ = ["Places", "air_left_out", "gamma_of", "largest_difference", "places_of", "threshold"]


class Places(NamedTuple):
    """Points of the reference's grid, and the calculated dose there.

    difference : calculated less reference dose, Gy, NaN outside of the calculated grid; none where
        dose to water or to medium would explain it
    patient : those in the patient
    inner : those below the skin, where the sizes of voxels at the surface decide nothing
    deep : those a build-up's depth below any surface
    hot : those where the calculated dose reaches the threshold, whatever the reference has there
    apart : couch and bolus on the phantom's grid, or None
    """

    difference: NDArray[np.float64]
    patient: NDArray[np.bool_]
    inner: NDArray[np.bool_]
    deep: NDArray[np.bool_]
    hot: NDArray[np.bool_]
    apart: NDArray[np.bool_] | None = None


def places_of(
    evidence: Evidence,
    reference: Dose,
    prescribed: float,
    tolerances: Tolerances,
    apart: NDArray[np.bool_] | None = None,
) -> Places:
    """Sort the reference's points; percentages are of the dose `prescribed`, Gy.

    apart : see `dosecalc.verification.beside_patient`
    """
    grid, phantom = reference.grid, evidence.phantom
    found = evidence.calculated.on(grid)
    patient = patient_voxels(phantom, grid, apart)
    return Places(
        _difference(evidence, reference, found),
        patient,
        patient & deep_voxels(phantom, grid, SKIN_MM),
        deep_voxels(phantom, grid),
        np.nan_to_num(found) >= threshold(prescribed, tolerances),
        apart,
    )


def _difference(
    evidence: Evidence, reference: Dose, found: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return calculated less reference, Gy; NaN where one is not known.

    An RTDOSE does not say whether its dose is to water or to medium, which is 11 % apart in
    compact bone and in air. Unless both doses say the same, a reference between the two is right.
    """
    given, calculated = reference.gray.astype(np.float64), evidence.calculated
    if not is_doubtful(calculated, reference):
        return found - given
    ratio = stopping_ratio(evidence.phantom, reference.grid)
    other = found * ratio if calculated.dose_to == "medium" else found / ratio
    low, high = np.minimum(found, other), np.maximum(found, other)
    return np.asarray(
        np.where(given < low, low - given, np.where(given > high, high - given, 0.0)) + 0.0 * found
    )


def threshold(prescribed: float, tolerances: Tolerances) -> float:
    """Dose from which points count, Gy."""
    wanted = tolerances.gamma
    full = prescribed if wanted.normalisation is None else wanted.normalisation
    return wanted.threshold_percent / 100 * full


def air_left_out(
    reference: Dose, prescribed: float, tolerances: Tolerances, places: Places
) -> tuple[str, ...]:
    """Say how many points are left out because they lie around the patient."""
    counts = (reference.gray >= threshold(prescribed, tolerances)) | places.hot
    left_out = int(np.count_nonzero(counts & ~places.patient))
    if not left_out:
        return ()
    of, percent = np.count_nonzero(counts), tolerances.gamma.threshold_percent
    if places.apart is None:
        return (
            f"the dose in the air around the patient: {left_out} of {of} points "
            f"above {percent:g} % lie there",
        )
    return (
        f"the dose in couch, bolus and the air around the patient: {left_out} of {of} points "
        f"above {percent:g} % lie there",
    )


def gamma_of(
    reference: Dose,
    calculated: Dose,
    prescribed: float,
    tolerances: Tolerances,
    places: Places,
) -> GammaResult:
    """Gamma by the tolerances' criteria, of the patient's points."""
    wanted = tolerances.gamma
    criteria = GammaCriteria(
        wanted.dose_percent,
        wanted.distance_mm,
        wanted.local,
        wanted.threshold_percent,
        wanted.max_gamma,
        prescribed if wanted.normalisation is None else wanted.normalisation,
    )
    return gamma_index(reference, calculated, criteria, within=places.patient, besides=places.hot)


def largest_difference(
    reference: Dose,
    calculated: Dose,
    prescribed: float,
    evidence: Evidence,
    places: Places,
) -> Largest | None:
    """Largest difference among the points that count, and the structures that hold it."""
    found = dose_difference(
        reference,
        calculated,
        normalisation=prescribed,
        within=places.patient,
        besides=places.hot,
    )
    if not found.points:
        return None
    slices = None if evidence.ct is None else evidence.ct.grid.spacing[2]
    return Largest(
        point=found.worst_position,
        reference_gy=found.worst_reference,
        calculated_gy=found.worst_evaluated,
        percent_of_prescription=found.worst_percent,
        structures=tuple(
            s.name
            for s in evidence.structures or ()
            if holds(s, found.worst_position, plane_spacing=s.slice_spacing or slices)
        ),
    )
