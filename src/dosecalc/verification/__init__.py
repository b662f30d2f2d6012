"""Checks of a dose: histograms of structures, agreement with references."""
