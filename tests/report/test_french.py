"""A French report holds no English: neither today's sentences nor those that are added later.

Every sentence that rules, readers and engines can put into a report is found in their sources,
so that one without its French is found here and not by a reader.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from pypdf import PdfReader

import dosecalc
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import of_note
from dosecalc.report.page.build import page_text
from dosecalc.report.page.printed import write_pdf
from dosecalc.report.page.words import LANGUAGES, load_words
from dosecalc.verification.evaluate import NEVER_CHECKED
from dosecalc.verification.tolerances import load_tolerances
from dosecalc.verification.verification import Verification
from tests.report.french import english_in, shown_texts
from tests.report.verifications import EVERY_OUTCOME, verification, without_reference

ENGLISH, FRENCH = (load_words(one) for one in LANGUAGES)
PACKAGE = Path(dosecalc.__file__).parent

# Whose sentences reach a report as findings, notes, caveats or remarks.
SAID = (
    "analysis/*.py", "verification/**/*.py", "patient/*.py", "beam/validity.py",
    "engines/*/engine.py",
    "io/dicom/*.py", "workflow/reference.py",
    "workflow/examine.py", "workflow/prepare.py",
)  # fmt: skip
# What these refuse becomes a remark, or the reason why a part was left out.
REFUSED_AND_SAID = (
    "verification/mu_check/check.py", "verification/mu_check/geometry.py",
    "io/dicom/_common.py", "io/dicom/_pixels.py", "io/dicom/_orientation.py", "io/dicom/dose.py",
    "io/dicom/structures.py",
)  # fmt: skip
# Modules whose words are for the terminal or for files, or which only refuse.
NOT_OF_A_REPORT = (
    "difference.py", "goals.py", "tolerances.py", "as_values.py", "_banner.py", "_writing.py",
    "uids.py", "recipe.py", "_recipe_solids.py", "solids.py", "thorax.py",
)  # fmt: skip
# Parts of sentences that are looked at as a whole in `COMPOSED`, words of refusals that stop the
# run, and names of things: they stand in no report by themselves.
NOT_SAID = {
    "name the dose of this plan",
    "; --recorded-densities uses the 7 g/cm3 recorded with it",
    "none is given",
    "; the names agree in part only",
    "reference against plan",
    "organ own dose",
    "--reference: plan and dose are of",
    "the folder holds",
    "the CT slices are of",
    "files of one PatientID differ in 7 (7)7",
    ", and no PatientID says that they are one",
    ", and 7 differs too",
    "; the birth date agrees",
    "; the names are in different letters",
    ", which are not spellings of one name",
    "; 7 taken, the only one",
    "the structure set 77 is not in the folder (there: 7)",
    " that the plan refers to",
    " (there: 7, which have no Hounsfield units)",
    "export the folder again with everything the plan refers to",
    "give the CT of that patient and a structure set that was drawn on it or copied to it, or fill "
    "the body with one material with --inside water",
    r"CBCT|cone.?beam|on.?board imager|\bOBI\b|\bXVI\b|halcyon|truebeam|\bethos\b",
    ", or merge them, as together they are one scan",
    "is not DICOM and was",
    "are not DICOM and were",
    "7 CT voxels are 7 the curve's end at 7 HU and were limited to 7 g/cm3",
    "7: the planning system recorded 7 g/cm3",
    "7; used as asked, so it is shared with the planning system, not independent",
    " (recorded by the planning system)",
    " of the 7 cm3 drawn; the rest lies outside body, couch and bolus, beyond the dose grid or "
    "the CT, or in an override with precedence",
    "override 7: 7 at 7 g/cm3 ",
    "7, though 7 says FFF: taken as flattened; check the energy",
    "7: taken as STANDARD (flattened)",
    "be off by several per cent",
    "be off by 3 % of the maximum at its faces",
    "7: 7 % of the field passes more than 7 mm of matter 7 g/cm3, 7 mm at most; there a pencil "
    "beam may 7: use the collapsed cone or Monte Carlo",
    "beam 7 (7) on machine model 7",
    "7 voxels of 7 mm",
    "dose left out",
    "the plan refers to no structure set7",
    "leaf pair 7 of 7",
    "table top eccentric angle",
    "table top pitch",
    "table top roll",
    "7 from 7 to 7 degrees after control point 7",
    "an ion engine",
    "of unnamed type",
    "no primary fluence mode",
    "primary fluence mode STANDARD",
    "frames of reference",
    "at 7 mm (7) and 7 mm (7)",
    "7, beam at place 7",
    "7, fraction group at place 7",
    ", its 7 MU with it",
    "gamma criteria (percent, mm)",
    "gamma normalisation dose",
    "gamma threshold (percent)",
    "7 of the reference is 7, of the evaluated dose 7",
    "the target volume",
    "the volume of the prescription isodose",
    "7: not a DICOM file (no DICM mark, no DICOM elements at its start)",
    "7: not a DICOM file (neither a DICM mark nor a SOP Class UID)",
    "7: damaged or truncated DICOM file (7)",
    "end of file",
    "7: the file ends early (truncated); export or copy it again",
    "7 is not a DICOM keyword",
    "7: SOP class 7 is not an RT structure set",
    "7: it defines no ROI (7)",
    "none of its ROIs has a number",
    "StructureSetROISequence is empty",
    "7: its structures lie in different frames of reference (7); export those of one image series "
    "only",
    "an electron beam model",
    "enhanced beam limiting device",
    "its thickness map",
    "its outline, transmission and tray factor",
    "a model of its collimation and scatter",
    "a model of it",
    "reading and sorting the patient folder",
    "turning CT numbers and structures into densities and materials",
    "building the phantom",
    "asking every rule",
    "calculating the dose, 7",
    "calculating parts of arcs, pencil-beam",
    "volume receiving at least this dose / %",
    "outside the dose grid",
    "GammaResult(7: 7 % of 7 points pass)",
    "largest connected failing volume",
}
# Sentences that are put together where they are said.
COMPOSED = (
    "PTV lies outside of the dose that is read",
    "the structure set 1.2 that the plan refers to is not in the folder (there: none)",
    "the structure set 1.2 is not in the folder (there: A)",
    "the CT series 1.2 that the structure set refers to is not in the folder (there: none)",
    "the CT series 1.2 is not in the folder (there: 1.3) (CT.dcm is not DICOM and was ignored)",
    "the CT series 1.2 is not in the folder (there: 1.3) (a, b, c and 4 more are not DICOM and "
    "were ignored)",
    "the plan refers to no structure set; RS.dcm taken, the only one",
    "3 CT voxels are below the curve's end at -1000 HU and were limited to 0.0012 g/cm3",
    "3 CT voxels are above the curve's end at 3000 HU and were limited to 2.8 g/cm3",
    "'COUCH': the planning system recorded 0.3 g/cm3; not used",
    "'COUCH': the planning system recorded 0.3 g/cm3; used as asked, so it is shared with the "
    "planning system, not independent",
    "override 'A': water at 1 g/cm3 in 2.0 cm3 (recorded by the planning system)",
    "override 'A': water at 1 g/cm3 in 2.0 cm3 of the 9.0 cm3 drawn; the rest lies outside body, "
    "couch and bolus, beyond the dose grid or the CT, or in an override with precedence",
    "beam 1 (a): no primary fluence mode, though BeamName says FFF: taken as flattened; check the "
    "energy",
    "plan: beam 1 (a): no primary fluence mode: taken as STANDARD (flattened)",
    "body: no contour in 74 more gaps up to z = 118.5 mm; filled there with the outlines below "
    "and above",
    "beam 1 (a): 30 % of the field passes more than 20 mm of matter below 0.6 g/cm3, 90 mm at "
    "most; there a pencil beam may be off by several per cent: use the collapsed cone or Monte "
    "Carlo",
    "dose PLAN: summation is not stated: taken as PLAN",
    "dose PLAN: tissue heterogeneity correction: WATER",
    "dose left out: RD.dcm: DoseUnits (3004,0002) is 'RELATIVE'; dose in GY is needed",
    "CT: the images are not drawn as scanned in HFS (columns towards the floor): check "
    "PatientPosition",
    "structures: no frame of reference is stated: nothing ties it to an image series",
    "low-gradient difference: too few points lie where it looks",
    "displacement: too few points lie where it looks",
    "monitor units of beam 3 (arc) by tables: the point lies in air (0.001 g/cm3)",
    "PTV: left out: 3 x closed contour of fewer than three points",
    "dose_to of the reference is water, of the evaluated dose medium",
    "files of one PatientID differ in PatientName ('A' in a, 'B' in b); the birth date agrees",
    "files of one PatientID differ in PatientName ('A' in a, 'B' in b); the names agree in part "
    "only",
    "files of one PatientID differ in PatientSex ('F' in a, 'M' in b)",
    "target part: no target is known in both doses, or too few points lie where it looks",
    "dose at 2 cm3 of 'LUNG': 0 to 1.5 cm3 of it lie within the dose grid",
)
# Equal in both languages for a good reason: signs, names of things, words of DICOM.
SAME_WORD = {
    "D2 Gy", "D50 Gy", "D98 Gy", "Paddick", "PIV cm³", "Plan", "Points", "Prescription",
    "Structures", "axial", "cm³", "collim.\xa0°", "coronal", "dose, Gy", "gradient",
    "maximum Gy", "plan", "position", "prescription", "sagittal", "structure", "x, y, z mm",
    "zoom", "contours",
    "Isodoses", "RTOG", "structures", "{name}, SHA-256 {sha256}", "source",
    "patient", "point", "technique", "simple", "gamma", "Gamma",
}  # fmt: skip


_WORD = re.compile(r"\b[a-z]{2,}\b")


def literals(tree: ast.AST, *, refused: bool) -> Iterator[str]:
    """Texts of a source, 7 in place of every value; documentation is none."""
    documented = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Raise) and not refused:
            return
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "7" for v in node.values)
            yield "".join(map(str, parts))
            return
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and id(node) not in documented:
                yield node.value
            return
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    return walk(tree)


@cache
def sentences() -> dict[str, str]:
    """Sentences of the sources, and where each stands."""
    found: dict[str, str] = {}
    for patterns, refused in ((SAID, False), (REFUSED_AND_SAID, True)):
        for path in sorted({p for pattern in patterns for p in PACKAGE.glob(pattern)}):
            if path.name in NOT_OF_A_REPORT or path.name.endswith("_writer.py"):
                continue
            for text in literals(ast.parse(path.read_text(encoding="utf-8")), refused=refused):
                if len(_WORD.findall(text)) >= 3 and "(?P<" not in text and text not in NOT_SAID:
                    found.setdefault(text, f"{path.relative_to(PACKAGE)}: {text}")
    return found


def test_every_sentence_of_the_sources_has_its_french() -> None:
    missing = [
        where
        for text, where in sentences().items()
        if FRENCH.sentence(text) == text or english_in(FRENCH.sentence(text))
    ]
    assert not missing, "\n".join(["without French in sentences_fr.toml:", *missing])


@pytest.mark.parametrize("text", [*COMPOSED, *NEVER_CHECKED])
def test_sentences_that_are_put_together_are_french(text: str) -> None:
    said = FRENCH.sentence(text)
    assert said != text
    assert not english_in(said), said


def test_sources_of_the_shipped_limits_are_french() -> None:
    for limit in load_tolerances().limits.values():
        assert not english_in(FRENCH.sentence(limit.source)), limit.source


def rules_named() -> set[str]:
    """Names of all rules, as the sources give them to findings."""
    found = set()
    for path in [*(PACKAGE / "verification").rglob("*.py"), *(PACKAGE / "workflow").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            getattr(node.targets[0], "id", ""): node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            if isinstance(first, ast.Name):
                first = constants.get(first.id, first)
            if name in ("Finding", "finding") and isinstance(first, ast.Constant):
                found.add(str(first.value))
    return found


def test_every_rule_has_a_french_name() -> None:
    names = rules_named()
    assert len(names) > 15
    unknown = {
        n
        for n in names - {"gamma", "prescription"}
        if f"rule_{n.replace(' ', '_').lower()}" not in FRENCH.texts
    }
    assert not unknown


def test_no_word_of_the_page_is_left_in_english() -> None:
    same = {
        text
        for key, text in FRENCH.texts.items()
        if text == ENGLISH.texts.get(key) and re.search(r"[a-zA-Z]{3}", re.sub(r"{.*?}", "", text))
    }
    assert same <= SAME_WORD, same - SAME_WORD
    assert ENGLISH.texts.keys() <= FRENCH.texts.keys()
    wrong = {
        key: text for key, text in FRENCH.texts.items() if english_in(re.sub(r"{.*?}", "", text))
    }
    assert not wrong


def full() -> Verification:
    """A verification in which every sentence of the sources and every rule is said."""
    v = verification()
    said = [*sentences(), *COMPOSED]
    rules = sorted(rules_named())
    findings = tuple(
        Finding(rules[n % len(rules)], Outcome.REVIEW, of_note(text), 1.0, "mm", 2.0, 3.0)
        for n, text in enumerate(said)
    )
    rows = tuple(replace(row, remark=text) for row, text in zip(v.rows, said, strict=False))
    notes = {**v.calculated.provenance, "notes": said[::2]}
    return replace(
        v,
        rows=rows,
        findings=(*v.findings, *EVERY_OUTCOME[1:], *findings),
        beams=tuple(replace(b, remark=COMPOSED[-1]) for b in v.beams),
        not_checked=(*v.not_checked, *said[1::2]),
        shared_inputs=(*v.shared_inputs, *said[:5]),
        caveats=(*said, *(f"PTV: {text}" for text in said[:20])),
        calculated=replace(v.calculated, provenance=notes),
    )


# Names that stand in both languages: of patient, plan, beams, structures, files, models, engines.
NAMES = re.compile(
    r"[A-Z0-9_./ ,|:()\u00b7\u2013\u2212\u00d7%\u00b0<>=-]*|"
    r"(Thorax, )?LUNG 60 Gy|\d (anterior|oblique|arc|jaws only)|(PTV|LUNG_R) [DV]\d+.*|local 3|"
    r"analytic.*|pencil-beam|HU curve generic-120kvp|x [\u2212\d., xyz]+ mm|"
    r"(SHA-256 )?[0-9a-f]{64}|\d+ .{0,20}|[XY]\d? .{0,20}|Plan|Prescription|Gamma|gamma|PASS|"
    r"[\d:+ UTC-]+|English|Fran\u00e7ais|axial|coronal|sagittal|"
    r".*, SHA-256 [0-9a-f]{64}|UID [0-9.]+|[\d\u2212+., |]+(\s(Gy|mm|%|cm3))?"
)


@pytest.mark.parametrize("made", [verification, without_reference, full])
def test_french_page_shows_no_english(made: object) -> None:
    v = made()  # type: ignore[operator]
    french = shown_texts(page_text(v, "fr"))
    assert len(french) > 80
    wrong = [text for text in french if english_in(text)]
    assert not wrong, "\n".join(wrong)
    english = set(shown_texts(page_text(v, "en")))
    same = {
        text for text in set(french) & english if not NAMES.fullmatch(text)
    } - SAME_WORD  # fmt: skip
    assert not same, "\n".join(sorted(same))


def test_french_print_holds_no_english(tmp_path: Path) -> None:
    place = write_pdf(verification(), tmp_path / "report.pdf", "fr")
    text = " ".join(page.extract_text() for page in PdfReader(place).pages)
    assert not english_in(text), english_in(text)


def test_the_search_for_english_finds_it() -> None:
    assert english_in("la dose is not known")
    assert not english_in("faisceau 1 (AP) : la dose n'est pas connue ; OUT partout")
    page = '<body><p hidden>gone <b>too</b></p><p>seen<br>here</p><pre>{"a": 1}</pre></body>'
    assert shown_texts(page) == ["seen", "here"]
