"""Files of HU curves: JSON and CSV, with mass or relative electron densities, and what they hold.

A file says what its numbers are; nothing is guessed. Relative electron densities become mass
densities by the compositions of tissues (:func:`mass_from_electron_density`).
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.data.materials import load_material, load_material_table
from dosecalc.errors import InputError

__all__ = [
    "CURVE_ENDINGS",
    "ELECTRON_DENSITY",
    "MASS_DENSITY",
    "check_plausible",
    "mass_from_electron_density",
    "read_curve_csv",
    "read_curve_json",
]

CURVE_ENDINGS = (".json", ".csv")
MASS_DENSITY, ELECTRON_DENSITY = "mass density", "relative electron density"

_WORDS = ("name", "version", "description", "manufacturer", "model", "source")
_KEYS = {*_WORDS, "kvp", "points", "points_from", "materials", "quantity"}
_REQUIRED = ("name", "version", "source", "points")
_TABLES = ("tissue", "water")
# How columns of densities are headed, in small letters and without spaces and brackets.
_COLUMNS = {
    "density": MASS_DENSITY,
    "massdensity": MASS_DENSITY,
    "g/cm3": MASS_DENSITY,
    "densityg/cm3": MASS_DENSITY,
    "massdensityg/cm3": MASS_DENSITY,
    "red": ELECTRON_DENSITY,
    "electrondensity": ELECTRON_DENSITY,
    "electrondensitytowater": ELECTRON_DENSITY,
}
_OF_HU = ("hu", "ctnumber", "ctnumbers", "ct", "ct#", "hounsfield", "hounsfieldunits")
# What mass densities are taken from: tissues from light to dense, then metals.
_TISSUES = (
    "lung", "adipose", "water", "soft_tissue", "muscle", "cartilage", "bone_spongiosa", "bone_1.4",
    "bone_1.6", "cortical_bone", "aluminium", "titanium", "iron",
)  # fmt: skip
# How else units and quantities are written in the name of a column.
_SAME_UNITS = (("\u00b3", "3"), ("^", ""), (".", ""), ("g/cc", "g/cm3"), ("relative", ""))
# Water at 0 HU by definition of the scale, but for noise and hardening; g/cm3.
_WATER = (0.95, 1.05)
_AIR_HU, _AIR = -950.0, 0.1
_LUNG_HU, _LUNG = -500.0, (0.25, 0.8)
_MUSCLE_HU, _MUSCLE = 100.0, (0.95, 1.25)
_BONE_HU, _BONE = 1600.0, 3.0
# Tomotherapy's imaging beam is of 3.5 MV.
_MOST_KVP = 10_000


def mass_from_electron_density(relative: ArrayLike, materials: str = "tissue") -> NDArray[Any]:
    """Mass density (g/cm3) of matter whose electron density is known relative to water's.

    Electrons per gram follow from the composition: density = relative electron density x
    (Z/A of water) / (Z/A of the tissue). Between the nominal tissues (lung to cortical bone, then
    aluminium, titanium, iron) it is linear, and it is zero at zero; for "water" it is the number
    itself, in g/cm3.
    """
    values = np.asarray(relative, dtype=np.float64)
    if materials == "water":
        return values * load_material("water").density_g_cm3
    electrons, masses = _nominal()
    beyond = masses[-1] / electrons[-1] * values
    return np.asarray(
        np.where(values > electrons[-1], beyond, np.interp(values, electrons, masses))
    )


@cache
def _nominal() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Relative electron densities and mass densities of the nominal tissues, both rising."""
    water = load_material("water").z_over_a
    tissues = [load_material(name) for name in _TISSUES]
    masses = np.array([0.0, *(one.density_g_cm3 for one in tissues)])
    electrons = np.array([0.0, *(one.density_g_cm3 * one.z_over_a / water for one in tissues)])
    return electrons, masses


def read_curve_json(content: bytes, where: str, path: Path) -> dict[str, Any]:
    """Read a curve from JSON: the arguments of a `HuCurve`.

    Raises
    ------
    InputError
        It is no curve.
    """
    try:
        record: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise InputError(f"{where}: a JSON object is needed, not {type(record).__name__}")
    missing = [key for key in _REQUIRED if key not in record]
    unknown = sorted(set(record) - _KEYS)
    if missing or unknown:
        raise InputError(f"{where}: missing keys {missing}, unknown keys {unknown}")
    try:
        points = np.array(record["points"], dtype=np.float64).reshape(-1, 2)
        kvp = None if record.get("kvp") is None else float(record["kvp"])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: points must be [HU, density] pairs and kvp a number: {error}"
        ) from error
    words = {key: str(record.get(key, "")) for key in _WORDS}
    quantity = str(record.get("quantity", MASS_DENSITY))
    return _arguments(
        words, kvp, points, quantity, str(record.get("materials", "tissue")), where
    ) | {"sha256": hashlib.sha256(content).hexdigest()}


