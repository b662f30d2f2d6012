"""How planted patients are verified: each dose is calculated once in a session."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dosecalc.analysis.dvh import Dvh, structure_dvh
from dosecalc.errors import DosecalcError
from dosecalc.messages.findings import Outcome
from dosecalc.model import Dose
from dosecalc.verification import rows
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.verification import Verification
from dosecalc.workflow import examine as examining
from dosecalc.workflow.examine import examine
from dosecalc.workflow.prepare import Prepared
from dosecalc.workflow.progress import SilentStages
from dosecalc.workflow.requests import DoseRequest, VerificationRequest
from tests.planted.errors import Planted
from tests.planted.patients import Patient

__all__ = ["calculated_once", "evidence_of", "planted_in", "spoken", "verified"]


@contextmanager
def calculated_once() -> Iterator[None]:
    """Errors that leave plan and patient as they are get the dose that was calculated before."""
    known: dict[bytes, object] = {}
    original = examining._calculated

    def remembered(prepared: Prepared, options: DoseRequest, stages: SilentStages) -> object:
        phantom, plan = prepared.phantom, prepared.plan
        given = (plan.beams, plan.position, plan.fractions, phantom.grid, _anywhere(options))
        digest = hashlib.sha256(pickle.dumps(given))
        for array in (phantom.density, phantom.material):
            digest.update(array.tobytes())
        key = digest.digest()
        if key not in known:
            known[key] = original(prepared, options, stages)
        return known[key]

    histograms: dict[tuple[int, int], tuple[object, ...]] = {}

    def histogram(structure: object, dose: Dose, *, plane_spacing: float | None = None) -> Dvh:
        key = (id(structure), id(dose))
        if key not in histograms:
            found = structure_dvh(structure, dose, plane_spacing=plane_spacing)  # type: ignore[arg-type]
            # What is kept keeps its id.
            histograms[key] = (found, structure, dose)
        return histograms[key][0]  # type: ignore[return-value]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examining, "_calculated", remembered)
        patch.setattr(rows, "structure_dvh", histogram)
        yield


def _anywhere(options: DoseRequest) -> DoseRequest:
    """Leave out where the patient lies, which decides nothing."""
    return replace(options, path=Path("patient"))


def verified(folder: Path, words: dict[str, object]) -> Verification:
    return examine(VerificationRequest.from_words(path=folder, **words), SilentStages())[1]  # type: ignore[arg-type]


def evidence_of(patient: Patient) -> Evidence:
    """Return what the patient's verification is made of."""
    caught: list[Evidence] = []

    class EnoughError(DosecalcError):
        pass

    def keep(evidence: Evidence, *_: object) -> Verification:
        caught.append(evidence)
        raise EnoughError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(EnoughError):
        patch.setattr(examining, "judge", keep)
        verified(patient.folder, patient.words)
    return caught[0]


def planted_in(patient: Patient, error: Planted, place: Path) -> Verification:
    # Linked, not copied: `patients.edit` puts new files in place of those it changes.
    shutil.copytree(patient.folder, place, copy_function=os.link)
    error.plant(place)
    return verified(place, patient.words | error.words)


def spoken(found: Verification) -> set[str]:
    return {finding.rule for finding in found.findings if finding.outcome != Outcome.PASS}
