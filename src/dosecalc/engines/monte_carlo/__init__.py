"""The Monte Carlo engine: photons and electrons followed one by one."""

from dosecalc.engines.monte_carlo.engine import compute
from dosecalc.engines.monte_carlo.settings import MonteCarloSettings

__all__ = ["MonteCarloSettings", "compute"]
