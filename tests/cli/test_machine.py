"""Full disks, little memory, signals, and who may read what is written."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from dosecalc.cli import main as module
from dosecalc.cli._machine import (
    ended_by_signals,
    kept_private,
    let_group_read,
    refusal_of_machine,
)
from dosecalc.cli.main import CRASHED, REFUSED, main
from dosecalc.workflow.batch.process import group_may_read


def disk(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/data/out/RTDOSE.dcm")


def caused_by(cause: BaseException) -> RuntimeError:
    error = RuntimeError("saving failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (disk(errno.ENOSPC), "/data/out/RTDOSE.dcm: No space left on device; free space there"),
        (disk(errno.EDQUOT), "quota exceeded; free space there"),
        (disk(errno.EROFS), "Read-only file system; allow it"),
        (disk(errno.EIO), "the disk or the network drive has a fault"),
        (disk(errno.ENOMEM), "too little memory"),
        (MemoryError(), "too little memory for this calculation. Larger voxels"),
        (MemoryError("Unable to allocate 9 TiB"), r"too little memory .*\(Unable to allocate"),
        (caused_by(disk(errno.ENOSPC)), "No space left on device"),
    ],
)
def test_what_the_machine_lacks_is_a_refusal(monkeypatch, capsys, raised, said):
    def fail(**_):
        raise raised

    monkeypatch.setattr(module.info, "callback", fail)
    assert main(["info"]) == REFUSED
    err = capsys.readouterr().err
    assert err.startswith("refused: ")
    assert re.search(said, err)
    assert "Traceback" not in err


def test_an_array_without_memory_is_a_refusal():
    with pytest.raises(MemoryError) as caught:
        np.empty(2**57, np.float64)
    assert "Unable to allocate" in refusal_of_machine(caught.value)


@pytest.mark.parametrize("raised", [FileNotFoundError(errno.ENOENT, "no such file"), KeyError(1)])
def test_a_fault_stays_a_fault(monkeypatch, raised):
    def fail(**_):
        raise raised

    monkeypatch.setattr(module.info, "callback", fail)
    assert main(["info"]) == CRASHED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_nobody_takes_is_a_refusal():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dosecalc.cli.main", "info"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr.count("\n")) == (REFUSED, 1)
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_only_the_owner_reads_what_a_command_writes(tmp_path, mask):
    """Whatever the shell's mask is, and it is as before when the command has ended."""

    def modes(name):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("patient")
        found = (tmp_path / name, tmp_path / name / "file")
        return [stat.S_IMODE(one.stat().st_mode) for one in found]

    before = os.umask(mask)
    try:
        with kept_private():
            assert not group_may_read()
            assert modes("private") == [0o700, 0o600]
            let_group_read()
            assert group_may_read()
            assert modes("group") == [0o750, 0o640]
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_becomes_an_exit(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught, ended_by_signals():
        try:
            os.kill(os.getpid(), number)
        finally:
            # A second one does not keep the first from tidying up.
            os.kill(os.getpid(), number)
            tidied = True
    assert caught.value.code == 128 + number
    assert tidied
    assert signal.getsignal(number) == before


def test_signals_that_are_ignored_stay_ignored():
    """A command that nohup began goes on when the terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_command_line_runs_in_any_thread(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]
