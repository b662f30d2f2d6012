"""Modules under the names they had in earlier versions: scripts written then still run.

An old name gives the module itself, not a copy of it, and a `DeprecationWarning`. To be removed
with version 0.3.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED", "find_moved"]

_VERIFY = {
    "analysis": ("gamma", "dvh", "difference", "pieces", "displacement"),
    "records": ("repeated_values", "reproduction"),
    "verification": (
        *("verification", "tolerances", "answers", "comparison", "convention", "where"),
        *("beside_patient", "rows"),
    ),
}
MOVED = {
    "cli._phantom_case": "planning.demo_patient",
    "dicom": "io.dicom",
    "engines.cone_lattice": "engines.collapsed_cone.lattice",
    "engines.influence": "engines.pencil_beam.influence",
    "engines.influence_matrix": "engines.pencil_beam.influence_matrix",
    "engines.mc_tables": "engines.monte_carlo.tables",
    "verify.agreement": "validation.agreement",
    "verify.beam_fit": "verification.beam_fit.fit",
    "verify.evidence": "verification.inputs",
    "verify.foreign": "io.dose_files",
    "verify.indices": "analysis.metrics",
    "verify.judgement": "verification.evaluate",
    "verify.mu_check": "verification.mu_check.check",
    "verify.outcome": "messages.findings",
    "verify.reference": "validation.cases",
    "verify.template": "verification.goals",
    "report.decisions": "records.decisions",
    "report.record": "records.record",
    "report.record_file": "records.record_file",
    "report.result": "records.result",
    "report.seal": "records.seal",
} | {f"verify.{name}": f"{place}.{name}" for place, names in _VERIFY.items() for name in names}
# Where Python looks for the modules of an old package.
_PARENTS = {"verify": "verification"}
_ROOT = __name__.partition(".")[0]


class _Finder(MetaPathFinder):
    """Finds a moved module by its old name, before Python loads its file a second time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, old = fullname.partition(".")
        new = _new_name(old) if root == _ROOT else None
        return None if new is None else ModuleSpec(fullname, _Loader(f"{_ROOT}.{new}"))


class _Loader(Loader):
    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        # The old package's name is now that of a function, which its import has covered.
        vars(sys.modules[_ROOT]).pop("verify", None)
        said = f"{spec.name} is now {self.name}; the old name goes with version 0.3"
        warnings.warn(said, DeprecationWarning, stacklevel=6)
        module = import_module(self.name)
        self.own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Python put the old name's in its place.
        module.__spec__ = self.own


def _new_name(old: str) -> str | None:
    if old in MOVED or old in _PARENTS:
        return MOVED.get(old) or _PARENTS[old]
    package, _, rest = old.partition(".")
    return f"{MOVED[package]}.{rest}" if package == "dicom" and rest else None


def find_moved() -> None:
    """Let old names of modules be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
