"""Compiled Monte Carlo transport of photons and electrons through voxels."""
