"""Every error the package raises on purpose.

Each message says what is wrong, where, which value, and what to do about it.
Anything that leaves the package and is not a :class:`DosecalcError` is a bug.
"""

from __future__ import annotations

__all__ = [
    "DicomError",
    "DosecalcError",
    "DosecalcWarning",
    "GeometryError",
    "InputError",
    "OutsideValidityError",
    "PhysicalDataError",
    "UnsupportedError",
]


class DosecalcError(Exception):
    """Base of all errors of this package; its text is meant to be read by a user.

    Examples
    --------
    >>> import dosecalc as dc
    >>> try:
    ...     dc.load_machine("linac2")
    ... except dc.DosecalcError as error:
    ...     print("no machine" in str(error) or "linac2" in str(error))
    True
    """


class InputError(DosecalcError, ValueError):
    """A value given by the user or found in a recipe or a configuration is not usable."""


class GeometryError(InputError):
    """A grid, a contour or a position does not make sense or does not fit another."""


class DicomError(DosecalcError):
    """A DICOM file is damaged, incomplete or contradicts another one."""


class UnsupportedError(DosecalcError):
    """The input asks for something the program knows about and does not model."""


class OutsideValidityError(DosecalcError):
    """The request lies outside the range for which a model or its data were established."""


class PhysicalDataError(DosecalcError):
    """Shipped physical data (cross sections, kernels, machines) is missing or fails its checks."""


class DosecalcWarning(UserWarning):
    """Something the user should read, which does not stop the calculation."""
