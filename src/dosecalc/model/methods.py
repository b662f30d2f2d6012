"""Methods of values that need more than the model: higher rooms fill them in.

A dose has a histogram in a structure (`Dose.dvh`) and can be written as RTDOSE
(`Dose.write_rtdose`), but the model knows neither histograms nor DICOM. Who does, fills the method
in when it is imported; a value whose method is still empty asks the package to import its rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dosecalc
from dosecalc.errors import DosecalcError

__all__ = ["fill", "filled"]

_methods: dict[str, Callable[..., Any]] = {}


def fill(name: str, function: Callable[..., Any]) -> None:
    """Let a function do what a method of a value promises.

    Parameters
    ----------
    name : str
        Such as "Dose.dvh".
    function : callable
        It takes the value first, then what the method takes.
    """
    _methods[name] = function


def filled(name: str) -> Callable[..., Any]:
    """Return the function that does the work of a method.

    Raises
    ------
    DosecalcError
        Nobody has filled it in, which is a bug of the package.
    """
    if name not in _methods:
        dosecalc.fill_methods()
    if name not in _methods:
        raise DosecalcError(f"{name} is not available: no module of dosecalc provides it")
    return _methods[name]
