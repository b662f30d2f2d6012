"""What refusals advise can be done: every option that a message names is one of the command's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

import dosecalc
from dosecalc.cli.main import dosecalc as cli

ROOT = Path(dosecalc.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z0-9][a-z0-9-]*")
# Arguments of functions, which no command has: "body='none'", "slice_thickness_ok".
PYTHON = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b|\b[a-z]+=(?=['\"(.])")

FOLDER = ("info", "calc", "verify", "verify-list")
CASE = ("calc", "verify", "verify-list")
VERIFY = ("verify", "verify-list")
DOSES = ("gamma", "compare", "dvh")

# Which commands a module's refusals reach: all of them must have the options it names.
REACHED = {
    "io/dicom": FOLDER,
    "beam": CASE,
    "patient": CASE,
    "engines": CASE,
    "data": CASE,
    "verification/checks/inputs.py": VERIFY,
    "io/dose_files.py": (*DOSES, *VERIFY),
    "records/decisions.py": ("sign",),
    "workflow/calculate.py": ("calc",),
    "cli/_case_options.py": CASE,
    "cli/_dose_options.py": DOSES,
    "workflow/batch/process.py": ("verify-list",),
    "workflow/doses.py": DOSES,
    "workflow/examine.py": VERIFY,
    "workflow/beam_hits.py": ("calc",),
    "workflow/find_inputs.py": ("reproduce",),
    "workflow/machines.py": CASE,
    "workflow/batch/night.py": ("verify-list",),
    "workflow/requests.py": CASE,
    "workflow/request_parts.py": CASE,
    "workflow/output.py": ("calc", "verify"),
    "workflow/prepare.py": CASE,
    "workflow/reference.py": VERIFY,
    "workflow/reproduce.py": ("reproduce",),
}

# Options that only some of a shared module's commands have, and why no other command says them.
ONLY = {
    ("workflow/batch/night.py", "--progress"): ("verify",),
    ("cli/_dose_options.py", "--pass"): ("gamma", "compare"),
    ("cli/_dose_options.py", "--fail"): ("gamma", "compare"),
    # Check that a path is free to write, given by commands that write.
    ("workflow/output.py", "--force"): ("gamma", "dvh"),
    # What the demo prints to try next, and what the night calls.
    ("cli/demo.py", "--machine"): ("calc", "verify"),
    ("cli/demo.py", "--hu-curve"): ("calc", "verify"),
    ("cli/demo.py", "--engine"): ("calc",),
    ("cli/demo.py", "--reference"): ("verify",),
    # Checks a value of that option, of the commands that read structures.
    ("workflow/doses.py", "--plane-spacing"): ("compare", "dvh", *CASE),
    # Of one engine or the other: verify and verify-list have --engines.
    ("workflow/request_parts.py", "--engine"): ("calc",),
}


def commands() -> dict[str, set[str]]:
    return {
        name: {word for one in command.params for word in (*one.opts, *one.secondary_opts)}
        for name, command in cli.commands.items()
        if isinstance(command, click.Command)
    }


def literals(path: Path) -> list[tuple[int, str]]:
    """Strings of a module but for docstrings, and for what declares options and columns."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("click.option", "Column"):
            skipped |= {one for one in node.args if isinstance(one, ast.Constant)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped
    ]


def modules() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def reached(module: str) -> tuple[str, ...]:
    own = module.removeprefix("cli/").removesuffix(".py").replace("_", "-")
    if module.startswith("cli/") and own in commands():
        return (own,)
    return REACHED.get(module) or REACHED.get(module.rpartition("/")[0]) or ()


def test_every_option_that_a_message_names_exists_where_it_is_said() -> None:
    known, wrong, seen = commands(), [], 0
    for module in modules():
        if module == "cli/main.py":
            continue  # declares the words that ask for help
        for line, text in literals(ROOT / module):
            for word in OPTION.findall(text):
                seen += 1
                who = ONLY.get((module, word)) or reached(module)
                lacking = [name for name in who if word not in known[name]]
                if not who:
                    wrong.append(f"{module}:{line}: {word}: put into REACHED who can say this")
                elif lacking:
                    wrong.append(f"{module}:{line}: {word}: not of {', '.join(lacking)}")
    assert not wrong, "\n".join(wrong)
    assert seen > 60


@pytest.mark.parametrize("package", ["io/dicom", "patient", "workflow", "cli", "beam"])
def test_no_refusal_of_a_command_speaks_python(package: str) -> None:
    """Library errors that a command shows name its options, not arguments of functions."""
    # NumPy's own name; pixels that no command sets; a key of the record's file.
    allowed = ("savez_compressed", "pixel_mm", "machine_models")
    wrong = []
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Raise) or node.exc is None:
                continue
            for part in ast.walk(node.exc):
                if not (isinstance(part, ast.Constant) and isinstance(part.value, str)):
                    continue
                words = [w for w in PYTHON.findall(part.value) if w not in allowed]
                # Writers are called from Python alone.
                if words and "writer" not in path.name and path.name != "_writing.py":
                    wrong.append(f"{path.name}:{part.lineno}: {words}")
    assert not wrong, "\n".join(wrong)
