"""Plan and machine to the photon fluence that leaves the head."""

from dosecalc.beam.beamlets import BeamletGrid, target_beamlets
from dosecalc.beam.bolus import check_bolus
from dosecalc.beam.fluence import Fluence
from dosecalc.beam.frames import beam_axes, fixed_from_patient, source_position
from dosecalc.beam.head import beam_fluences
from dosecalc.beam.segments import beam_segments
from dosecalc.beam.validity import beam_notes, check_beam

__all__ = [
    "BeamletGrid",
    "Fluence",
    "beam_axes",
    "beam_fluences",
    "beam_notes",
    "beam_segments",
    "check_beam",
    "check_bolus",
    "fixed_from_patient",
    "source_position",
    "target_beamlets",
]
