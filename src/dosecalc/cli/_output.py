"""Output folders that are there completely or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dosecalc.errors import InputError
from dosecalc.report.decisions import DECISIONS_FILE

__all__ = ["PARTIAL", "check_output", "output_folder", "refuse_over_inputs"]

# What the commands write at the top of an output folder; anything else is somebody's own.
_OURS = frozenset(
    {
        "run.json", "picture.png", "dose.npz", "RTDOSE.dcm", "report.html", "report.pdf",
        "verification.json", "reproduction.json",
    }
)  # fmt: skip
# What `dosecalc demo` writes besides, which is ours only where all of it is there.
_DEMO = ("patient", "dose")

PARTIAL = ".partial"
"""End of the names of reports until all of them are written: a killed run leaves no verdict."""


def refuse_over_inputs(out: Path, patient: Path, inputs: Iterable[Path | str | None] = ()) -> None:
    """Refuse an output folder that lies in the patient's, or that holds anything that is read.

    Parameters
    ----------
    out : Path
    patient : Path
        Patient folder or recipe.
    inputs : paths
        Other files named by options; what is no existing file (a name, None) is passed over.

    Raises
    ------
    InputError
        See above.
    """
    place = out.resolve()
    if patient.is_dir() and place.is_relative_to(patient.resolve()):
        raise InputError(
            f"{out} lies in the patient folder, so the next run would read it as input; "
            "name another folder with --out"
        )
    for one in (patient, *(Path(path) for path in inputs if path is not None)):
        if one.exists() and one.resolve().is_relative_to(place):
            raise InputError(
                f"{out} holds {one}, which is read: it would be replaced; name another folder "
                "with --out"
            )


def check_output(out: Path, *, force: bool) -> None:
    """Refuse an output folder that cannot be written, before anything is calculated.

    Raises
    ------
    InputError
        It is a file; it holds something and `force` is not set; or, whatever `force` is, it
        holds decisions, or files that no command of this program writes.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file; name a folder with --out")
    there = sorted(p.name for p in out.iterdir())
    if not there:
        return
    signed = [*out.glob(DECISIONS_FILE), *out.glob(f"*/{DECISIONS_FILE}")]
    if signed:
        raise InputError(
            f"{signed[0]} holds decisions of named persons on what lies beside it, which is "
            "therefore never replaced; name another folder with --out"
        )
    if not force:
        raise InputError(
            f"{out} already holds {', '.join(there[:4])}; name another folder with --out, or "
            "say --force to replace what is there"
        )
    demo = _DEMO if (out / "dose" / "run.json").is_file() else ()
    foreign = [name for name in there if name not in (*_OURS, *demo)]
    if foreign:
        raise InputError(
            f"{out} holds files this program did not write ({', '.join(foreign[:4])}); it is not "
            "replaced, name another folder with --out"
        )


@contextmanager
def output_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary folder to write to, which becomes `out` if all goes well.

    Whatever fails on the way, `out` stays as it was and the temporary folder is removed.

    Raises
    ------
    InputError
        See `check_output`; or the place cannot be written to.
    """
    check_output(out, force=force)
    place = out.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
    try:
        yield temporary
        # mkdtemp makes folders that only their owner may read; let the usual mask decide.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        # Somebody may have signed what was there while this one calculated.
        check_output(out, force=force)
        _replace(place, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(place: Path, new: Path) -> None:
    """Put `new` where `place` is; what was there is removed last."""
    if not place.exists():
        new.rename(place)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{place.name}.old.", dir=place.parent))
    place.rename(old / place.name)
    try:
        new.rename(place)
    except OSError:
        (old / place.name).rename(place)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
