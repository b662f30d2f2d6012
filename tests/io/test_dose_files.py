"""Doses of other programs: what is read is where and as large as the file says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from dosecalc.errors import DosecalcError, GeometryError, InputError, UnsupportedError
from dosecalc.io.dose_files import read_3ddose, read_npz_dose, write_npz_dose
from dosecalc.model import Dose, Grid

# Boundaries in cm of a 3 x 2 x 4 dose, voxels of 5, 10 and 2.5 mm.
EDGES = (
    np.array([-0.5, 0.0, 0.5, 1.0]),
    np.array([0.0, 1.0, 2.0]),
    np.array([10.0, 10.25, 10.5, 10.75, 11.0]),
)
SHAPE = (4, 2, 3)
SCORES = np.random.default_rng(3).uniform(1e-18, 1e-16, SHAPE)
RELATIVE = np.random.default_rng(4).uniform(0.001, 0.999, SHAPE)
# Numbers are written with all their digits; what is left is single precision.
SINGLE = 1e-6


def text(edges=EDGES, scores=SCORES, relative=RELATIVE, per_line: int = 5) -> str:
    counts = " ".join(str(e.size - 1) for e in edges)
    lines = [f"  {counts}"]
    for block in (*edges, scores.ravel(), relative.ravel()):
        words = [f"{v:.16E}" for v in np.ravel(block)]
        lines += ["  ".join(words[n : n + per_line]) for n in range(0, len(words), per_line)]
    return "\n".join(lines) + "\n"


def written(folder: Path, content: str) -> Path:
    path = folder / "run.3ddose"
    path.write_text(content)
    return path


def test_a_file_comes_back_as_it_was_written(tmp_path: Path):
    path = written(tmp_path, text())
    dose = read_3ddose(path, unit="Gy cm2")
    assert dose.grid.shape == SHAPE
    assert dose.grid.spacing == pytest.approx((5.0, 10.0, 2.5))
    assert dose.grid.lower == pytest.approx((-5.0, 0.0, 100.0))
    assert dose.gray == pytest.approx(SCORES, rel=SINGLE)
    assert dose.uncertainty == pytest.approx(SCORES * RELATIVE, rel=SINGLE)
    assert (dose.unit, dose.dose_to, dose.summation) == ("Gy cm2", "medium", "PLAN")
    assert dose.provenance["file"] == "run.3ddose"
    assert dose.provenance["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dose.provenance["notes"] == ()


def test_line_breaks_do_not_matter(tmp_path: Path):
    one = read_3ddose(written(tmp_path, text(per_line=1000)), unit="Gy")
    many = read_3ddose(written(tmp_path, text(per_line=1)), unit="Gy")
    np.testing.assert_array_equal(one.gray, many.gray)


def test_a_factor_multiplies_dose_and_uncertainty(tmp_path: Path):
    path = written(tmp_path, text())
    dose = read_3ddose(path, unit="Gy", factor=2e16, summation="FRACTION")
    assert dose.gray == pytest.approx(2e16 * SCORES, rel=SINGLE)
    assert dose.uncertainty == pytest.approx(2e16 * SCORES * RELATIVE, rel=SINGLE)
    assert dose.summation == "FRACTION"
    assert dose.provenance["factor"] == 2e16


@pytest.mark.parametrize(
    ("axes", "mirrored"),
    [
        (("x", "y", "z"), False),
        (("+x", "-z", "+y"), False),
        (("x", "z", "y"), True),
        (("-x", "+y", "+z"), True),
        (("y", "z", "x"), False),
        (("-z", "-x", "+y"), False),
    ],
)
def test_every_voxel_lies_where_the_axes_put_it(tmp_path: Path, axes, mirrored: bool):
    dose = read_3ddose(written(tmp_path, text()), unit="Gy", axes=axes)
    centres = [10 * (e[1:] + e[:-1]) / 2 for e in EDGES]
    for (k, j, i), score in np.ndenumerate(SCORES):
        place = np.zeros(3)
        for axis, value in zip(axes, (centres[0][i], centres[1][j], centres[2][k]), strict=True):
            place["xyz".index(axis[-1])] = -value if axis[0] == "-" else value
        index = dose.grid.index_of(place)
        assert index == pytest.approx(np.rint(index), abs=1e-9)
        at = tuple(np.rint(index).astype(int))
        assert min(at) >= 0
        assert dose.gray[at] == pytest.approx(score, rel=SINGLE)
        assert dose.uncertainty[at] == pytest.approx(score * RELATIVE[k, j, i], rel=SINGLE)
    assert bool(dose.provenance["notes"]) is mirrored


@pytest.mark.parametrize("axes", [("x", "y"), ("x", "y", "y"), ("x", "y", "+-z"), ("l", "p", "h")])
def test_axes_that_make_no_frame_are_refused(tmp_path: Path, axes):
    with pytest.raises(InputError, match="where in the patient they point"):
        read_3ddose(written(tmp_path, text()), unit="Gy", axes=axes)


def test_boundaries_rounded_to_a_few_digits_are_even(tmp_path: Path):
    # Thirds of a cm with four decimals, as phantoms often are written: off by 0.0005 mm.
    edges = (np.round(np.arange(31) / 3, 4), *EDGES[1:])
    scores = np.ones((4, 2, 30))
    dose = read_3ddose(written(tmp_path, text(edges, scores, scores)), unit="Gy")
    assert dose.grid.spacing[0] == pytest.approx(10 / 3, abs=1e-4)


def test_uneven_voxels_are_refused_with_their_place(tmp_path: Path):
    deep = (*EDGES[:2], np.array([10.0, 10.25, 10.5, 10.75, 12.0]))
    with pytest.raises(UnsupportedError, match=r"z boundary 5 of 5, 12 cm, one is 12\.5 mm wide"):
        read_3ddose(written(tmp_path, text(deep)), unit="Gy")
    thin = (*EDGES[:2], np.array([10.15, 10.25, 10.5, 10.75, 11.0]))
    with pytest.raises(UnsupportedError, match=r"z boundary 2 of 5, 10\.25 cm, one is 1 mm wide"):
        read_3ddose(written(tmp_path, text(thin)), unit="Gy")


def test_boundaries_that_do_not_rise_are_refused(tmp_path: Path):
    edges = (EDGES[0], np.array([0.0, 1.0, 1.0]), EDGES[2])
    with pytest.raises(GeometryError, match="y boundary 3 of 3, 1 cm"):
        read_3ddose(written(tmp_path, text(edges)), unit="Gy")


def test_missing_numbers_are_refused_with_what_is_missing(tmp_path: Path):
    words = text().split()
    for keep, reason in (
        (len(words) - 24, "the uncertainties are missing"),
        (len(words) - 1, "62 numbers where 3 x 2 x 4 voxels make 63: the file was cut off"),
    ):
        with pytest.raises(InputError, match=reason):
            read_3ddose(written(tmp_path, " ".join(words[:keep])), unit="Gy")
    with pytest.raises(InputError, match=r"64 numbers.*more than one dose"):
        read_3ddose(written(tmp_path, text() + " 1.0"), unit="Gy")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("NaN", "dose number 2 of 24 is 'NaN'"),
        ("Infinity", "dose number 2 of 24 is 'Infinity'"),
        ("1.2E-", "dose number 2 of 24 is '1.2E-'"),
        ("1.2D-16", "dose number 2 of 24 is '1.2D-16'"),
        ("-1E-17", r"dose -1e-17 at voxel x 1, y 0, z 0 \(from 0\) is negative"),
        ("1E200", "too large for single precision"),
    ],
)
def test_numbers_that_are_no_dose_are_refused_with_their_place(tmp_path: Path, word, message):
    words = text().split()
    words[3 + 12 + 1] = word
    with pytest.raises(InputError, match=message):
        read_3ddose(written(tmp_path, " ".join(words)), unit="Gy")


def test_bad_boundaries_and_uncertainties_are_refused(tmp_path: Path):
    words = text().split()
    with pytest.raises(InputError, match="boundary number 1 of 12 is 'nan'"):
        read_3ddose(written(tmp_path, " ".join([*words[:3], "nan", *words[4:]])), unit="Gy")
    with pytest.raises(InputError, match=r"relative uncertainty -0\.5 at voxel x 2, y 1, z 3"):
        read_3ddose(written(tmp_path, " ".join([*words[:-1], "-0.5"])), unit="Gy")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("", "three counts of voxels"),
        ("3 2", "three counts of voxels"),
        ("3.0 2 4", "three counts of voxels"),
        ("<html> of something", "begins with '<html> of something'"),
        ("-3 2 4", "-3 x 2 x 4 voxels"),
        ("0 2 4", "0 x 2 x 4 voxels"),
        ("99999999999 99999999 9", "the file was cut off"),
    ],
)
def test_counts_that_are_none_are_refused(tmp_path: Path, start: str, message: str):
    with pytest.raises(InputError, match=message):
        read_3ddose(written(tmp_path, start), unit="Gy")


def test_arguments_and_paths_are_checked(tmp_path: Path):
    path = written(tmp_path, text())
    with pytest.raises(InputError, match="'cGy' is not"):
        read_3ddose(path, unit="cGy")
    with pytest.raises(InputError, match="factor of the dose"):
        read_3ddose(path, unit="Gy", factor=-1.0)
    for read in (lambda p: read_3ddose(p, unit="Gy"), read_npz_dose):
        with pytest.raises(InputError, match="cannot be read: No such file"):
            read(tmp_path / "nothing")
        with pytest.raises(InputError, match="cannot be read: Is a directory"):
            read(tmp_path)


def test_a_file_cut_anywhere_before_its_last_number_is_refused(tmp_path: Path):
    whole = text()
    for length in range(0, len(whole.rstrip().rpartition(" ")[0]), 7):
        with pytest.raises(DosecalcError):
            read_3ddose(written(tmp_path, whole[:length]), unit="Gy")


def example(with_uncertainty: bool = True) -> Dose:
    grid = Grid(SHAPE, (5.0, 10.0, 2.5), (-2.5, 5.0, 101.25))
    return Dose(
        grid,
        SCORES,
        "water",
        unit="Gy cm2",
        uncertainty=SCORES * RELATIVE if with_uncertainty else None,
        summation="FRACTION",
    )


@pytest.mark.parametrize("with_uncertainty", [True, False])
def test_an_archive_comes_back_as_it_was_written(tmp_path: Path, with_uncertainty: bool):
    dose = example(with_uncertainty)
    path = write_npz_dose(dose, tmp_path / "result")
    assert path == tmp_path / "result"
    again = read_npz_dose(path)
    assert again.grid == dose.grid
    np.testing.assert_array_equal(again.gray, dose.gray)
    if with_uncertainty:
        np.testing.assert_array_equal(again.uncertainty, dose.uncertainty)
    else:
        assert again.uncertainty is None
    assert (again.unit, again.dose_to, again.summation) == ("Gy cm2", "water", "FRACTION")
    assert again.provenance["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def archive(folder: Path, **changes) -> Path:
    entries = {
        "dose": SCORES,
        "spacing_mm": np.array([5.0, 10.0, 2.5]),
        "first_centre_mm": np.array([-2.5, 5.0, 101.25]),
        "unit": "Gy",
    } | changes
    path = folder / "dose.npz"
    np.savez(path, **{key: value for key, value in entries.items() if value is not None})
    return path


def test_an_archive_may_hold_its_axes_in_another_order(tmp_path: Path):
    path = archive(tmp_path, dose=SCORES.transpose(2, 1, 0), uncertainty=RELATIVE.T, axes="x, y, z")
    dose = read_npz_dose(path)
    assert dose.grid == example().grid
    assert dose.gray == pytest.approx(SCORES, rel=SINGLE)
    assert dose.uncertainty == pytest.approx(RELATIVE, rel=SINGLE)


def test_an_archive_that_says_little_is_not_trusted_with_more(tmp_path: Path):
    dose = read_npz_dose(archive(tmp_path))
    assert dose.dose_to == "unknown"
    assert dose.provenance["notes"] == ("summation is not stated: taken as PLAN",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dose": None}, "no entry 'dose'"),
        ({"unit": None}, "no entry 'unit'"),
        ({"spacing_mm": None}, "no entry 'spacing_mm'"),
        ({"first_centre_mm": np.zeros(2)}, r"first_centre_mm has shape \(2,\)"),
        ({"spacing_mm": np.array([1.0, -1.0, 1.0])}, "grid spacing"),
        ({"first_centre_mm": np.array([0, np.nan, 0])}, "first_centre_mm holds values"),
        ({"dose": np.full(SHAPE, np.nan)}, "dose holds values that are not finite"),
        ({"dose": np.full(SHAPE, 1e300)}, "too large for single precision"),
        ({"dose": np.zeros((3, 3))}, "three axes"),
        ({"dose": np.zeros((3, 0, 3))}, "three axes"),
        ({"dose": np.full(SHAPE, 1j)}, "real numbers"),
        ({"dose": np.full(SHAPE, None)}, "cannot be read as a NumPy archive"),
        ({"uncertainty": np.zeros((4, 2, 2))}, "its grid"),
        ({"uncertainty": -RELATIVE}, "is negative"),
        ({"unit": "cGy"}, "'cGy' is not"),
        ({"dose_to": "tissue"}, "dose_to is 'tissue'"),
        ({"axes": "z, y, y"}, "once each"),
    ],
)
def test_a_bad_archive_is_refused_by_name(tmp_path: Path, changes, message: str):
    with pytest.raises(InputError, match=message) as refusal:
        read_npz_dose(archive(tmp_path, **changes))
    assert "dose.npz" in str(refusal.value)


def test_what_is_no_archive_is_refused(tmp_path: Path):
    path = tmp_path / "dose.npz"
    np.save(tmp_path / "one.npy", SCORES)
    for content in (b"", b"text", (tmp_path / "one.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InputError, match="archive"):
            read_npz_dose(path)


def test_a_damaged_archive_is_refused_or_read_but_never_a_traceback(tmp_path: Path):
    whole = write_npz_dose(example(), tmp_path / "dose.npz").read_bytes()
    random = np.random.default_rng(5)
    for place in random.integers(0, len(whole), 150):
        for content in (whole[:place], whole[:place] + b"\xff" + whole[place + 1 :]):
            (tmp_path / "dose.npz").write_bytes(content)
            try:
                read_npz_dose(tmp_path / "dose.npz")
            except DosecalcError:
                continue


def test_an_archive_that_cannot_be_written_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be written"):
        write_npz_dose(example(), tmp_path / "no folder" / "dose.npz")
