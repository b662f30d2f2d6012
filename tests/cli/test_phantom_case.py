"""The demo's patient is a patient like any other, and its fields hold the target."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.beam import beam_axes
from dosecalc.data.machines import load_machine
from dosecalc.errors import InputError
from dosecalc.io.dicom import import_folder
from dosecalc.model import PatientPosition
from dosecalc.patient.thorax import TARGET, TARGET_CENTRE, thorax_structures
from dosecalc.planning.demo_patient import ThoraxPlan, write_thorax_patient
from dosecalc.planning.shaping import conformal_beam


def test_the_files_are_read_back_as_one_case(patient):
    case = import_folder(patient)
    assert case.ct is not None
    assert case.structures is not None
    assert case.plan is not None
    assert case.structures.names == thorax_structures().names
    assert case.plan.structure_set_uid == case.structures.uid
    assert case.plan.frame_of_reference_uid == case.ct.frame_of_reference_uid
    assert case.plan.beams[0].technique == "STATIC"
    assert all(one.used for one in case.files)


def test_the_same_patient_is_the_same_files(tmp_path):
    wanted = ThoraxPlan(gantry_deg=(40.0,), mu=(80.0,))
    first = write_thorax_patient(tmp_path / "a", noise_hu=15.0, wanted=wanted)
    again = write_thorax_patient(tmp_path / "b", noise_hu=15.0, wanted=wanted)
    for one, other in zip(first, again, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("gantry", [0.0, 60.0, 190.0, 280.0])
@pytest.mark.parametrize("position", [PatientPosition.HFS, PatientPosition.FFP])
def test_the_target_lies_within_the_leaves_with_its_margin(gantry, position):
    target, machine, margin = thorax_structures()[TARGET], load_machine("generic-6mv"), 7.0
    beam = conformal_beam(
        target, machine, number=1, gantry_deg=gantry, mu=100.0, margin_mm=margin, position=position
    )
    point = beam.control_points[0]
    assert point.isocentre == pytest.approx(TARGET_CENTRE, abs=0.3)
    corners = np.concatenate(
        [np.column_stack((c.points, np.full(len(c.points), c.z))) for c in target.contours]
    )
    axes = beam_axes(position, gantry, 0.0, 0.0)
    u, v, w = axes @ (corners - np.array(point.isocentre)).T
    zoom = machine.sad_mm / (machine.sad_mm + w)
    leaf = np.searchsorted(beam.leaf_boundaries, v * zoom) - 1
    left, right = point.leaves[0, leaf], point.leaves[1, leaf]
    assert (u * zoom - left >= margin - 1e-9).all()
    assert (right - u * zoom >= margin - 1e-9).all()
    # No wider than needed: the margin at the widest place, to the step of leaves (0.1 mm).
    assert point.leaves.min() == pytest.approx((u * zoom).min() - margin, abs=0.11)
    for jaws, seen in ((point.jaws_x, u * zoom), (point.jaws_y, v * zoom)):
        assert jaws[0] <= seen.min() - margin
        assert jaws[1] >= seen.max() + margin
        assert jaws[1] - jaws[0] <= np.ptp(seen) + 2 * margin + 2


def test_jaws_a_machine_lacks_are_not_invented():
    beam = conformal_beam(
        thorax_structures()[TARGET],
        load_machine("generic-6mv-agility"),
        number=1,
        gantry_deg=0.0,
        mu=1.0,
        margin_mm=5.0,
        position=PatientPosition.HFS,
    )
    assert beam.control_points[0].jaws_x is None
    with pytest.raises(InputError, match="no leaves"):
        from dosecalc.data.machines import point_source_machine
        from dosecalc.data.spectra import monoenergetic

        conformal_beam(
            thorax_structures()[TARGET],
            point_source_machine(monoenergetic(1.0), 1000.0),
            number=1,
            gantry_deg=0.0,
            mu=1.0,
            margin_mm=5.0,
            position=PatientPosition.HFS,
        )