def read_curve_csv(content: bytes, where: str, path: Path) -> dict[str, Any]:
    """Read a curve from CSV: the arguments of a `HuCurve`.

    Lines ``# key: value`` state what JSON does (name, version, source, kvp ...), other lines that
    begin with ``#`` are comments; then one line names the columns, ``HU, mass density`` (g/cm3) or
    ``HU, relative electron density``; then a point a line. Comma, semicolon or tab part the
    columns; with a semicolon or a tab, numbers may have a decimal comma.

    Raises
    ------
    InputError
        It is no curve, or its columns are not named.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        lines = [_unquoted(line.strip()) for line in content.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text: {error}; save it as CSV UTF-8") from error
    # Excel's line that says how columns are parted, which the first row says as well.
    lines = [line for line in lines if not line.lower().startswith("sep=")]
    stated = _stated_once(lines, where)
    rows = [line for line in lines if line.strip(" ,;\t") and not line.startswith("#")]
    if not rows:
        raise InputError(f"{where} holds no points: write a line 'HU, mass density' and points")
    mark = next((one for one in (";", "\t") if one in rows[0]), ",")
    cells = [[c.strip() for c in row] for row in csv.reader(rows, delimiter=mark)]
    quantity = _quantity(cells[0], stated.pop("quantity", None), where)
    _refuse_thousands(cells[1:], mark, where)
    points = np.array([_point(row, number, mark, where) for number, row in enumerate(cells[1:], 2)])
    kvp = stated.pop("kvp", None)
    try:
        volts = None if kvp is None else float(kvp)
    except ValueError as error:
        raise InputError(f"{where}: kvp is {kvp!r}, not a number") from error
    words = {key: stated.get(key, "") for key in _WORDS}
    words["name"] = words["name"] or path.stem
    words["version"] = words["version"] or sha256[:8]
    words["source"] = words["source"] or f"{path.name}, which does not state where it comes from"
    materials = stated.get("materials", "tissue")
    points = points.reshape(-1, 2)
    return _arguments(words, volts, points, quantity, materials, where) | {"sha256": sha256}


def _unquoted(line: str) -> str:
    """Return a line ``# ...`` as it was typed: a spreadsheet quotes it and adds empty cells."""
    if not line.startswith(("#", '"#')):
        return line
    line = line.rstrip(" ,;\t")
    if line.startswith('"') and line.endswith('"'):
        line = line[1:-1].replace('""', '"')
    return line


def _stated_once(lines: Iterable[str], where: str) -> dict[str, str]:
    stated: dict[str, str] = {}
    for word, value in _stated(lines, where):
        if stated.setdefault(word, value) != value:
            raise InputError(
                f"{where}: '# {word}:' is stated twice, as {stated[word]!r} and as {value!r}; "
                "leave the one that holds"
            )
    return stated


def _stated(lines: Iterable[str], where: str) -> Iterable[tuple[str, str]]:
    known = sorted(_KEYS - {"points", "points_from"})
    for line in lines:
        key, colon, value = line.removeprefix("#").partition(":")
        if not line.startswith("#"):
            continue
        other, equals, _ = line.removeprefix("#").partition("=")
        if equals and other.strip().lower() in known:
            word = other.strip().lower()
            raise InputError(f"{where}: {line!r} states nothing; write '# {word}: ' and the value")
        if not colon:
            continue
        word = key.strip().lower()
        if word in known:
            yield word, value.strip()
        elif near := get_close_matches(word, known, n=1, cutoff=0.75):
            # Anything else is a comment; a word misspelt would be lost without a sign.
            raise InputError(
                f"{where}: '# {key.strip()}:' is not known. Did you mean '# {near[0]}:'? "
                f"There are {', '.join(known)}"
            )


def _quantity(heads: list[str], stated: str | None, where: str) -> str:
    """Tell what the second column is from its name."""
    plain = ["".join(c for c in head.lower() if c not in " []()_") for head in heads]
    for written, same in _SAME_UNITS:
        plain = [head.replace(written, same) for head in plain]
    if len(plain) != 2 or plain[0] not in _OF_HU:
        raise InputError(
            f"{where}: the first line is {', '.join(heads)!r}; it has to name two columns, "
            "'HU, mass density' (g/cm3) or 'HU, relative electron density'"
        )
    if "kg/m" in plain[1]:
        raise InputError(f"{where}: densities in kg/m3; divide them by 1000, g/cm3 is needed")
    found = _COLUMNS.get(plain[1])
    if found is None or (stated is not None and stated != found):
        said = f" and its '# quantity:' {stated!r}" if stated is not None else ""
        raise InputError(
            f"{where}: the second column is named {heads[1]!r}{said}; name it "
            "'mass density' (g/cm3) or 'relative electron density'"
        )
    return found


def _refuse_thousands(rows: list[list[str]], mark: str, where: str) -> None:
    """Refuse points that part thousands where commas part decimals: -1.000 would be read as -1."""
    text = [cell for row in rows for cell in row]
    if mark != "," and any("," in cell for cell in text):
        dotted = next((cell for cell in text if "." in cell), None)
        if dotted is not None:
            raise InputError(
                f"{where}: {dotted!r} has a point where other numbers have a decimal comma; write "
                "thousands without a point"
            )


