"""Doses of other Monte Carlo programs: DOSXYZnrc's .3ddose text, and plain NumPy archives."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import GeometryError, InputError, UnsupportedError
from dosecalc.model import Dose, Grid
from dosecalc.model.checks import positive
from dosecalc.model.spacing import position_tolerance, spacing_of

__all__ = ["read_3ddose", "read_npz_dose", "write_npz_dose"]

_NPZ_FAILURES = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError,
    RuntimeError, MemoryError,
)  # fmt: skip


class _Placement(NamedTuple):
    """For x, y, z of LPS: which axis of the file (0 to 2) it is, and whether it runs against it."""

    file_axis: tuple[int, ...]
    reversed: tuple[bool, ...]


def read_3ddose(
    path: str | Path,
    *,
    unit: str,
    axes: Sequence[str] = ("+x", "+y", "+z"),
    factor: float = 1.0,
    summation: str = "PLAN",
) -> Dose:
    """Read a .3ddose file of DOSXYZnrc (Walters, Kawrakow and Rogers, NRCC Report PIRS-794).

    The file is text: counts of voxels nx, ny, nz; their boundaries in x, in y and in z, cm; the
    doses, x fastest; their relative standard uncertainties in the same order. How it is
    broken into lines does not matter. (A file cut off within its very last number looks whole.)

    Parameters
    ----------
    path : path
    unit : {"Gy", "Gy cm2"}
        Of the numbers in the file, after multiplication by `factor`; the file does not say.
        DOSXYZnrc's are Gy cm2 where its source is normalised by incident fluence, Gy per
        particle elsewhere.
    axes : three of "x", "y", "z", each with a sign or without
        Where the file's x, y and z point in the patient (LPS: left, posterior, head). A file
        whose z is the direction of a beam from the front, seen upright, is
        ``("+x", "-z", "+y")``. Axes that mirror the file are allowed and noted in the
        provenance, as "notes". Zero stays where it is.
    factor : float
        Every dose is multiplied by this, such as photons per MU times MU.
    summation : str
        What the dose is the sum of, as in `Dose`.

    Returns
    -------
    Dose
        To medium, with its uncertainty, in `unit`.

    Raises
    ------
    InputError
        The file cannot be read, is damaged or is something else; or an argument makes no sense.
    UnsupportedError
        Its voxels are not all of one size.
    """
    placement = _placement(axes)
    (scale,) = positive((factor,), "factor of the dose")
    content = _content(path)
    edges, dose, relative = _blocks(content.split(), path)
    even = [_even_mm(e, name, path) for name, e in zip("xyz", edges, strict=True)]
    gray = _turned(dose, placement) * scale
    return Dose(
        grid=_grid(dose.shape, even, placement),
        gray=_single(gray, f"dose times {scale:g}", path),
        dose_to="medium",
        unit=unit,
        uncertainty=_single(gray * _turned(relative, placement), "uncertainty", path),
        summation=summation,
        provenance=_provenance(path, content, "3ddose")
        | {
            "axes": tuple(axes),
            "factor": scale,
            "notes": ("the axes mirror the file",) if _mirrors(placement) else (),
        },
    )


def read_npz_dose(path: str | Path) -> Dose:
    """Read a dose from a NumPy archive, in the layout that `write_npz_dose` writes.

    ``dose``, three axes in the order that ``axes`` says ("z, y, x" if it is missing);
    ``spacing_mm`` and ``first_centre_mm``, the voxel size and the centre of voxel [0, 0, 0], in
    x, y, z, LPS; ``unit``. May be missing: ``uncertainty``, one standard deviation in the
    unit of the dose; ``dose_to`` ("unknown"); ``summation`` ("PLAN", with a note in
    the provenance). Other entries are ignored.

    Raises
    ------
    InputError
        It cannot be read, is damaged, or an entry is missing or makes no sense.
    """
    content = _content(path)
    entries = _entries(content, path)
    named = str(entries.get("axes", "z, y, x")).replace(",", " ").split()
    if sorted(named) != ["x", "y", "z"]:
        raise InputError(f"{path}: axes are {' '.join(named)!r}; x, y and z are needed, once each")
    order = [named.index(axis) for axis in "zyx"]
    dose = np.transpose(_volume(entries, "dose", path), order)
    uncertainty = None
    if "uncertainty" in entries:
        spread = np.transpose(_volume(entries, "uncertainty", path), order)
        _refuse_negative(spread, "uncertainty", path)
        uncertainty = _single(spread, "uncertainty", path)
    spacing, origin = (_triple(entries, key, path) for key in ("spacing_mm", "first_centre_mm"))
    notes = () if "summation" in entries else ("summation is not stated: taken as PLAN",)
    try:
        return Dose(
            grid=Grid((dose.shape[0], dose.shape[1], dose.shape[2]), spacing, origin),
            gray=_single(dose, "dose", path),
            dose_to=str(entries.get("dose_to", "unknown")),
            unit=str(_entry(entries, "unit", path)),
            uncertainty=uncertainty,
            summation=str(entries.get("summation", "PLAN")),
            provenance=_provenance(path, content, "npz") | {"notes": notes},
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_npz_dose(dose: Dose, path: str | Path) -> Path:
    """Write a dose as a NumPy archive that `read_npz_dose` reads; returns its path.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    path = Path(path)
    entries = {
        "dose": dose.gray,
        "axes": np.array("z, y, x"),
        "spacing_mm": np.array(dose.grid.spacing),
        "first_centre_mm": np.array(dose.grid.origin),
        "unit": np.array(dose.unit),
        "dose_to": np.array(dose.dose_to),
        "summation": np.array(dose.summation),
    }
    if dose.uncertainty is not None:
        entries["uncertainty"] = dose.uncertainty
    try:
        # An open file: given a name, numpy would add ".npz" to others.
        with path.open("wb") as stream:
            np.savez_compressed(stream, **entries)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _content(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _provenance(path: str | Path, content: bytes, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"file": Path(path).name, "sha256": digest, "format": kind}


def _placement(axes: Sequence[str]) -> _Placement:
    """Turn what the caller says of the file's axes to what is needed of the patient's."""
    letters = [axis.lstrip("+-") for axis in axes]
    if sorted(letters) != ["x", "y", "z"] or any(len(axis) > 2 for axis in axes):
        raise InputError(
            f"axes {tuple(axes)}: for the file's x, y and z say where in the patient they point, "
            "such as ('+x', '-z', '+y')"
        )
    file_axis = tuple(letters.index(letter) for letter in "xyz")
    return _Placement(file_axis, tuple(axes[n].startswith("-") for n in file_axis))


def _mirrors(placement: _Placement) -> bool:
    """Whether a right hand in the file becomes a left one."""
    turn = np.zeros((3, 3))
    for lps, (axis, against) in enumerate(zip(*placement, strict=True)):
        turn[lps, axis] = -1.0 if against else 1.0
    return bool(np.linalg.det(turn) < 0)


def _blocks(
    words: list[bytes], path: str | Path
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64], NDArray[np.float64]]:
    """Boundaries in x, y, z; dose; relative uncertainty, both (nz, ny, nx) of the file."""
    nx, ny, nz = _counts(words, path)
    voxels = nx * ny * nz
    expected = 3 + nx + ny + nz + 3 + 2 * voxels
    if len(words) != expected:
        found = f"{len(words)} numbers where {nx} x {ny} x {nz} voxels make {expected}"
        if len(words) == expected - voxels:
            reason = "the uncertainties are missing"
        elif len(words) < expected:
            reason = "the file was cut off"
        else:
            reason = "it holds more than one dose, or is no .3ddose file"
        raise InputError(f"{path} has {found}: {reason}")
    heads = _numbers(words[3 : expected - 2 * voxels], "boundary", path)
    edges = np.split(heads, [nx + 1, nx + ny + 2])
    dose, relative = (
        _numbers(words[start : start + voxels], what, path).reshape(nz, ny, nx)
        for start, what in (
            (expected - 2 * voxels, "dose"),
            (expected - voxels, "relative uncertainty"),
        )
    )
    _refuse_negative(dose, "dose", path)
    _refuse_negative(relative, "relative uncertainty", path)
    return edges, dose, relative


