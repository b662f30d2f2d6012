"""CT number to mass density: named, versioned curves, and which curve belongs to which scanner."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.data.hu_curve_files import (
    CURVE_ENDINGS,
    check_plausible,
    read_curve_csv,
    read_curve_json,
)
from dosecalc.errors import InputError
from dosecalc.model import CtImage
from dosecalc.model.checks import read_only

__all__ = [
    "HuCurve",
    "HuDensity",
    "choose_curve",
    "density_from_hu",
    "is_curve_file",
    "list_hu_curves",
    "load_hu_curve",
]

# Above this many integer steps a curve is interpolated instead of looked up.
_TABLE_LIMIT = 200_000
_KVP_TOLERANCE = 0.5


@dataclass(frozen=True)
class HuCurve:
    """Mass density against CT number, linear between points.

    Parameters
    ----------
    name, version : str
    hu : (n,) float64, HU, rising
        The first and last point bound the valid range; nothing is extrapolated.
    density : (n,) float64, g/cm3, never falling
    source : str
        How the curve was measured or calculated.
    kvp : float or None
        Tube voltage it holds for; None for a curve that holds at any.
    manufacturer, model, description : str
    sha256 : str
        Of the file it was read from.
    materials : str
        Name of the table that gives densities their materials: "tissue", or "water" for water
        phantoms.
    quantity : str
        What the file states against CT numbers: "mass density", or "relative electron density",
        which was turned into mass density.
    """

    name: str
    version: str
    hu: NDArray[np.float64]
    density: NDArray[np.float64]
    source: str
    kvp: float | None = None
    manufacturer: str = ""
    model: str = ""
    description: str = ""
    sha256: str = ""
    materials: str = "tissue"
    quantity: str = "mass density"

    def __post_init__(self) -> None:
        hu = read_only(self.hu, np.float64, what=f"HU of curve {self.name!r}", ndim=1)
        density = read_only(self.density, np.float64, what=f"density of {self.name!r}", ndim=1)
        if hu.size != density.size or hu.size < 2 or (np.diff(hu) <= 0).any():
            raise InputError(
                f"HU curve {self.name!r}: two or more points with rising HU are needed"
            )
        if density[0] < 0 or (np.diff(density) < 0).any():
            raise InputError(f"HU curve {self.name!r}: densities must be >= 0 and must not fall")
        object.__setattr__(self, "hu", hu)
        object.__setattr__(self, "density", density)

    @property
    def label(self) -> str:
        """Name and version as they go into notes and records."""
        return f"{self.name!r} version {self.version}"


class HuDensity(NamedTuple):
    """Densities (float32, g/cm3) and how many CT numbers were limited to each end of the curve."""

    density: NDArray[np.float32]
    n_below: int
    n_above: int


def list_hu_curves() -> tuple[str, ...]:
    """Names of the shipped curves."""
    folder = files("dosecalc.data.kernels.hu_curves")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".json")))


def load_hu_curve(name_or_path: str | Path) -> HuCurve:
    """Return a shipped curve by name, or one of your own by the path of its file.

    Parameters
    ----------
    name_or_path : str or Path
        Files are ``.json`` or ``.csv``, with mass densities or relative electron densities; see
        docs/hu-curves.md. Shipped are ``dosecalc.data.hu_curves.list_hu_curves()``, which are of no
        scanner of yours.

    Returns
    -------
    HuCurve

    Raises
    ------
    InputError
        No such curve or file, its content is not a valid curve, or its densities cannot be
        those of a patient (water at 0 HU, air, bone).

    Examples
    --------
    >>> import dosecalc as dc
    >>> curve = dc.load_hu_curve("generic-120kvp")
    >>> curve.kvp
    120.0
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or is_curve_file(text):
        path = Path(name_or_path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"HU curve file {path} cannot be read: {error}") from error
        return _curve(content, str(path), path)
    if text not in list_hu_curves():
        raise InputError(
            f"no HU curve is named {text!r}; shipped: {', '.join(list_hu_curves())}. "
            "Name one of them or give the path of a .json or .csv file"
        )
    source = files("dosecalc.data.kernels.hu_curves") / f"{text}.json"
    return _curve(source.read_bytes(), f"shipped curve {text!r}", Path(f"{text}.json"))


def is_curve_file(word: str | Path) -> bool:
    """Whether a word names the file of a curve and not a shipped curve."""
    return str(word).strip().lower().endswith(CURVE_ENDINGS)


def _curve(content: bytes, where: str, path: Path) -> HuCurve:
    """Read and check a curve."""
    read = read_curve_csv if path.suffix.lower() == ".csv" else read_curve_json
    curve = HuCurve(**read(content, where, path))
    check_plausible(curve.hu, curve.density, where)
    return curve


