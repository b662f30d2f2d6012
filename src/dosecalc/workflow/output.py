"""Output folders and files that are there completely or not at all."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dosecalc.errors import InputError
from dosecalc.records.decisions import DECISIONS_FILE, DECISIONS_LOCK, DECISIONS_NEW
from dosecalc.records.one_writer import one_writer

__all__ = [
    "PARTIAL",
    "check_file",
    "check_output",
    "lock_of",
    "output_folder",
    "refuse_over_inputs",
    "swap",
    "write_file",
]

# What the commands write at the top of an output folder; anything else is somebody's own.
_OURS = frozenset(
    {
        "run.json", "picture.png", "dose.npz", "RTDOSE.dcm", "report.html", "report.pdf",
        "verification.json", "reproduction.json", DECISIONS_LOCK, DECISIONS_NEW,
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
def output_folder(out: Path, *, force: bool, private: bool = False) -> Iterator[Path]:
    """Give a temporary folder to write to, which becomes `out` if all goes well.

    Whatever fails on the way, `out` stays as it was and the temporary folder is removed. What a
    run left that was killed is removed by the next one, or put back where it was. With `private`
    only the owner enters the folder, whatever the umask.

    Raises
    ------
    InputError
        See `check_output`; another command writes there; or the place cannot be written to.
    """
    check_output(out, force=force)
    place = out.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
    new, old = _beside(place, "new"), _beside(place, "old")
    held = (
        f"another command is writing {out}; wait until it has ended, or name another folder with "
        "--out"
    )
    with one_writer(lock_of(place), held):
        _tidy(place, new, old)
        check_output(out, force=force)
        try:
            new.mkdir(mode=0o700)
        except OSError as error:
            raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
        try:
            yield new
            if not private:
                mask = os.umask(0)
                os.umask(mask)
                new.chmod(0o777 & ~mask)
            # Somebody may have signed what was there while this one calculated.
            check_output(out, force=force)
            _replace(place, new, old)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def lock_of(out: Path) -> Path:
    """Return the lock that a command holds while it writes an output folder."""
    return _beside(out, "lock")


def _beside(place: Path, what: str) -> Path:
    return place.with_name(f".{place.name}.dosecalc-{what}")


def _tidy(place: Path, new: Path, old: Path) -> None:
    """Put back what a killed run had taken out of the way, and remove what it left."""
    if old.exists() and not place.exists():
        old.rename(place)
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)


def _replace(place: Path, new: Path, old: Path) -> None:
    """Put `new` where `place` is; what was there is removed last.

    Afterwards `new` is gone, or is what was there.
    """
    if not place.exists():
        new.rename(place)
        return
    if swap(new, place):
        return
    place.rename(old)
    try:
        new.rename(place)
    except BaseException:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def swap(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, so that neither name is ever missing; tell whether it did.

    Linux can, on file systems that have it; Python has no function for it.
    """
    if not sys.platform.startswith("linux"):
        return False
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    if exchange is None:
        return False
    here, at_once = ctypes.c_int(-100), ctypes.c_uint(2)
    return bool(exchange(here, os.fsencode(one), here, os.fsencode(other), at_once) == 0)


def check_file(path: Path | None, *, force: bool) -> None:
    """Refuse a file to write that is there already, before anything is calculated."""
    if path is not None and path.exists() and not force:
        raise InputError(f"{path} exists already; name another file, or say --force to replace it")


def write_file(path: Path, content: bytes) -> None:
    """Write a file completely or not at all.

    Raises
    ------
    InputError
        The place cannot be written to.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.resolve().parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
