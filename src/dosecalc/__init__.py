"""dosecalc: photon dose calculation for radiotherapy, scriptable and open."""

__version__ = "0.1.0"
