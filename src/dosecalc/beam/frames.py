"""Where the beam comes from: IEC 61217 machine angles to the DICOM patient frame (LPS).

IEC 61217 (2011, section 4) hangs right-handed frames one inside the other:

* fixed: origin at the isocentre, Y from the isocentre to the gantry, Z up, and so X
  to the right of an observer who faces the gantry;
* gantry: turned about the fixed Y. As everywhere in IEC 61217 the turn is positive
  clockwise for an eye that looks along the axis, so it takes Z towards X: the
  source is above at 0 degrees, at +X at 90;
* beam limiting device (collimator): turned about the gantry's Z, which points to
  the source; it takes X towards Y, counter-clockwise as seen from the source;
* patient support (couch): turned about the fixed Z; it takes X towards Y,
  counter-clockwise as seen from above. The patient turns with it, so seen from the
  patient the beam turns the other way.

DICOM takes gantry angle (300A,011E), beam limiting device angle (300A,0120) and
patient support angle (300A,0122) in these senses (PS3.3, C.8.8.14), and the patient
position (0018,5100) from head or feet towards the gantry and from the side that is
up (PS3.3, C.7.3.1.1.2: in HFDR the right side is down).
"""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.errors import GeometryError
from dosecalc.model import PatientPosition
from dosecalc.model.checks import finite, positive

__all__ = ["beam_axes", "fixed_from_patient", "source_position"]

# Fixed-frame direction (X right, Y to the gantry, Z up) of the patient's superior and
# posterior side on a couch at 0 degrees. Left follows, because LPS is right-handed.
_SUPERIOR_POSTERIOR = {
    PatientPosition.HFS: ((0, 1, 0), (0, 0, -1)),
    PatientPosition.HFP: ((0, 1, 0), (0, 0, 1)),
    PatientPosition.FFS: ((0, -1, 0), (0, 0, -1)),
    PatientPosition.FFP: ((0, -1, 0), (0, 0, 1)),
    PatientPosition.HFDR: ((0, 1, 0), (1, 0, 0)),
    PatientPosition.HFDL: ((0, 1, 0), (-1, 0, 0)),
    PatientPosition.FFDR: ((0, -1, 0), (-1, 0, 0)),
    PatientPosition.FFDL: ((0, -1, 0), (1, 0, 0)),
}


def fixed_from_patient(position: PatientPosition) -> NDArray[np.float64]:
    """Matrix (3, 3) that takes LPS directions to the IEC fixed frame, couch at 0 degrees."""
    superior, posterior = (np.array(v, dtype=np.float64) for v in _SUPERIOR_POSTERIOR[position])
    return np.column_stack((np.cross(posterior, superior), posterior, superior))


def beam_axes(
    position: PatientPosition, gantry_deg: float, collimator_deg: float, couch_deg: float
) -> NDArray[np.float64]:
    """Directions of the beam limiting device's axes and of the beam in the patient.

    Parameters
    ----------
    position : PatientPosition
    gantry_deg, collimator_deg, couch_deg : float, degrees
        IEC 61217.

    Returns
    -------
    (3, 3) float64
        Rows u, v, w, unit vectors in LPS: x and y axis of the beam limiting device,
        and the direction of the beam, from source to isocentre. w is opposite to
        the device's z axis, so the three are left-handed.

    Raises
    ------
    InputError
        An angle is not a finite number.
    """
    cg, sg = _cos_sin(finite(gantry_deg, "gantry angle (degrees)"))
    cc, sc = _cos_sin(finite(collimator_deg, "collimator angle (degrees)"))
    ct, st = _cos_sin(finite(couch_deg, "couch angle (degrees)"))
    gantry = np.array([[cg, 0.0, -sg], [0.0, 1.0, 0.0], [sg, 0.0, cg]])
    collimator = np.array([[cc, sc, 0.0], [-sc, cc, 0.0], [0.0, 0.0, 1.0]])
    fixed = collimator @ gantry
    fixed[2] *= -1.0
    support = np.array([[ct, -st, 0.0], [st, ct, 0.0], [0.0, 0.0, 1.0]])
    # Adding zero turns -0.0 into 0.0.
    return np.asarray(fixed @ support @ fixed_from_patient(position) + 0.0)


def source_position(
    isocentre: ArrayLike, axes: NDArray[np.float64], sad_mm: float
) -> NDArray[np.float64]:
    """Position (3,) of the source, mm, LPS: `sad_mm` before the isocentre along the beam.

    Raises
    ------
    GeometryError
        The isocentre is not three finite numbers.
    InputError
        The distance is not above zero.
    """
    (distance,) = positive((sad_mm,), "source-axis distance (mm)")
    centre = np.asarray(isocentre, dtype=np.float64)
    if centre.shape != (3,) or not np.isfinite(centre).all():
        raise GeometryError(f"isocentre {isocentre!r}: x, y and z in mm are needed")
    return np.asarray(centre - distance * axes[2])


def _cos_sin(degrees: float) -> tuple[float, float]:
    """Cosine and sine, exact at multiples of 90 degrees."""
    turn = degrees % 360.0
    if turn % 90.0 == 0.0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(turn // 90.0) % 4]
    return cos(radians(turn)), sin(radians(turn))
