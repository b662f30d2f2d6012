"""The pencil-beam engine: whole fields by convolution of their fluence."""

from dosecalc.engines.pencil_beam.engine import PencilBeam, compute, fluence_dose

__all__ = ["PencilBeam", "compute", "fluence_dose"]

PencilBeamSettings = PencilBeam
"""The name of the settings in earlier scripts."""
