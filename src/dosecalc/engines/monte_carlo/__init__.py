"""The Monte Carlo engine: photons and electrons followed one by one."""

from dosecalc.engines.monte_carlo.engine import compute
from dosecalc.engines.monte_carlo.settings import MonteCarlo

__all__ = ["MonteCarlo", "compute"]

MonteCarloSettings = MonteCarlo
"""The name of the settings in earlier scripts."""
