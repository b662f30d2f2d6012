"""Calculate the dose of a plan, compare doses, and look at structures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.dvh import Dvh, structure_dvh
from dosecalc.analysis.gamma import GammaCriteria, GammaResult, gamma_index
from dosecalc.beam import check_bolus
from dosecalc.engines.collapsed_cone import CollapsedCone
from dosecalc.engines.monte_carlo import MonteCarlo
from dosecalc.engines.pencil_beam import PencilBeam
from dosecalc.errors import InputError
from dosecalc.model import Dose, Machine, Phantom, Plan, Structure
from dosecalc.planning.plans import PlanDose, refuse_missing
from dosecalc.verification.checks.beam_geometry import patient_mask
from dosecalc.workflow.engines import COMPUTE, settings_of_beam
from dosecalc.workflow.machines import machines_for

__all__ = ["Machines", "calculate", "dvh", "gamma", "machine_words"]

Machines = Mapping[Any, Machine | str | Path] | Machine | str | Path
"""A machine for all beams, or one for each quality ("6X", "6FFF") or beam number."""

_NAMES: dict[type, str] = {
    CollapsedCone: "collapsed-cone",
    PencilBeam: "pencil-beam",
    MonteCarlo: "monte-carlo",
}


def calculate(
    phantom: Phantom,
    plan: Plan,
    machines: Machines,
    engine: CollapsedCone | PencilBeam | MonteCarlo | None = None,
    *,
    accept_missing_beams: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> PlanDose:
    """Calculate the dose of a plan, beam by beam.

    Parameters
    ----------
    phantom : Phantom
    plan : Plan
    machines : mapping, Machine, str or Path
        The beam model of all beams, or ``{"6X": model, "6FFF": model, 3: model}`` by quality and
        beam number, where a number goes before a quality. A model is a `Machine`, the name of a
        shipped one, or the path of a ``.json`` file. None is assumed.
    engine : CollapsedCone, PencilBeam or MonteCarlo, optional
        The engine, by its settings; the collapsed cone if left out.
    accept_missing_beams : bool
        Calculate beams that do not meet the patient all the same.
    progress : callable(text, done, total), optional

    Returns
    -------
    PlanDose
        `fraction` and `total` are the doses of one and of all fractions, `beams` those of each
        beam, one fraction, by its number.

    Raises
    ------
    InputError
        A beam has no model, does not meet the patient, or needs a bolus that the phantom lacks.
    OutsideValidityError
        The engine or the model does not hold for what the plan asks.

    Examples
    --------
    >>> import dosecalc as dc
    >>> case = dc.read_patient("patient/")
    >>> phantom = dc.build_phantom(case, hu_curve="generic-120kvp", grid_mm=10.0)
    >>> dose = dc.calculate(phantom, case.plan, machines={"6X": "generic-6mv"},
    ...                     engine=dc.CollapsedCone(directions=24, primary_voxel_mm=10.0))
    >>> sorted(dose.beams)
    [1, 2, 3, 4]
    >>> 55 < dose.total.at(case.plan.isocentre) < 65
    True
    """
    settings = CollapsedCone() if engine is None else engine
    if type(settings) not in _NAMES:
        raise InputError(
            f"engine {engine!r}: give CollapsedCone(), PencilBeam() or MonteCarlo(), with settings"
        )
    name = _NAMES[type(settings)]
    compute = COMPUTE[name]
    words, models = machine_words(machines)
    chosen = machines_for(plan, words, models)
    check_bolus(plan, phantom.bolus)
    if not accept_missing_beams:
        refuse_missing(plan, chosen, phantom, patient_mask(phantom, None))
    start, doses = time.perf_counter(), {}
    for beam in plan.beams:
        alone, own = replace(plan, beams=(beam,)), settings_of_beam(settings, beam.number)
        machine = {beam.number: chosen[beam.number]}
        doses[beam.number] = compute(phantom, alone, machine, own, progress)
    return PlanDose(plan, doses, name, settings, time.perf_counter() - start)


def machine_words(machines: Machines) -> tuple[tuple[str, ...], dict[str, Machine]]:
    """Return machines in the words of the command, and the models that some of them stand for."""
    given: Mapping[Any, Machine | str | Path]
    given = machines if isinstance(machines, Mapping) else {"": machines}
    words, models = [], {}
    for key, value in given.items():
        name = str(value)
        if isinstance(value, Machine):
            name = f"<{value.name}, {key}>"
            models[name] = value
        words.append(f"{key}={name}" if str(key) else name)
    return tuple(words), models


def gamma(
    reference: Dose,
    evaluated: Dose,
    dose_percent: float = 3.0,
    distance_mm: float = 2.0,
    *,
    local: bool = False,
    threshold_percent: float = 10.0,
    normalisation: float | None = None,
    within: NDArray[np.bool_] | None = None,
) -> GammaResult:
    """Return the gamma index at the voxels of a reference dose.

    The evaluated dose is taken as trilinear between its voxels, and the smallest value is found
    exactly, not sampled. After Low et al., Med. Phys. 25 (1998) 656; 3 % / 2 mm, global, above
    10 % are the criteria of AAPM TG-218 (Med. Phys. 45 (2018) e53).

    Parameters
    ----------
    reference, evaluated : Dose
        In one unit, on any two grids in one frame of reference.
    dose_percent : float, %
        Dose criterion: of the normalisation dose, or of each reference dose if `local`.
    distance_mm : float, mm
        Distance to agreement.
    local : bool
    threshold_percent : float, %
        Reference points below this part of the normalisation dose do not count.
    normalisation : float, optional
        In the unit of the doses; the maximum of the reference if left out.
    within : (nz, ny, nx) bool, optional
        Reference points that may count; all if left out.

    Returns
    -------
    GammaResult
        With `pass_rate` (%), `mean`, `largest` and `gamma` (nz, ny, nx).

    Raises
    ------
    InputError
        The units differ, no point counts, or a criterion cannot be.
    GeometryError
        No point that counts lies on the evaluated grid.

    Examples
    --------
    >>> import numpy as np
    >>> import dosecalc as dc
    >>> grid = dc.Grid(shape=(8, 8, 8), spacing=(2.0, 2.0, 2.0), origin=(0.0, 0.0, 0.0))
    >>> flat = dc.Dose(grid, np.full(grid.shape, 50.0), dose_to="medium")
    >>> dc.gamma(flat, flat.scaled(1.02)).pass_rate
    100.0
    >>> dc.gamma(flat, flat.scaled(1.04)).pass_rate
    0.0
    """
    criteria = GammaCriteria(
        dose_percent,
        distance_mm,
        local=local,
        threshold_percent=threshold_percent,
        normalisation=normalisation,
    )
    return gamma_index(reference, evaluated, criteria, within=within)


def dvh(structure: Structure, dose: Dose, *, plane_spacing: float | None = None) -> Dvh:
    """Return the dose-volume histogram of a structure; see also `Dose.dvh`.

    Names are those of ICRU Report 83 (2010).

    Parameters
    ----------
    structure : Structure
    dose : Dose
        In Gy; trilinear between its voxels.
    plane_spacing : float, mm, optional
        Distance of the slices it was drawn on, where the structure does not say.

    Returns
    -------
    Dvh
        With `d98`, `d95`, `d50`, `d2`, `mean_gy`, `volume_at_dose`, `dose_at_volume`, `plot`.

    Raises
    ------
    GeometryError
        The structure is empty, or lies outside the dose grid.

    Examples
    --------
    >>> import numpy as np
    >>> import dosecalc as dc
    >>> case = dc.read_patient("patient/")
    >>> grid = dc.Grid.covering((-100, -100, -100), (100, 100, 100), spacing=(5.0, 5.0, 5.0))
    >>> flat = dc.Dose(grid, np.full(grid.shape, 50.0), dose_to="medium")
    >>> found = dc.dvh(case["PTV"], flat)
    >>> found.d95, found.mean_gy
    (50.0, 50.0)
    """
    return structure_dvh(structure, dose, plane_spacing=plane_spacing)
