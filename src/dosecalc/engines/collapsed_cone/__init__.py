"""The collapsed-cone engine: released energy by ray tracing, spread along discrete cones."""

from dosecalc.engines.collapsed_cone.engine import CollapsedConeSettings, compute, fluence_dose

__all__ = ["CollapsedConeSettings", "compute", "fluence_dose"]
