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

_SAME_NAME: dict[str, dict[str, tuple[str, ...]]] = {
    "verify": {
        "analysis": ("gamma", "dvh", "difference", "pieces", "displacement"),
        "records": ("repeated_values", "reproduction"),
        "verification": (
            *("verification", "tolerances", "answers", "comparison", "convention", "where"),
            *("beside_patient", "rows"),
        ),
    },
    "report": {"records": ("decisions", "one_writer", "record", "record_file", "result", "seal")},
}
MOVED = {
    "cli._phantom_case": "planning.demo_patient",
    "dicom": "io.dicom",
    "engines.cone_kernels": "engines.collapsed_cone.kernels",
    "engines.cone_lattice": "engines.collapsed_cone.lattice",
    "engines.cone_primary": "engines.collapsed_cone.primary",
    "engines.cone_release": "engines.collapsed_cone.release",
    "engines.cone_scatter": "engines.collapsed_cone.scatter",
    "engines.influence": "engines.pencil_beam.influence",
    "engines.influence_matrix": "engines.pencil_beam.influence_matrix",
    "engines.mc_tables": "engines.monte_carlo.tables",
    "engines.pencil_convolution": "engines.pencil_beam.convolution",
    "engines.pencil_scene": "engines.pencil_beam.scene",
    "engines.pencil_tables": "engines.pencil_beam.tables",
    "engines.sectors": "engines.collapsed_cone.sectors",
    "report.verification_json": "verification.as_values",
    "verify.agreement": "validation.agreement",
    "verify.beam_causes": "verification.beam_fit.causes",
    "verify.beam_fit": "verification.beam_fit.fit",
    "verify.beam_hits": "verification.checks.beam_geometry",
    "verify.beam_moves": "verification.beam_fit.moves",
    "verify.evidence": "verification.inputs",
    "verify.foreign": "io.dose_files",
    "verify.indices": "analysis.metrics",
    "verify.judgement": "verification.evaluate",
    "verify.mu_check": "verification.mu_check.check",
    "verify.mu_fluence": "verification.mu_check.fluence",
    "verify.mu_geometry": "verification.mu_check.geometry",
    "verify.outcome": "messages.findings",
    "verify.reference": "validation.cases",
    "verify.rules": "verification.checks.distribution",
    "verify.rules_fit": "verification.checks.beam_fit",
    "verify.rules_inputs": "verification.checks.inputs",
    "verify.rules_local": "verification.checks.local_differences",
    "verify.rules_plan": "verification.checks.plan",
    "verify.rules_reference": "verification.checks.reference",
    "verify.rules_structures": "verification.checks.structures",
    "verify.template": "verification.goals",
} | {
    f"{old}.{name}": f"{new}.{name}"
    for old, places in _SAME_NAME.items()
    for new, names in places.items()
    for name in names
}
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
