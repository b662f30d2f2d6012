"""Pages that are made from the package when the site is built: API and validation tables."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from sphinx.errors import ExtensionError

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ("collapsed-cone", "pencil-beam")

# What people import for their work beside `dosecalc` itself.
MODULES = {
    "dosecalc.planning": "Cases, plans, objectives and doses for scripts",
    "dosecalc.model": "The types that everything speaks",
    "dosecalc.io.dicom": "DICOM files to and from these types",
    "dosecalc.patient.recipe": "Phantoms of solids, with a source or a machine",
    "dosecalc.engines.collapsed_cone": "Collapsed cone",
    "dosecalc.engines.pencil_beam": "Pencil beam",
    "dosecalc.engines.monte_carlo": "Monte Carlo",
    "dosecalc.engines.pencil_beam.influence": "Dose of beamlets",
    "dosecalc.analysis.gamma": "Gamma index",
    "dosecalc.analysis.dvh": "Dose-volume histograms",
    "dosecalc.verification.mu_check.check": "Independent check of monitor units",
    "dosecalc.errors": "Errors",
}


API_HEAD = """\
# API

Lengths are in mm, densities in g/cm3, doses in Gy, energies in MeV, angles in degrees (IEC 61217),
positions in the patient frame of DICOM (LPS); arrays have the axes [z, y, x]. Values are frozen,
their arrays read-only. What is wrong with an input is a `DosecalcError` that says where, which
value and what to do.

