"""The collapsed-cone engine: released energy by ray tracing, spread along discrete cones."""

from dosecalc.engines.collapsed_cone.engine import CollapsedCone, compute, fluence_dose

__all__ = ["CollapsedCone", "compute", "fluence_dose"]

CollapsedConeSettings = CollapsedCone
"""The name of the settings in earlier scripts."""
