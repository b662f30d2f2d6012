"""Photon spectra as data."""
