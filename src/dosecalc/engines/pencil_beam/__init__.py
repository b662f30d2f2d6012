"""The pencil-beam engine: whole fields by convolution of their fluence."""

from dosecalc.engines.pencil_beam.engine import PencilBeamSettings, compute, fluence_dose

__all__ = ["PencilBeamSettings", "compute", "fluence_dose"]
