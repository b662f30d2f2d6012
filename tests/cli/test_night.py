"""Lists of cases, and nights in which everything that can happen does, without calculating."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dosecalc.errors import InputError
from dosecalc.records.record import file_sha256, program
from dosecalc.records.seal import sealed
from dosecalc.workflow.batch.case_list import COLUMNS, CaseList, Column, Job, read_list, same_twice
from dosecalc.workflow.batch.night import LOCK, Night, refuse_early, run_night
from dosecalc.workflow.batch.process import in_a_process
from dosecalc.workflow.recorded import options_record
from dosecalc.workflow.requests import DoseRequest

WORDS = {0: "PASS", 1: "FAIL", 2: "REVIEW", 3: "REFUSED", 70: "CRASHED", 130: "INTERRUPTED"}
LIST_COLUMNS = (*COLUMNS, Column("template", "--template", "file"))


def asked(job: Job) -> DoseRequest:
    grid = dict(zip(job.words[::2], job.words[1::2], strict=True)).get("--grid")
    return DoseRequest.from_words(path=job.folder, grid_mm=None if grid is None else float(grid))


NIGHT = Night("verify", "verification.json", WORDS, ("gamma",), lambda *_: {"gamma": 98.5}, asked)


class Killed(BaseException):
    """Nothing is done any more by what it goes through, as if the process had been killed."""


class Cases:
    """Patients of one file each, and a command that ends as it is told."""

    def __init__(self, place: Path, *names: str) -> None:
        self.place, self.out = place, place / "out"
        self.jobs = CaseList(tuple(self.job(name) for name in names), ",")
        self.ends: dict[str, int | BaseException] = {}
        self.ran: list[str] = []

    def job(self, name: str, *words: str) -> Job:
        folder = self.place / "patients" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "RTPLAN.dcm").write_bytes(name.encode())
        return Job(name, folder, words, {})

    def run(self, words: list[str], tell: Callable[[str], None]) -> tuple[int, str]:
        out = Path(words[words.index("--out") + 1])
        self.ran.append(out.name)
        assert self.table()[out.name]["outcome"] == "started"
        assert not out.exists()
        tell("calculating ...")
        end = self.ends.get(out.name, 0)
        if isinstance(end, BaseException):
            raise end
        if end not in (0, 1, 2):
            return (
                end,
                f"reading ...\nrefused: code {end}\n" if end == 3 else "Traceback\nMemoryError",
            )
        job = next(job for job in self.jobs.jobs if job.name == out.name)
        self.write(job, out, {0: "PASS", 1: "FAIL", 2: "REVIEW"}[end])
        return end, "reading ...\n"

    def write(self, job: Job, out: Path, outcome: str) -> None:
        out.mkdir(parents=True)
        (out / "RTDOSE.dcm").write_bytes(b"dose")
        seen = [{"name": "RTPLAN.dcm", "kind": "RTPLAN", "used": True}]
        record = {
            "program": program(),
            "timings_s": {"reading": 2.0, "calculating": 10.25},
            "engine": {},
            "inputs": [one | {"sha256": file_sha256(job.folder / one["name"])} for one in seen],
            "choices": {"options": options_record(asked(job), out)},
            "outputs_sha256": {"RTDOSE.dcm": file_sha256(out / "RTDOSE.dcm")},
        }
        values = {"schema": "dosecalc-verification/1", "case": job.name, "outcome": outcome,
                  "findings": [], "record": record}  # fmt: skip
        (out / "verification.json").write_text(json.dumps(sealed(values)))

    def night(self, **ends: int | BaseException) -> int:
        self.ends.update(ends)
        self.ran.clear()
        self.told: list[str] = []
        return run_night(NIGHT, self.jobs, self.out, force=False, run=self.run, watcher=self)[0]

    def begins(self, name: str) -> None:
        self.told.append(f"{name} begins")

    def stage(self, name: str, stage: str) -> None:
        self.told.append(f"{name}: {stage}")

    def ended(self, name: str, said: str) -> None:
        self.told.append(said)

    def table(self, name: str = "summary.csv") -> dict[str, dict[str, str]]:
        # With the mark by which spreadsheets know UTF-8.
        assert (self.out / name).read_bytes().startswith(b"\xef\xbb\xbf")
        with (self.out / name).open(encoding="utf-8-sig", newline="") as stream:
            return {row["case"]: row for row in csv.DictReader(stream)}


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ({"a": 0, "b": 0}, 0),
        ({"a": 2, "b": 0}, 2),
        ({"a": 2, "b": 1}, 1),
        ({"a": 1, "b": 3}, 3),
        ({"a": 70, "b": 3}, 70),
        ({"a": 0, "b": -9}, 70),
    ],
)
def test_the_worst_case_is_the_exit_code(tmp_path: Path, ends: dict[str, int], code: int) -> None:
    cases = Cases(tmp_path, "a", "b")
    assert cases.night(**ends) == code
    assert cases.ran == ["a", "b"]
    assert {row["exit_code"] for row in cases.table().values()} == {str(e) for e in ends.values()}


def test_what_ends_a_case_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "one", "two", "three")
    assert cases.night(one=70, two=3) == 70
    table = cases.table()
    assert [table[name]["outcome"] for name in table] == ["CRASHED", "REFUSED", "PASS"]
    assert table["one"]["error"] == "MemoryError"
    assert table["two"]["error"] == "code 3"
    assert (table["three"]["error"], table["three"]["gamma"]) == ("", "98.5")
    assert "Traceback" in (cases.out / "one.crash.txt").read_text()
    assert cases.night(one=0, two=2) == 2
    assert cases.ran == ["one", "two"]
    assert not (cases.out / "one.crash.txt").exists()


def test_finished_cases_are_left_alone(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a", "b")
    assert cases.night(a=1) == 1
    before = cases.table()
    assert cases.night() == 1
    assert cases.ran == []
    assert "1 of 2  a: FAIL, done before, left alone" in cases.told
    assert cases.table() == before
    # The table can be lost: what counts is what lies in the folders.
    (cases.out / "summary.csv").unlink()
    assert cases.night() == 1
    assert cases.ran == []
    assert cases.table()["a"]["outcome"] == "FAIL"


@pytest.mark.parametrize("what", ["input", "added", "output", "options", "version", "record"])
def test_what_changed_is_done_again(tmp_path: Path, what: str) -> None:
    cases = Cases(tmp_path, "a", "b")
    assert cases.night() == 0
    folder, out = tmp_path / "patients" / "a", cases.out / "a"
    if what == "input":
        (folder / "RTPLAN.dcm").write_bytes(b"a later version")
    elif what == "added":
        (folder / "another.dcm").write_bytes(b"")
    elif what == "output":
        (out / "RTDOSE.dcm").write_bytes(b"other")
    elif what == "options":
        changed = (cases.job("a", "--grid", "3"), cases.job("b"))
        cases.jobs = CaseList(changed, ",")
    else:
        values = json.loads((out / "verification.json").read_text())
        if what == "version":
            values["record"]["program"]["version"] = "0.0.9"
        (out / "verification.json").write_text(
            "{" if what == "record" else json.dumps(sealed(values))
        )
    assert cases.night() == 0
    assert cases.ran == ["a"]


def test_a_result_of_before_is_not_left_beside_a_refusal(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a")
    assert cases.night() == 0
    (tmp_path / "patients" / "a" / "RTPLAN.dcm").write_bytes(b"a later version")
    assert cases.night(a=3) == 3
    assert not (cases.out / "a").exists()


def test_signed_results_and_foreign_files_stay(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a", "b")
    assert cases.night() == 0
    for name, file in (("a", "decisions.json"), ("b", "thesis.tex")):
        (cases.out / name / file).write_text("{}")
        (tmp_path / "patients" / name / "RTPLAN.dcm").write_bytes(b"a later version")
    assert cases.night() == 3
    assert cases.ran == []
    assert "decisions of named persons" in cases.table()["a"]["error"]
    assert "thesis.tex" in cases.table()["b"]["error"]
    assert (cases.out / "a" / "verification.json").exists()


def test_an_interrupted_night_stops_and_goes_on(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a", "b", "c")
    assert cases.night(b=KeyboardInterrupt()) == 130
    assert cases.ran == ["a", "b"]
    assert cases.table()["b"]["outcome"] == "INTERRUPTED"
    assert "c" not in cases.table()
    assert cases.night(b=130) == 130
    assert cases.night(b=0) == 0
    assert cases.ran == ["b", "c"]


def test_a_night_that_is_ended_by_a_signal_says_so(tmp_path: Path) -> None:
    """The exit that the signal became goes on; no row is left that says "started"."""
    cases = Cases(tmp_path, "a", "b")
    with pytest.raises(SystemExit):
        cases.night(a=SystemExit(143))
    assert cases.table()["a"]["outcome"] == "INTERRUPTED"
    assert cases.table()["a"]["error"] == "ended by a signal"
    assert "b" not in cases.table()
    assert cases.night(a=0) == 0


def test_what_a_night_died_in_comes_last_in_the_next(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a", "b")
    with pytest.raises(Killed):
        cases.night(a=Killed())
    assert cases.table()["a"]["outcome"] == "started"
    assert cases.table("attention.csv")["a"]["outcome"] == "started"
    assert cases.night(a=0) == 0
    assert cases.ran == ["b", "a"]


def test_a_case_that_went_on_without_its_night_has_its_times(tmp_path: Path) -> None:
    """A night that is killed leaves the process of the case it was at, which may finish it."""
    cases = Cases(tmp_path, "a")
    with pytest.raises(Killed):
        cases.night(a=Killed())
    cases.write(cases.jobs.jobs[0], cases.out / "a", "PASS")
    assert cases.night() == 0
    assert cases.ran == []
    row = cases.table()["a"]
    assert row["seconds"] == "12.2"
    assert datetime.fromisoformat(row["finished"]).tzinfo is not None


def test_a_fault_in_one_case_is_its_own(tmp_path: Path) -> None:
    """Neither looking at it, nor running it, nor reading its results ends the night."""
    cases = Cases(tmp_path, "a", "b", "c")

    def look(job: Job) -> None:
        if job.name != "c":
            raise TypeError("'int' object is not iterable")

    told: list[str] = []
    assert refuse_early(cases.jobs, look, told.append) == ["a", "b"]
    assert told[0].startswith("a will crash, a fault of dosecalc")
    assert cases.night(a=TypeError("no such thing")) == 70
    assert cases.ran == ["a", "b", "c"]
    assert cases.table()["a"]["outcome"] == "CRASHED"
    assert cases.table()["a"]["error"] == "TypeError: no such thing"
    assert "Traceback" in (cases.out / "a.crash.txt").read_text()

    def figures(job: Job, _: object) -> dict[str, float]:
        return {"gamma": 98.5 if job.name == "c" else 1 / 0}

    broken = replace(NIGHT, figures=figures)
    code, rows = run_night(broken, cases.jobs, cases.out, force=False, run=cases.run)
    assert code == 70
    assert [row["outcome"] for row in rows.values()] == ["CRASHED", "CRASHED", "PASS"]


def test_what_needs_a_person_stands_in_a_table_of_its_own(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a", "b", "c", "d", "é")
    assert cases.night(b=2, c=1, d=3, é=70) == 70
    assert list(cases.table()) == ["a", "b", "c", "d", "é"]
    found = cases.table("attention.csv")
    assert list(found) == ["é", "d", "c", "b"]
    assert found["c"] == cases.table()["c"]
    # A case that is not on the list any more needs nobody this morning.
    cases.jobs = CaseList(cases.jobs.jobs[:2], ",")
    assert cases.night(b=2) == 2
    assert list(cases.table("attention.csv")) == ["b"]
    assert "c" in cases.table()


HOLDER = """
import sys
from pathlib import Path
from dosecalc.records.one_writer import one_writer

