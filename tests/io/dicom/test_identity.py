"""One person or several: the number must agree, the name may be spelt in another way."""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter

import pytest

from dosecalc.errors import DicomError, InputError
from dosecalc.io.dicom.identity import Identity, Person, identify
from dosecalc.messages.message import Message

SAME_NAME = [
    ("PHANTOM, fourD", "PHANTOM^FourD^^"),
    ("Doe^Jane^Q", "Doe^Jane"),
    ("Doe^Jane^^Dr", "DOE^JANE"),
    ("Doe^J", "Doe^Jane"),
    ("Jane Doe", "Doe^Jane"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田^太郎"),
    ("Yamada^Tarou=山田^太郎", "=山田^太郎"),
    ("Müller^Jörg", "Mueller^Joerg"),
    ("Müller^Jörg", "Muller^Jorg"),
    ("Müller^Jörg", "MÃ¼ller^JÃ¶rg"),  # UTF-8 read as Latin-1
    ("Müller^Jörg", "M?ller^J?rg"),
    ("Straße^Ægir", "Strasse^Aegir"),
    ("Sørensen^Åse", "Soerensen^Aase"),
    ("Łukasz^Đorđe", "Lukasz^Dorde"),
    ("O'Brien^Sean", "OBrien^Sean"),
    ("van der Berg^Jan", "vanderBerg^Jan"),
    ("Garcia-Lopez^Maria", "Garcia^Maria"),
    ("Featherstonehaugh^Alexandra", "Featherstonehaugh^Alexan"),
    ("Иванов^Иван", "ИВАНОВ^ИВАН^ИВАНОВИЧ"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=山田^太郎=ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("やまだ^たろう", "ヤマダ^タロウ"),
    ("Wang^XiaoDong=王^小东", "王^小东"),
    ("Ōno^Jirō", "Ohno^Jiroh"),
    ("Ōno^Jirō", "Ouno^Jirou"),
    ("Weiß^Änne", "WeiÃŸ^Ã„nne"),  # UTF-8 read as Windows does
    ("Müller^Jörg", "Mller^Jrg"),
    ("Müller^Jörg", "M_ller^J_rg"),
    ("Müller^Jörg", "M\\303\\274ller^J\\303\\266rg"),
    ("Doe^John^^^Junior", "Doe^John^^^Jr."),
    ("Doe^John^^^III", "Doe^John"),
]
IN_PART = [
    ("Doe^Paul", "Doe^Paula"),
    ("Doe^Daniel", "Doe^Danielle"),
    ("Li^Wei", "Liu^Wei"),
    ("Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^次郎"),
    ("Yamada^Tarou=山田^太郎", "Yamada^Hanako=山田^太郎"),
]
OTHER_NAME = [
    ("Doe^Jane", "Doe^John"),
    ("Doe^Jane", "Roe^Jane"),
    ("Folder^Test", "Somebody^Else"),
    ("Phantom^1", "Phantom^2"),
    ("Phantom^1", "Phantom^10"),
    ("Doe^Jane", "J^D"),
    ("山田^太郎", "山本^花子"),
    ("???^??", "Doe^Jane"),
    ("Doe^John^^^Jr", "Doe^John^^^Sr"),
    ("Doe^John^^^II", "Doe^John^^^III"),
]


def found(*people: tuple[str, ...], same_patient: str | None = None) -> Identity:
    persons = [
        Person(*(*fields, "", "", "")[:4], where=f"file{n}") for n, fields in enumerate(people)
    ]
    return identify(persons, what="the folder holds", same_patient=same_patient)


@pytest.mark.parametrize(("first", "second"), SAME_NAME)
def test_spellings_of_one_name_are_noted(first: str, second: str) -> None:
    for names in ((first, second), (second, first)):
        identity = found(("P1", names[0]), ("P1", names[1]))
        assert not identity.doubts
        (note,) = identity.notes
        assert note.startswith("PatientName is written in different ways: ")
        assert repr(first) in note and "file0" in note


@pytest.mark.parametrize(("first", "second"), OTHER_NAME)
def test_other_names_are_refused_with_the_option(first: str, second: str) -> None:
    for names in ((first, second), (second, first)):
        with pytest.raises(DicomError, match=r"2 patients by PatientName.*--same-patient REASON"):
            found(("P1", names[0]), ("P1", names[1]))
        (doubt,) = found(("P1", first), ("P1", second), same_patient="married").doubts
        assert doubt.values["reason"] == "married"


@pytest.mark.parametrize(
    ("first", "second"), [("Doe^Jane^^", "Doe^Jane"), ("Doe ^Jane", "doe^jane"), ("", "Doe^Jane")]
)
def test_what_the_standard_calls_the_same_name_is_not_mentioned(first: str, second: str) -> None:
    assert found(("P1", first), ("P1", second)) == Identity()
    assert found(("", first), ("", second)) == Identity()


def test_without_a_number_in_both_names_must_be_the_same() -> None:
    for numbers in (("", "P1"), ("", "")):
        with pytest.raises(DicomError, match=r"2 patients by PatientName.*no PatientID says"):
            found((numbers[0], "Doe^Jane^Q"), (numbers[1], "Doe^Jane"))


def test_numbers_differ_by_more_than_case() -> None:
    assert found(("ab12", "Doe^Jane"), ("AB12", "Doe^Jane")).notes == (
        "PatientID is written in different ways: 'ab12' in file0, 'AB12' in file1",
    )
    with pytest.raises(DicomError, match=r"2 patients by PatientID: '12' in file0, '012' in file1"):
        found(("12", "Doe^Jane"), ("012", "Doe^Jane"))
    (doubt,) = found(("12", "Doe^Jane"), ("X1", "Doe^Jane"), same_patient="new number").doubts
    assert str(doubt) == (
        "files that differ in PatientID ('12' in file0, 'X1' in file1) are taken as one patient's, "
        "as the user states: new number"
    )


def test_birth_date_and_sex() -> None:
    jane, other = ("P1", "Doe^Jane", "19500101", "F"), ("P1", "Doe^Jane^Q", "19500102", "F")
    with pytest.raises(DicomError, match=r"PatientName.*and PatientBirthDate differs too"):
        found(jane, other)
    with pytest.raises(DicomError, match=r"PatientName.*and PatientSex differs too"):
        found(jane, ("P1", "Doe^Jane^Q", "", "M"))
    # Missing in one, or sex "other", contradicts nothing.
    assert not found(jane, ("P1", "Doe^Jane^Q", "", "O")).doubts
    # A new name with number and birth date unchanged is one person, and a person confirms it.
    (doubt,) = found(jane, ("P1", "Roe^Jane", "1950.01.01", "F")).doubts
    assert doubt.values["remark"] == Message("patient.birth_date_agrees")
    # Number and name agree, the birth date does not: said, as it was not before.
    (doubt,) = found(jane, ("P1", "Doe^Jane", "19500102", "F")).doubts
    assert str(doubt) == (
        "files of one PatientID differ in PatientBirthDate ('19500101' in file0, '19500102' in "
        "file1)"
    )


@pytest.mark.parametrize(("first", "second"), IN_PART)
def test_names_that_agree_in_part_are_a_doubt(first: str, second: str) -> None:
    for names in ((first, second), (second, first)):
        identity = found(("P1", names[0]), ("P1", names[1]))
        assert not identity.notes
        remark = identity.doubts[0].values["remark"]
        assert remark == Message("patient.names_agree_in_part")


def test_names_in_other_letters_are_a_doubt() -> None:
    (doubt,) = found(("P1", "山田^太郎"), ("P1", "Yamada^Tarou")).doubts
    assert doubt.values["remark"] == Message("patient.names_in_other_letters")


@pytest.mark.parametrize("letters", ["?a", "\u00fc-", "a^", "a b=", "\u5c71"])
@pytest.mark.parametrize("times", [450, 30_000])
def test_names_of_many_letters_are_compared_quickly(letters: str, times: int) -> None:
    start = perf_counter()
    for other in ("a" * 2 * times, "-" * 2 * times, letters * (times - 1) + "b"):
        with suppress(DicomError):
            found(("P1", letters * times), ("P1", other))
    # Tens of milliseconds; minutes where every letter is tried with every other.
    assert perf_counter() - start < 5


def test_a_reason_is_needed_and_many_patients_are_quick() -> None:
    with pytest.raises(InputError, match="--same-patient needs the reason"):
        found(("P1", "Doe^Jane"), same_patient=" ")
    with pytest.raises(DicomError, match="the folder holds 5000 patients"):
        found(*((f"P{n}", f"Name^{n}") for n in range(5000)))