def _point(row: list[str], number: int, mark: str, where: str) -> tuple[float, float]:
    try:
        hu, value = (float(c.replace(",", ".") if mark != "," else c) for c in row)
    except ValueError as error:
        raise InputError(
            f"{where}: point {number - 1} is {mark.join(row)!r}; two numbers are needed"
        ) from error
    return hu, value


def _arguments(
    words: dict[str, str],
    kvp: float | None,
    points: NDArray[np.float64],
    quantity: str,
    materials: str,
    where: str,
) -> dict[str, Any]:
    if quantity not in (MASS_DENSITY, ELECTRON_DENSITY):
        raise InputError(
            f"{where}: quantity is {quantity!r}; there are {MASS_DENSITY!r} (g/cm3) and "
            f"{ELECTRON_DENSITY!r}"
        )
    if materials not in _TABLES:
        raise InputError(f"{where}: materials is {materials!r}; there are {', '.join(_TABLES)}")
    load_material_table(materials)
    if kvp is not None and not 0 < kvp < _MOST_KVP:
        raise InputError(f"{where}: kvp is {kvp:g}; the tube voltage in kV is needed")
    if not np.isfinite(points).all():
        raise InputError(f"{where}: a point is not finite")
    density = points[:, 1]
    if quantity == ELECTRON_DENSITY:
        _refuse_kilograms(points[:, 0], density, where)
        density = mass_from_electron_density(density, materials)
    return {
        **words,
        "kvp": kvp,
        "hu": points[:, 0],
        "density": density,
        "materials": materials,
        "quantity": quantity,
    }


def _shift_hint(hu: NDArray[np.float64], density: NDArray[np.float64]) -> str:
    """Say that 1000 may have been added to the CT numbers, where water lies about there.

    Scanners that add 1024 put water of 1.0 within the tolerance of 1000 too.
    """
    shifted = np.interp(1000.0, hu, density) if hu[-1] >= 1000 else 0.0
    if _WATER[0] <= shifted <= _WATER[1]:
        return "; are these CT numbers with 1000 or 1024 added? Take them off"
    return ""


def check_plausible(hu: NDArray[np.float64], density: NDArray[np.float64], where: str) -> None:
    """Refuse densities (g/cm3) that are not those of air, water and bone at their CT numbers.

    Raises
    ------
    InputError
        Water at 0 HU is not 1.0 within 5 %, air is denser than 0.1 g/cm3 or not on the curve,
        -500 HU are not 0.25 to 0.8 g/cm3, 100 HU not 0.95 to 1.25 g/cm3, or bone (up to 1600 HU)
        is denser than 3 g/cm3.
    """
    _refuse_kilograms(hu, density, where)
    if not hu[0] <= 0 <= hu[-1]:
        raise InputError(
            f"{where}: the curve runs from {hu[0]:g} to {hu[-1]:g} HU, without water at 0 HU"
            f"{_shift_hint(hu, density)}"
        )
    water = float(np.interp(0.0, hu, density))
    if not _WATER[0] <= water <= _WATER[1]:
        hint = _shift_hint(hu, density) if water < _AIR else ""
        raise InputError(
            f"{where}: {water:.4g} g/cm3 at 0 HU, which is water on every scanner; "
            f"{_WATER[0]:g} to {_WATER[1]:g} is needed{hint}"
        )
    lightest = float(np.interp(_AIR_HU, hu, density))
    if hu[0] > _LUNG_HU:
        raise InputError(
            f"{where}: the curve begins at {hu[0]:g} HU; air and lung are lighter: give it points "
            "for them, such as -1000 HU with 0.0012 g/cm3"
        )
    if lightest > _AIR:
        raise InputError(
            f"{where}: {lightest:.4g} g/cm3 at {_AIR_HU:g} HU and below, which is air; give the "
            "curve a point for air, such as -1000 HU with 0.0012 g/cm3"
        )
    for place, (low, high) in ((_LUNG_HU, _LUNG), (_MUSCLE_HU, _MUSCLE)):
        value = float(np.interp(place, hu, density))
        if not low <= value <= high:
            raise InputError(
                f"{where}: {value:.4g} g/cm3 at {place:g} HU; on every scanner it is {low:g} to "
                f"{high:g} g/cm3: look for a wrong point or a lost digit"
            )
    top = min(_BONE_HU, float(hu[-1]))
    densest = float(np.interp(top, hu, density))
    if densest >= _BONE:
        raise InputError(
            f"{where}: {densest:.4g} g/cm3 at {top:g} HU; no bone is denser than {_BONE:g} g/cm3"
        )


def _refuse_kilograms(hu: NDArray[np.float64], density: NDArray[np.float64], where: str) -> None:
    if hu.size and 500 <= float(np.interp(0.0, hu, density)) <= 1500:
        raise InputError(
            f"{where}: {np.interp(0.0, hu, density):g} at 0 HU: these are kg/m3; divide them by "
            "1000, g/cm3 is needed"
        )
