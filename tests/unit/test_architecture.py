"""How the house is built, held by a machine: imports, sizes, and calls that no file may make."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "vla_train").rglob("*.py"))
LONGEST_FILE, MEDIAN_FILE, LONGEST_FUNCTION = 350, 150, 80

FORBIDDEN_IMPORTS = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
FORBIDDEN_CALLS = {  # each runs code that data names
    "eval": "builtin",
    "exec": "builtin",
    "torch.load": "reads pickles; use safetensors",
    "torch.save": "writes pickles; use safetensors",
    "yaml.load": "use yaml.safe_load",
    "yaml.unsafe_load": "use yaml.safe_load",
    "yaml.full_load": "use yaml.safe_load",
    "instantiate": "use config.resolve_target",
    "hydra.utils.instantiate": "use config.resolve_target",
    "os.system": "use subprocess with a list",
}


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def forbidden(source: str) -> list[str]:
    """What a source text imports or calls against the rules, with line numbers."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [
                f"{node.lineno}: import {alias.name}" for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_IMPORTS
            ]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_IMPORTS:
            found.append(f"{node.lineno}: from {node.module} import")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN_CALLS:
                found.append(f"{node.lineno}: {name}() ({FORBIDDEN_CALLS[name]})")
            if any(
                word.arg == "allow_pickle" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
                for word in node.keywords
            ):
                found.append(f"{node.lineno}: allow_pickle")
            if any(
                word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
                for word in node.keywords
            ):
                found.append(f"{node.lineno}: shell=True")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "torch.load(path)",
        "eval('1')",
        "yaml.load(text)",
        "np.load(f, allow_pickle=True)",
    ],
)
def test_the_search_finds_what_it_is_for(source):
    assert forbidden(source)


@pytest.mark.parametrize(
    "source", ["model.eval()", "np.load(f, allow_pickle=False)", "yaml.safe_load(text)", "safetensors.torch.load(b)"]
)
def test_the_search_leaves_the_rest_alone(source):
    assert not forbidden(source)


def test_no_file_runs_what_data_names():
    assert {str(file.relative_to(ROOT)): found for file in FILES if (found := forbidden(file.read_text(encoding="utf-8")))} == {}


def test_files_are_small():
    assert {file.name: lines(file) for file in FILES if lines(file) > LONGEST_FILE} == {}
    assert statistics.median(lines(file) for file in FILES if lines(file)) <= MEDIAN_FILE


def test_programs_are_under_40_lines():
    assert all(lines(ROOT / "vla_train" / "cli" / f"{name}.py") < 40 for name in ("train", "eval", "collect", "report", "data"))


def test_functions_are_short():
    long = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION:
                long[f"{file.name}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    assert long == {}


def test_no_file_is_a_drawer_for_everything():
    drawers = {"utils.py", "util.py", "helpers.py", "misc.py"}
    assert [str(file) for file in FILES if file.name in drawers] == []


def test_imports_point_one_way():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_imports_nothing_else():
    code = "import sys, vla_train; print({'torch', 'numpy', 'hydra'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
