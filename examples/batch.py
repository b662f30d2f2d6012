"""A night: the dose of every case of a list, into a table that can be resumed.

    python examples/batch.py LIST.csv OUT [--engine NAME] [--grid MM] [--force]

LIST.csv has a line per case and a first line of column names: `folder` (from the list's own
place) and, where wanted, `case` (a short name; else the folder's), `target` (a structure whose
doses are tabulated) and the options of `dosecalc calc`: engine, machine, hu_curve, body, grid and
so on; several values in one cell are parted by |.

It is `dosecalc verify-list` (docs/sign-and-reproduce.md) with another command and other columns:
lists, table and resuming are the same. OUT/CASE/ gets what `dosecalc calc` writes,
OUT/summary.csv a line per case, OUT/attention.csv those that are not done, the worst first.

Exit code: the worst of all cases (0 done, 3 refused, 70 crashed), 3 also for a list that is
refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import click

from dosecalc.analysis.dvh import structure_dvh
from dosecalc.cli.calc import calc
from dosecalc.errors import DosecalcError, InputError
from dosecalc.io.dicom import read_dataset, read_dose_file, read_structures
from dosecalc.records.record_file import RecordFile
from dosecalc.text import terminal_text
from dosecalc.workflow.batch.case_list import COLUMNS, Column, Job, read_list
from dosecalc.workflow.batch.night import Night, Row, run_night
from dosecalc.workflow.requests import DoseRequest

LIST_COLUMNS = (Column("engine", "--engine"), *COLUMNS)
OUTCOMES = {0: "done", 3: "refused", 70: "crashed", 130: "interrupted"}
FIGURES = (
    *("engine", "grid_mm", "mu", "fractions", "isocentre_gy", "maximum_gy"),
    *("target", "target_d95_gy", "target_d50_gy", "target_d2_gy", "cautions"),
    *("plan_sha256", "dose_sha256"),
)


def asked(job: Job) -> DoseRequest:
    """Read the words as the command itself will."""
    try:
        words = calc.make_context("calc", [str(job.folder), *job.words]).params
    except click.ClickException as error:
        raise InputError(error.format_message()) from None
    return DoseRequest.from_words(
        **{name: value for name, value in words.items() if name not in ("progress", "as_json")}
    )


def figures(job: Job, record: RecordFile) -> Row:
    """Take the numbers of a case from its record, and its target's from the dose."""
    run = record.run
    plan, dose = run["plan"], run["dose"]
    central = dose["at_isocentre"]
    return {
        "engine": run["engine"]["engine"],
        "grid_mm": run["grid"]["spacing_mm"][0],
        "mu": round(plan["mu_per_fraction"], 3),
        "fractions": plan["fractions"],
        "isocentre_gy": "" if central is None else round(central, 4),
        "maximum_gy": round(dose["maximum"], 4),
        "cautions": " | ".join(run["engine"].get("cautions", ())),
        "plan_sha256": used_file(record, "RTPLAN")["sha256"],
        "dose_sha256": record.outputs["RTDOSE.dcm"],
        **target_figures(job, record),
    }


def target_figures(job: Job, record: RecordFile) -> Row:
    """Read the target's doses, of all fractions, from the structures and the written dose."""
    target = job.cells.get("target")
    if not target:
        return {}
    structures = read_structures(read_dataset(job.folder / used_file(record, "RTSTRUCT")["name"]))
    dvh = structure_dvh(structures[target], read_dose_file(record.folder / "RTDOSE.dcm").dose)
    if not dvh.is_complete:
        share = dvh.outside_cm3 / dvh.total_cm3
        raise InputError(f"{share:.1%} of target {target!r} lies outside the dose grid")
    doses = {f"target_d{n}_gy": round(dvh.dose_at_volume(n), 4) for n in (95, 50, 2)}
    return {"target": target, **doses}


def used_file(record: RecordFile, kind: str) -> dict[str, Any]:
    """Return the plan or the structure set that was used, as the record states it."""
    for file in record.run["inputs"]:
        if file["used"] and file["kind"] == kind:
            return dict(file)
    raise InputError(f"there is no {kind} among the files used")


NIGHT = Night("calc", "run.json", OUTCOMES, FIGURES, figures, asked)


class Lines:
    """Prints a line for every case that has ended."""

    def begins(self, name: str) -> None:
        """Say nothing yet."""

    def stage(self, name: str, stage: str) -> None:
        """Say nothing of single stages."""

    def ended(self, name: str, said: str) -> None:
        """Say what came of the case."""
        print(terminal_text(said), file=sys.stderr)


def main() -> int:
    """Read the command line and the list, and run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("list", type=Path, help="CSV file, one case a line")
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--engine", help="for all cases, whatever the list says")
    parser.add_argument("--grid", help="voxels in mm, for all cases, whatever the list says")
    parser.add_argument("--force", action="store_true", help="calculate done cases again")
    try:
        words = parser.parse_args()
    except SystemExit as stop:
        return 3 if stop.code else 0
    common = {"engine": words.engine, "grid": words.grid}
    given = {name: value for name, value in common.items() if value}
    try:
        cases = read_list(words.list, LIST_COLUMNS, given, others=("target",))
        return run_night(NIGHT, cases, words.out, force=words.force, watcher=Lines())[0]
    except DosecalcError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
