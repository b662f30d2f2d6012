"""`import dosecalc as dc`: what it offers, that it is light, its examples, and the three jobs."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import dosecalc as dc
from dosecalc.api.verification import VerifiedPlan
from dosecalc.io.dicom import read_dose_file
from dosecalc.planning.demo_patient import write_thorax_patient

COARSE = dc.CollapsedCone(directions=24, primary_voxel_mm=10.0)


def tree_of_stub() -> ast.Module:
    return ast.parse(Path(dc.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))


def test_stub_list_and_table_agree() -> None:
    tree = tree_of_stub()
    homes = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert listed == dc.__all__ == sorted(dc.__all__)
    assert set(homes) == set(dc.__all__)
    for name, home in homes.items():
        assert getattr(dc, name) is getattr(sys.modules[str(home)], name), name
    assert set(dc.__all__) <= set(dir(dc))
    with pytest.raises(AttributeError, match="calulate"):
        _ = dc.calulate  # type: ignore[attr-defined]


def test_the_import_is_light_and_compiled_code_is_that_of_these_sources() -> None:
    """Nothing heavy before it is needed; then the sources set the folder of compiled code."""
    script = """
import sys
import dosecalc as dc
heavy = {"numba", "scipy", "pydicom", "matplotlib", "numpy"} & set(sys.modules)
assert not heavy, heavy
dc.calculate
from pathlib import Path
from dosecalc.core.kept import kept_in
from dosecalc.core.resample import average_overlap
print(kept_in() in Path(average_overlap._cache.cache_path).parents)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "True"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the synthetic patient in it, and the planning system's dose."""
    folder = tmp_path_factory.mktemp("api")
    write_thorax_patient(folder / "patient")
    case = dc.read_patient(folder / "patient")
    phantom = dc.build_phantom(case, hu_curve="generic-120kvp", grid_mm=8.0)
    dose = dc.calculate(phantom, case.plan, "generic-6mv", dc.PencilBeam())
    dose.total.write_rtdose(folder / "patient" / "RTDOSE.dcm", case)
    return folder


@pytest.fixture(scope="module")
def verified(place: Path) -> VerifiedPlan:
    """The patient's plan verified, and what is written of it in the folder verified/."""
    v = dc.verify(
        place / "patient", machines={"6X": "generic-6mv"}, hu_curve="generic-120kvp",
        grid_mm=8.0, directions=24,
    )  # fmt: skip
    v.write_report(place / "verified", language="fr")
    return v


@pytest.fixture
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("name", dc.__all__)
def test_every_name_has_an_example_that_runs(
    name: str, there: Path, request: pytest.FixtureRequest
) -> None:
    """Examples of a class are also those of its methods."""
    found = doctest.DocTestFinder(exclude_empty=True).find(
        getattr(dc, name), f"dosecalc.{name}", globs={}
    )
    with_examples = [one for one in found if one.examples]
    assert with_examples, f"{name} has no example"
    if name == "open_record":
        request.getfixturevalue("verified")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    for one in with_examples:
        runner.run(one, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("name", dc.__all__)
def test_every_name_is_documented(name: str) -> None:
    """Functions say their parameters, result and errors; classes their parameters."""
    thing = getattr(dc, name)
    text = inspect.getdoc(thing) or ""
    if name == "DosecalcError":
        return
    assert "Parameters\n---" in text
    if inspect.isfunction(thing):
        assert "Returns\n---" in text and "Raises\n---" in text
        for parameter in inspect.signature(thing).parameters:
            assert parameter in text, f"{name}: {parameter}"


def test_a_dose_and_its_rtdose(there: Path) -> None:
    """The prescription (60 Gy to the isocentre) within 5 %: voxels of 8 mm, few cones."""
    case = dc.read_patient("patient/")
    phantom = dc.build_phantom(case, hu_curve="generic-120kvp", grid_mm=8.0)
    dose = dc.calculate(phantom, case.plan, machines={"6X": "generic-6mv"}, engine=COARSE)
    assert dose.total.at(case.plan.isocentre) == pytest.approx(60.0, rel=0.05)
    assert dose.total.dvh(case["PTV"]).d95 == pytest.approx(dc.dvh(case["PTV"], dose.total).d95)
    assert sum(one.at(case.plan.isocentre) for one in dose.beams.values()) == pytest.approx(
        dose.fraction.at(case.plan.isocentre), rel=1e-6
    )
    Path("out").mkdir()
    dose.total.write_rtdose("out/RTDOSE.dcm", case)
    written = read_dose_file(Path("out/RTDOSE.dcm")).dose
    assert written.summation == "PLAN"
    # Stored in steps of the maximum over 2^31 or 2^15.
    assert abs(written.gray - dose.total.gray).max() < 1e-3
    machine = dc.load_machine("generic-6mv")
    again = dc.calculate(phantom, case.plan, {1: machine, "6X": machine}, COARSE)
    assert (again.total.gray == dose.total.gray).all()


def test_a_verification_and_its_record(there: Path, verified: VerifiedPlan) -> None:
    """What a script writes is what the command writes: the record opens, and can be repeated."""
    v = verified
    assert v.outcome.name in ("PASS", "REVIEW") and not v.findings.failing
    assert v.gamma is not None and v.gamma.pass_rate > 90
    assert set(v.findings) >= set(v.findings.to_review)
    assert v.outcome.name in repr(v) and "gamma" in v._repr_html_()
    folder = there / "verified"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"report.html", "report.pdf", "verification.json", "RTDOSE.dcm"}
    assert '<html lang="fr"' in (folder / "report.html").read_text(encoding="utf-8")
    record = dc.open_record(folder)
    assert record.outcome == v.outcome.name
    asked = record.run["choices"]["options"]
    assert asked["command"] == "verify" and asked["values"]["calcs"][0]["grid_mm"] == 8.0
    with pytest.raises(dc.DosecalcError, match="already holds"):
        v.write_report(folder)