with one_writer(Path(sys.argv[1]), "held"):
    print("holds it", flush=True)
    input()
"""


def holding(lock: Path) -> subprocess.Popen[str]:
    """Begin a process that holds a lock until it is killed."""
    words = [sys.executable, "-c", HOLDER, str(lock)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holds it\n"
    return process


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (LOCK, "another night is writing there; wait until it has ended"),
        # The night was killed, and the case it was at goes on.
        (".a.dosecalc-lock", "a: the last case of a night that was ended is still"),
    ],
)
def test_two_nights_do_not_write_to_one_folder(tmp_path: Path, lock: str, said: str) -> None:
    """A lock that a killed process left keeps nobody out, whatever machine it was on."""
    cases = Cases(tmp_path, "a")
    cases.out.mkdir()
    other = holding(cases.out / lock)
    try:
        with pytest.raises(InputError, match=said):
            cases.night()
    finally:
        other.kill()
        other.communicate()
    assert (cases.out / lock).exists()
    assert cases.night() == 0
    assert cases.ran == ["a"]
    assert not (cases.out / lock).exists()


def test_the_lock_holds_while_a_night_runs(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a")

    def run(words: list[str], tell: Callable[[str], None]) -> tuple[int, str]:
        with pytest.raises(InputError, match="wait until it has ended"):
            run_night(NIGHT, cases.jobs, cases.out, force=False, run=cases.run)
        return cases.run(words, tell)

    assert run_night(NIGHT, cases.jobs, cases.out, force=False, run=run)[0] == 0
    assert not (cases.out / LOCK).exists()


def test_a_file_is_no_folder_of_results(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a")
    cases.out.write_text("mine")
    with pytest.raises(InputError, match="is a file; name a folder with --out"):
        run_night(NIGHT, cases.jobs, cases.out, force=False, run=cases.run)
    with pytest.raises(InputError, match="cannot be made"):
        run_night(NIGHT, cases.jobs, cases.out / "below", force=False, run=cases.run)
    assert cases.out.read_text() == "mine"


def test_a_folder_that_is_missing_is_told_before_the_night(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a", "b")
    (tmp_path / "patients" / "b" / "RTPLAN.dcm").unlink()
    (tmp_path / "patients" / "b").rmdir()
    told: list[str] = []
    assert refuse_early(cases.jobs, lambda _: None, told.append) == ["b"]
    assert told[0].startswith("b will be refused")
    assert cases.night() == 3
    assert "is not a folder" in cases.table()["b"]["error"]


def test_another_table_is_not_replaced(tmp_path: Path) -> None:
    cases = Cases(tmp_path, "a")
    cases.out.mkdir()
    (cases.out / "summary.csv").write_text("my,own,table\n")
    with pytest.raises(InputError, match="not a table of this command"):
        cases.night()
    assert (cases.out / "summary.csv").read_text() == "my,own,table\n"


def test_a_case_runs_in_a_process_of_its_own() -> None:
    said: list[str] = []
    code, told = in_a_process(["info", "/nowhere"], said.append)
    assert code == 3
    assert "refused: /nowhere" in told
    assert said[-1].startswith("refused: ")


def listed(place: Path, *lines: str) -> Path:
    path = place / "list.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["folder,colour", "a,red"], "no column is called 'colour'; there are: case, folder"),
        (["folder,machin", "a,b"], "'machin' (did you mean machine?)"),
        (["folder,hu-curve,x", "a,b,c"], "'hu-curve' (did you mean hu_curve?), 'x'; there are"),
        (["case,machine", "a,b"], "no column folder"),
        (["folder,folder", "a,b"], "column folder is there twice"),
        (["folder,machine", "a"], "line 2: another number of cells"),
        (["folder,machine", ",b"], "line 2: no folder"),
        (["folder", "a", "A"], "several cases are named"),
        (["case,folder", "../up,a"], "cannot be the name of a folder"),
        (["case,folder", "summary.csv,a"], "cannot be the name of a folder"),
        (["case,folder", "a:b,a"], "cannot be the name of a folder"),
        (["folder,incomplete", "a,maybe"], "write yes or no"),
        (["folder"], "no case"),
        ([""], "list.csv is empty"),
        (["", " "], "list.csv is empty"),
        (["case,folder", "attention.csv,a"], "cannot be the name of a folder"),
    ],
)
def test_lists_without_sense_are_refused(
    tmp_path: Path, lines: Sequence[str], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_list(listed(tmp_path, *lines), LIST_COLUMNS)


def test_what_is_no_list_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv: there is no such file"):
        read_list(tmp_path / "nothing.csv", LIST_COLUMNS)
    with pytest.raises(InputError, match="is a folder: name the CSV file"):
        read_list(tmp_path, LIST_COLUMNS)
    path = tmp_path / "list.csv"
    path.write_bytes("case,folder\nMüller,a".encode("latin-1"))
    with pytest.raises(InputError, match="line 2: not UTF-8 text; save the list as 'CSV UTF-8'"):
        read_list(path, LIST_COLUMNS)
    path.write_bytes(b'folder\n"a' + b"b" * 200_000 + b'"')
    with pytest.raises(InputError, match="no CSV text"):
        read_list(path, LIST_COLUMNS)


def test_a_case_that_is_listed_twice_is_told(tmp_path: Path) -> None:
    lines = ("case,folder,grid", "a,p,3", "b,p,3", "c,p,4")
    assert same_twice(read_list(listed(tmp_path, *lines), LIST_COLUMNS)) == [
        f"a and b name the same folder with the same options, {tmp_path / 'p'}"
    ]


def test_cells_become_words(tmp_path: Path) -> None:
    header = "Folder,machine,recorded_densities,incomplete,template,override"
    line = "p/1,6X=generic-6mv|10X=own/linac.json,yes,no,t.toml,A=1.0|B=steel"
    (job,) = read_list(listed(tmp_path, header, line, ",,,,,"), LIST_COLUMNS).jobs
    assert (job.name, job.folder) == ("1", tmp_path / "p" / "1")
    assert job.words == (
        *("--machine", "6X=generic-6mv", "--machine", f"10X={tmp_path / 'own' / 'linac.json'}"),
        *("--override", "A=1.0", "--override", "B=steel", "--recorded-densities"),
        *("--template", str(tmp_path / "t.toml")),
    )


def test_lists_of_other_spreadsheets(tmp_path: Path) -> None:
    """Semicolons, a mark at the beginning, decimal commas; and words that hold for all."""
    path = listed(tmp_path, "\ufeffFolder;Grid;machine;couch", "thorax;2,5;a;T1|T2")
    found = read_list(path, LIST_COLUMNS, {"machine": "own.json"})
    assert found.delimiter == ";"
    # What is typed with the command lies where it is typed, not where the list lies.
    machine = str(Path("own.json").resolve())
    assert found.jobs[0].words == (
        *("--machine", machine, "--couch", "T1", "--couch", "T2", "--grid", "2.5"),
    )


def test_tables_are_parted_like_the_list(tmp_path: Path) -> None:
    cases: Any = Cases(tmp_path, "a")
    cases.jobs = CaseList(cases.jobs.jobs, ";")
    cases.table = lambda: {"a": {"outcome": "started"}}
    assert cases.night() == 0
    first, second = (cases.out / "summary.csv").read_text(encoding="utf-8-sig").splitlines()
    assert first.startswith("case;outcome;")
    assert ";98,5;" in second
    cases.night()
    assert cases.ran == []