def _counts(words: list[bytes], path: str | Path) -> tuple[int, int, int]:
    try:
        nx, ny, nz = (int(word) for word in words[:3])
    except ValueError:
        start = _shown(b" ".join(words[:3]))
        raise InputError(
            f"{path} begins with {start!r}, not with three counts of voxels: no .3ddose file"
        ) from None
    if min(nx, ny, nz) < 1:
        raise InputError(f"{path} says it has {nx} x {ny} x {nz} voxels; 1 or more are needed")
    return nx, ny, nz


def _numbers(words: list[bytes], what: str, path: str | Path) -> NDArray[np.float64]:
    """Turn words to finite numbers, or name the first that is none."""
    try:
        numbers = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError:
        numbers = np.array([_number(word) for word in words])
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise InputError(
            f"{path}: {what} number {bad[0] + 1} of {len(words)} is {_shown(words[bad[0]])!r}, "
            "not a finite number"
        )
    return numbers


def _number(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")


def _shown(word: bytes) -> str:
    """Return what can be shown of a word, which may be long or no text at all."""
    return word[:40].decode("ascii", "replace")


def _refuse_negative(values: NDArray[np.float64], what: str, path: str | Path) -> None:
    if values.size and float(values.min()) < 0:
        z, y, x = np.unravel_index(int(values.argmin()), values.shape)
        raise InputError(
            f"{path}: {what} {values.min():g} at voxel x {x}, y {y}, z {z} (from 0) is negative"
        )


def _even_mm(edges_cm: NDArray[np.float64], name: str, path: str | Path) -> tuple[float, float]:
    """First boundary and spacing, mm, of boundaries that are evenly spaced."""
    edges = 10.0 * edges_cm
    widths = np.diff(edges)
    falling = np.flatnonzero(widths <= 0)
    if falling.size:
        raise GeometryError(
            f"{path}: {name} boundary {falling[0] + 2} of {edges.size}, "
            f"{edges_cm[falling[0] + 1]:g} cm, does not lie beyond the one before it"
        )
    spacing = float(edges[-1] - edges[0]) / widths.size
    if not spacing_of(edges).is_even:
        # By widths, the place is where a user sees it; boundaries before it are off as well.
        off = np.abs(edges - np.linspace(edges[0], edges[-1], edges.size))
        uneven = np.flatnonzero(np.abs(widths - np.median(widths)) > position_tolerance(spacing))
        place = int(uneven[0]) + 1 if uneven.size else int(off.argmax())
        raise UnsupportedError(
            f"{path}: voxels are not all of one size; up to {name} boundary {place + 1} of "
            f"{edges.size}, {edges_cm[place]:g} cm, one is {widths[place - 1]:g} mm wide, most are "
            f"{np.median(widths):g} mm. Score the dose on even voxels"
        )
    return float(edges[0]), spacing


def _grid(shape: tuple[int, ...], even: list[tuple[float, float]], placement: _Placement) -> Grid:
    """Grid in LPS from first boundary and spacing, mm, of the file's x, y, z."""
    counts, spacing, origin = [], [], []
    for axis, against in zip(*placement, strict=True):
        first, step = even[axis]
        count = shape[2 - axis]
        low = -(first + count * step) if against else first
        counts.append(count)
        spacing.append(step)
        origin.append(low + step / 2)
    return Grid(
        (counts[2], counts[1], counts[0]),
        (spacing[0], spacing[1], spacing[2]),
        (origin[0], origin[1], origin[2]),
    )


def _turned(values: NDArray[np.float64], placement: _Placement) -> NDArray[np.float64]:
    """Values [z, y, x] of the file as [z, y, x] of LPS."""
    turned = np.transpose(values, [2 - placement.file_axis[lps] for lps in (2, 1, 0)])
    against = tuple(2 - lps for lps in range(3) if placement.reversed[lps])
    return np.flip(turned, against)


def _single(values: NDArray[np.float64], what: str, path: str | Path) -> NDArray[np.float32]:
    """Values in single precision, refused if they are too large for it."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest > float(np.finfo(np.float32).max):
        raise InputError(f"{path}: {what} is up to {largest:g}, too large for single precision")
    return values.astype(np.float32)


def _entries(content: bytes, path: str | Path) -> dict[str, NDArray[Any]]:
    """All entries of an archive that a dose can have."""
    known = (
        "dose", "uncertainty", "axes", "spacing_mm", "first_centre_mm", "unit", "dose_to",
        "summation",
    )  # fmt: skip
    try:
        archive = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise InputError(f"{path} is a single array; an archive (.npz) is needed")
        with archive:
            return {key: archive[key] for key in known if key in archive}
    except InputError:
        raise
    except _NPZ_FAILURES as error:
        raise InputError(f"{path} cannot be read as a NumPy archive: {error}") from error


def _entry(entries: dict[str, NDArray[Any]], key: str, path: str | Path) -> NDArray[Any]:
    if key not in entries:
        raise InputError(
            f"{path} has no entry {key!r}; dose, spacing_mm, first_centre_mm and unit are needed"
        )
    return entries[key]


def _volume(entries: dict[str, NDArray[Any]], key: str, path: str | Path) -> NDArray[np.float64]:
    """Return an entry with a number for each voxel."""
    values = _real(_entry(entries, key, path), key, path)
    if values.ndim != 3 or values.size == 0:
        raise InputError(f"{path}: {key} has shape {values.shape}; three axes are needed")
    return values


def _triple(
    entries: dict[str, NDArray[Any]], key: str, path: str | Path
) -> tuple[float, float, float]:
    values = _real(_entry(entries, key, path), key, path)
    if values.shape != (3,):
        raise InputError(f"{path}: {key} has shape {values.shape}; x, y and z are needed")
    return float(values[0]), float(values[1]), float(values[2])


def _real(values: NDArray[Any], key: str, path: str | Path) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path}: {key} holds {values.dtype}; real numbers are needed")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {key} holds values that are not finite numbers")
    return values.astype(np.float64)
