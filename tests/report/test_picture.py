"""The picture: what is drawn, and that words do not cover one another."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from dosecalc.model import Dose
from dosecalc.report._labels import Labels
from dosecalc.report._planes import isodoses
from dosecalc.report.drawn_names import drawn
from dosecalc.report.picture import draw_result
from dosecalc.report.tables import dose_table, structure_table
from tests.report.test_result import GRID, linear, result, structure_set


def test_a_picture_is_an_a4_page_with_something_on_it(tmp_path):
    path = draw_result(result(structures=structure_set()), tmp_path / "picture.png")
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    # A4 landscape at 150 dots per inch.
    assert (width, height) == (1755, 1245)
    assert len(content) > 30_000


def test_the_same_result_gives_the_same_picture(tmp_path):
    first = draw_result(result(), tmp_path / "a.png").read_bytes()
    assert draw_result(result(), tmp_path / "b.png").read_bytes() == first


@pytest.mark.parametrize("name", ["n" * 60_000, r"PTV$\frac$", "_PTV", "PTV\n\x00$5$"])
def test_names_of_any_kind_are_drawn(name, tmp_path):
    """60,000 letters took 15 minutes, and two dollar signs were read as a formula."""
    shown = result(structures=structure_set())
    named = tuple(
        replace(one, structure=replace(one.structure, name=name)) for one in shown.structures
    )
    assert draw_result(replace(shown, structures=named, label=name), tmp_path / "p.png").is_file()
    assert len(drawn(name)) <= 44
    # Matplotlib takes a backslash and a dollar sign for a dollar sign.
    assert drawn(name).replace(r"\$", "").count("$") == 0


def test_a_dose_of_nothing_can_be_drawn(tmp_path):
    nothing = Dose(GRID, np.zeros(GRID.shape, np.float32), "medium")
    assert draw_result(result(nothing, structures=structure_set()), tmp_path / "p.png").is_file()
    assert draw_result(result(nothing), tmp_path / "q.png").is_file()


def test_isodoses_are_those_that_occur_and_state_gray():
    shown = result(Dose(GRID, linear() / linear().max() * 58.0, "medium", summation="PLAN"))
    levels = isodoses(shown)
    assert [level.percent for level in levels] == [95.0, 80.0, 50.0, 30.0, 10.0]
    assert levels[0].gray == pytest.approx(57.0)
    assert levels[0].text == "95 %  57 Gy"
    # Told apart without colour: no two share width and dash.
    assert len({(level.width, str(level.dash)) for level in levels}) == len(levels)
    bare = replace(shown, dose=Dose(GRID, linear(), "medium", unit="Gy cm2"))
    assert "Gy" not in isodoses(bare)[-1].text


def panel():
    figure = Figure(figsize=(4, 4), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    return axes


def test_names_avoid_room_that_is_taken():
    axes = panel()
    labels = Labels(axes)
    for _ in range(4):
        labels.beside([(50.0, 50.0)], "LUNG", far=False)
        labels.near((20.0, 20.0), "G90", size=7, colour="white", halo="black")
    axes.figure.canvas.draw()
    # The words alone: an annotation's own extent has its line in it.
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 8
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_a_name_goes_inside_only_where_it_fits():
    labels = Labels(panel())
    assert not labels.within([(50.0, 50.0, 2.0)], "SPINAL_CORD")
    assert labels.within([(50.0, 50.0, 30.0)], "LUNG")
    assert not labels.within([(50.0, 50.0, 30.0)], "HEART")


def test_tables_say_what_is_outside_the_grid():
    shown = result(structures=structure_set())
    table = structure_table(shown)
    assert table.row_count == 2
    assert [str(c.header) for c in table.columns][-1] == "remark"
    assert dose_table(shown).row_count == 4