def test_an_input_that_changed_is_not_recorded_as_what_was_used(there: Path) -> None:
    goals = Path("goals.toml")
    goals.write_text('name = "mine"\nversion = "1"\n\n[[goal]]\nstructure = "PTV"\n'
                     'quantity = "D95%"\nat_least = 50.0\n')  # fmt: skip
    v = dc.verify(
        "patient/", machines="generic-6mv", hu_curve="generic-120kvp", grid_mm=12.0, directions=24,
        goals=goals,
    )  # fmt: skip
    goals.write_text(goals.read_text().replace("50.0", "40.0"))
    with pytest.raises(dc.DosecalcError, match="has changed since"):
        v.write_report("changed")
    assert not Path("changed").exists()


def test_errors_are_of_one_kind(there: Path) -> None:
    with pytest.raises(dc.DosecalcError, match="no machine model for beam 1"):
        case = dc.read_patient("patient/")
        phantom = dc.build_phantom(case, hu_curve="generic-120kvp", grid_mm=12.0)
        dc.calculate(phantom, case.plan, machines={"10X": "generic-10mv"})
    with pytest.raises(dc.DosecalcError, match=r"CollapsedCone\(\), PencilBeam\(\)"):
        dc.calculate(phantom, case.plan, "generic-6mv", engine="collapsed-cone")  # type: ignore[arg-type]
    with pytest.raises(dc.DosecalcError, match="states the file of each machine"):
        dc.verify("patient/", machines=dc.load_machine("generic-6mv"))
    with pytest.raises(dc.DosecalcError, match="no structure is named 'PTVV'"):
        case["PTVV"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ({"machine": "generic-6mv"}, "no argument 'machine'. Did you mean 'machines'?"),
        ({"engine": "pencil-beam"}, "no argument 'engine'. Did you mean 'engines'?"),
        ({"without_beam": 1}, "Did you mean 'without_beams'?"),
        ({"position": "hfq"}, "position 'hfq' is not known; there are HFS"),
        # In the letters of the command, which the plan contradicts.
        ({"position": "ffs"}, "FFS"),
        ({"without_beams": 9}, "there is no beam 9"),
        ({"couch": "TABLE"}, "no structure is named 'TABLE'"),
        ({"grid_mm": "8"}, "grid_mm is '8'; a number is needed"),
        ({"directions": 48.5}, "directions is 48.5; a whole number is needed"),
        ({"fraction_group": "1"}, "fraction_group is '1'; a whole number is needed"),
        ({"without_beams": ["1"]}, "without_beams holds '1'"),
        ({"tolerances": {"gamma": 95}}, "tolerances is {'gamma': 95}; a path is needed"),
        ({"overrides": "A=1"}, "overrides is 'A=1'; a mapping"),
        ({"recorded_densities": 1}, "recorded_densities is 1; True or False is needed"),
        ({"same_patient": True}, "same_patient is True; a text is needed"),
    ],
)
def test_words_that_verify_does_not_know(word: dict[str, Any], message: str, there: Path) -> None:
    with pytest.raises(dc.DosecalcError, match=re.escape(message)):
        dc.verify("patient/", **({"machines": "generic-6mv", "hu_curve": "generic-120kvp"} | word))


def test_the_guide_runs_as_it_is_written(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All code of docs/python.md in one session, on coarser voxels than it says."""
    matplotlib.use("agg")
    guide = Path(__file__).parents[1] / "docs" / "python.md"
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(blocks).replace("2.5", "8.0").replace('"0042/"', '"guide/"')
    code = code.replace("CollapsedCone()", "CollapsedCone(directions=24)")
    exec(compile(code, str(guide), "exec"), {})  # noqa: S102
    said = capsys.readouterr().out
    assert re.search("PASS|REVIEW", said) and "linac-2" in said and "True" in said
    assert Path("guide/report.pdf").is_file() and Path("RTDOSE-new.dcm").is_file()


def test_an_engine_against_its_reference() -> None:
    [found] = dc.validate("pencil-beam", ["S1"])
    assert found.agreement.within
    with pytest.raises(dc.DosecalcError, match="no case Q9"):
        dc.validate(cases=["Q9"])