"""


def write(path: Path, text: str) -> None:
    """Write a page if it changed, so that only what changed is built again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def command(*words: str) -> str:
    """Return what a command of dosecalc prints, or end the build with its message."""
    start = (sys.executable, "-c", "from dosecalc.cli.main import main; main()")
    done = subprocess.run((*start, *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExtensionError(f"dosecalc {' '.join(words)}: {done.stderr}{done.stdout}")
    return done.stdout


# -- the API ------------------------------------------------------------------------------------


def documented(module: str) -> list[str]:
    """Return the public names of a module that have something to document."""
    found = importlib.import_module(module)
    names = [name for name in getattr(found, "__all__", ()) if not name.startswith("_")]
    objects = {name: getattr(found, name) for name in names}
    return [n for n, o in objects.items() if inspect.isroutine(o) or inspect.isclass(o)]


def listed(module: str) -> list[str]:
    """Return the names of a module that the API page lists: those of `dosecalc` stand there."""
    if module != "dosecalc" and module not in MODULES:
        return []
    first = () if module == "dosecalc" else documented("dosecalc")
    return [name for name in documented(module) if name not in first]


def listing(module: str) -> str:
    """Return the table of a module's names, each with a page of its own."""
    head = (
        "```{eval-rst}",
        f".. currentmodule:: {module}",
        "",
        ".. autosummary::",
        "   :toctree: api",
        "   :nosignatures:",
        "",
    )
    return "\n".join((*head, *(f"   {name}" for name in listed(module)), "```\n"))


def api_page() -> str:
    """Return the page of the API: what `dosecalc` offers, then what lies in its modules."""
    parts = [API_HEAD]
    if documented("dosecalc"):
        parts.append(f"## `import dosecalc as dc`\n\n{listing('dosecalc')}")
    for module, title in MODULES.items():
        if listed(module):
            parts.append(f"## {title}\n\n`{module}`\n\n{listing(module)}")
    return "\n".join(parts)


# -- validation ---------------------------------------------------------------------------------


def sources_hash() -> str:
    """Return a hash of all that decides what the validation says."""
    digest = hashlib.sha256()
    folders = (ROOT / "src", ROOT / "kernels", ROOT / "phantoms")
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        if "__pycache__" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def validated(engine: str, kept: Path) -> dict[str, Any]:
    """Return what `dosecalc validate --json` says of an engine, calculated once per sources."""
    path = kept / f"{engine}-{sources_hash()}.json"
    if not path.exists():
        write(path, command("validate", "--engine", engine, "--json", "--no-progress"))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def agreement_rows(done: dict[str, Any]) -> str:
    """Return the table of one engine: what is asked, what was found."""
    lines = [
        "| case | axis: mean | largest | beyond 2 sigma | asked | gamma asked | passing |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in done["cases"]:
        a, asked = one["agreement"], one["tolerance"]
        lines.append(
            f"| {one['case'].replace('_', ' ')} | {a['axis_mean_percent']:+.2f} "
            f"| {a['axis_largest_percent']:.2f} at {a['axis_largest_depth_mm']:g} mm "
            f"| {a['axis_beyond_noise_percent']:.2f} | {asked['axis_percent']:g} "
            f"| {asked['gamma_percent']:g} %/{asked['gamma_mm']:g} mm, "
            f"{asked['gamma_share_percent']:g} % "
            f"| {a['gamma_beyond_noise_share_percent']:.2f} % of {a['gamma_points']} |"
        )
    return "\n".join(lines)


def shortened(text: str) -> str:
    """Return a text with the hashes in it cut to eight digits."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{32}\b", r"\1", text)


def reference_table(cases: list[dict[str, Any]]) -> str:
    """Return the table of the reference data, with where they come from."""
    lines = ["| case | what | recipe | source | histories | SHA-256 |", "|---|---|---|---|---|---|"]
    for one in cases:
        about = one["reference"]
        histories = about.get("histories")
        lines.append(
            f"| {one['case'].split('_')[0]} | {about['description']} | `{one['recipe']}` "
            f"| {shortened(about['source'])} | {f'{histories:,}' if histories else 'not stated'} "
            f"| `{about['sha256'][:12]}` |"
        )
    return "\n".join(lines)


def reference_figure(path: Path) -> None:
    """Draw the reference curves that are shipped: along the axis, and across the beam."""
    from dosecalc.validation.cases import CASES, load_extract

    mpl.use("Agg")
    plt.rcParams.update({"svg.hashsalt": "dosecalc", "font.size": 9})
    figure, (along, across) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for short, case in CASES.items():
        extract = load_extract(case.name)
        depth = (extract.depth_edges[1:] + extract.depth_edges[:-1]) / 2
        place = (extract.cross_edges[1:] + extract.cross_edges[:-1]) / 2
        along.plot(depth, 100 * extract.axis / extract.maximum, label=case.name.replace("_", " "))
        across.plot(place, 100 * extract.profiles[1] / extract.maximum, label=short)
    along.set(xlabel="depth, mm", ylabel="% of the maximum on the axis", xlim=(0, 300))
    across.set(xlabel="across the beam, mm", xlim=(-100, 100), title="second of five profiles")
    along.set_title("along the axis")
    along.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def validation_page(kept: Path) -> str:
    """Return the tables of all engines that are calculated when the site is built."""
    parts = []
    for engine in ENGINES:
        done = validated(engine, kept)
        parts.append(f"### {engine.replace('-', ' ').capitalize()}\n\n{agreement_rows(done)}\n")
        if cautions := sorted({c for one in done["cases"] for c in one["cautions"]}):
            parts.append("The engine says of these cases:\n")
            parts.append("\n".join(f"- {caution}" for caution in cautions) + "\n")
    references = reference_table(validated(ENGINES[0], kept)["cases"])
    return f"## Reference data\n\n{references}\n\n## Agreement\n\n" + "\n".join(parts)


def generate(app: Sphinx, _: Config) -> None:
    """Write the generated parts before any page is read."""
    source = Path(app.srcdir)
    place = source / "_generated"
    write(source / "api.md", api_page())
    # Pages of names that are gone.
    for stub in (source / "api").glob("*.rst"):
        module, _, name = stub.stem.rpartition(".")
        if name not in listed(module):
            stub.unlink()
    write(place / "validation-tables.md", validation_page(Path(app.outdir).parent / "validation"))
    reference_figure(place / "reference-curves.svg")
    # The patient of all notebooks, which run at the same time.
    demo = source / "notebooks" / "demo"
    if not demo.exists():
        command("demo", "--out", str(demo), "--grid", "6", "--no-progress")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the generators."""
    # Before Sphinx looks for pages.
    app.connect("config-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