def density_from_hu(hu: ArrayLike, curve: HuCurve) -> HuDensity:
    """Mass density for every CT number.

    CT numbers beyond either end of the curve get the density of that end and
    are counted.

    Parameters
    ----------
    hu : array of any shape, HU, finite
    curve : HuCurve

    Raises
    ------
    InputError
        A CT number is not a finite number.
    """
    values = np.asarray(hu)
    if values.size == 0:
        return HuDensity(np.zeros(values.shape, np.float32), 0, 0)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("CT numbers hold values that are not finite; repair the CT before use")
    n_below = int(np.count_nonzero(values < curve.hu[0])) if low < curve.hu[0] else 0
    n_above = int(np.count_nonzero(values > curve.hu[-1])) if high > curve.hu[-1] else 0
    return HuDensity(_interpolate(values, low, high, curve), n_below, n_above)


def _interpolate(
    values: NDArray[Any], low: float, high: float, curve: HuCurve
) -> NDArray[np.float32]:
    """Densities; from a table where all CT numbers are integers, which is twice as fast."""
    if high - low < _TABLE_LIMIT and low == round(low):
        index = (values - values.dtype.type(low)).astype(np.int32)
        if np.array_equal(index, values - values.dtype.type(low)):
            table = np.interp(low + np.arange(index.max() + 1), curve.hu, curve.density)
            return np.asarray(table.astype(np.float32)[index])
    return np.asarray(np.interp(values, curve.hu, curve.density), dtype=np.float32)


def choose_curve(
    ct: CtImage, *, name: str | Path | None = None, config: str | Path | None = None
) -> HuCurve:
    """Return the curve for a scan: the one named, or the one a configuration maps it to.

    Parameters
    ----------
    ct : CtImage
    name : str or Path, optional
        Curve name or file, see `load_hu_curve`. It is taken whatever the scan's
        tube voltage; `phantom_from_ct` notes a difference.
    config : str or Path, optional
        TOML file of ``[[scanner]]`` tables with ``manufacturer``, ``model``,
        ``kvp`` and ``curve`` (a shipped name, or a file relative to the
        configuration). All three must match, upper and lower case alike.

    Raises
    ------
    InputError
        Neither is given, no entry matches the scan, or the curve an entry
        points to was made for another tube voltage.
    """
    if name is not None:
        return load_hu_curve(name)
    if config is None:
        raise InputError(
            f"no HU curve for the CT of {_scanner(ct)}: name one (shipped: "
            f"{', '.join(list_hu_curves())}) or give a configuration that maps scanner and kVp "
            "to a curve; none is assumed"
        )
    path = Path(config)
    found = [e for e in _scanner_entries(path) if _matches(e, ct)]
    if len(found) != 1:
        raise InputError(
            f"{path}: {len(found)} entries match the CT of {_scanner(ct)}; exactly one must. "
            f"Add or correct a [[scanner]] entry, or name a curve: {', '.join(list_hu_curves())}"
        )
    target = str(found[0]["curve"])
    curve = load_hu_curve(path.parent / target if is_curve_file(target) else target)
    if curve.kvp is not None and ct.kvp is not None and not _same_kvp(curve.kvp, ct.kvp):
        raise InputError(
            f"{path} maps {_scanner(ct)} to the curve {curve.label}, which is for "
            f"{curve.kvp:g} kVp; name the curve explicitly to use it all the same"
        )
    return curve


def _scanner_entries(path: Path) -> list[dict[str, Any]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"HU curve configuration {path} cannot be read: {error}") from error
    entries = content.get("scanner")
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise InputError(f"{path}: one or more [[scanner]] tables are needed")
    for number, entry in enumerate(entries, 1):
        if set(entry) != {"manufacturer", "model", "kvp", "curve"}:
            raise InputError(
                f"{path}: [[scanner]] number {number} has the keys {sorted(entry)}; "
                "manufacturer, model, kvp and curve are needed and no others"
            )
        if isinstance(entry["kvp"], bool) or not isinstance(entry["kvp"], int | float):
            raise InputError(f"{path}: [[scanner]] number {number}: kvp must be a number")
    return entries


def _matches(entry: dict[str, Any], ct: CtImage) -> bool:
    return (
        str(entry["manufacturer"]).strip().lower() == ct.manufacturer.strip().lower()
        and str(entry["model"]).strip().lower() == ct.model_name.strip().lower()
        and ct.kvp is not None
        and _same_kvp(float(entry["kvp"]), ct.kvp)
    )


def _same_kvp(a: float, b: float) -> bool:
    return abs(a - b) <= _KVP_TOLERANCE


def _scanner(ct: CtImage) -> str:
    kvp = "unknown kVp" if ct.kvp is None else f"{ct.kvp:g} kVp"
    return f"{ct.manufacturer or 'unknown manufacturer'} {ct.model_name or 'unknown model'}, {kvp}"
