"""The patients that errors are planted in, each made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dosecalc.verification.inputs import Evidence
from tests.planted.patients import (
    Patient,
    arc_patient,
    lung_patient,
    made_once,
    processes,
    thorax_patient,
)
from tests.planted.verifying import calculated_once, evidence_of


@pytest.fixture(scope="session", autouse=True)
def doses_are_calculated_once() -> Iterator[None]:
    with calculated_once():
        yield


@pytest.fixture(scope="session")
def thorax(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    folder = tmp_path_factory.mktemp("thorax") / "patient"
    return made_once(thorax_patient, processes(tmp_path_factory), folder)


@pytest.fixture(scope="session")
def lung(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Patient:
    folder = tmp_path_factory.mktemp("lung") / "patient"

    def make_lung(place: Path) -> Patient:
        return lung_patient(samples, place)

    return made_once(make_lung, processes(tmp_path_factory), folder)


@pytest.fixture(scope="session")
def arc(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    folder = tmp_path_factory.mktemp("arc") / "patient"
    return made_once(arc_patient, processes(tmp_path_factory), folder)


@pytest.fixture(scope="session")
def evidence(request: pytest.FixtureRequest) -> Callable[[str], Evidence]:
    """What the verification of a patient by its name is made of."""
    known: dict[str, Evidence] = {}

    def found(name: str) -> Evidence:
        if name not in known:
            known[name] = evidence_of(request.getfixturevalue(name))
        return known[name]

    return found
