"""Verify a list of plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dosecalc.cli.verify_list import read_cases, run_list

__all__ = ["verify_batch"]


def verify_batch(
    cases: Path | str, out: Path | str, *, force: bool = False, **common: str
) -> tuple[dict[str, Any], ...]:
    r"""Verify the plans of a list one after the other, each in a process of its own.

    What is refused or crashes is a line of the table and does not stop the others. Called again,
    cases are left alone that were done with the same options, files and version.

    Parameters
    ----------
    cases : Path or str
        CSV file with a line per case: `folder`, `case`, and options of ``dosecalc verify`` such as
        `machine` and `hu_curve` (see ``dosecalc verify-list --help``).
    out : Path or str
        Folder of the results: a folder per case with its reports and record, and summary.csv.
    force : bool
        Verify cases again that are done.
    **common : str
        Cells that hold for all cases, whatever the list says.

    Returns
    -------
    tuple of dict
        The lines of summary.csv in the order of the list: `case`, `outcome` ("PASS", "REVIEW",
        "FAIL", "REFUSED", "CRASHED"), `gamma_percent`, `finding`, `error` and others.

    Raises
    ------
    InputError
        The list cannot be read, a column is not known, or the folder cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import dosecalc as dc
    >>> _ = Path("cases.csv").write_text("case,folder\nfirst,no-such-folder\n")
    >>> [row] = dc.verify_batch("cases.csv", "night/", machine="6X=generic-6mv",
    ...                         hu_curve="generic-120kvp")
    >>> row["case"], row["outcome"]
    ('first', 'REFUSED')
    """
    jobs = read_cases(Path(cases), common)
    _, rows = run_list(jobs, Path(out), force=force)
    return tuple({"case": job.name} | dict(rows[job.name]) for job in jobs.jobs)
