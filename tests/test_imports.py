"""Who may import whom (docs/design.md, "Layout")."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "librosa", "scipy", "sklearn", "pandas"}
FORBIDDEN = {
    "gate": {"realtime", "training", "benchmarks", "models"},
    "realtime": {"training", "benchmarks", *HEAVY},
    "realtime/batch": {"realtime.live", "realtime.page", "sounddevice"},
    "realtime/files": {"realtime.live", "realtime.page", "sounddevice"},
    "realtime/learn": {"realtime.live", "realtime.page", "sounddevice"},
    "training/corpus": {"training.voice", "training.audioset", "training.adapt", "benchmarks",
                        "realtime.live", "sounddevice", *HEAVY},
    "training": {"benchmarks", "realtime.live", "sounddevice"},
}  # fmt: skip
"""Package -> what is above it, or too heavy for it."""
PACKAGES = ("gate", "realtime", "training", "benchmarks")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(package):
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"no modules in {package}"
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_keep_to_their_side(package):
    for path in modules(package):
        for name in imported(path):
            parts = name.split(".")
            bad = {".".join(parts[:n]) for n in (1, 2)} & FORBIDDEN[package]
            assert not bad, f"{path.relative_to(ROOT)} imports {name}"


def test_no_import_runs_round():
    """Nothing needs what needs it, imports inside functions included."""
    paths = {}
    for package in PACKAGES:
        for path in modules(package):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            paths[name.removesuffix(".__init__")] = path
    left = {name: (set(imported(path)) & set(paths)) - {name} for name, path in paths.items()}
    for name, needs in left.items():  # a package stands for itself only where nothing else does
        needs -= {n for n in needs if any(other.startswith(n + ".") for other in needs)}
        needs -= {name.rpartition(".")[0]}
    while free := {name for name, needs in left.items() if not needs & set(left)}:
        for name in free:
            del left[name]
    assert not left, "\n".join(f"{n} -> {sorted(needs & set(left))}" for n, needs in left.items())


def test_gate_imports_numpy_and_the_standard_library_only():
    allowed = set(sys.stdlib_module_names) | {"numpy", "gate"}
    for path in modules("gate"):
        for name in imported(path):
            assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize(
    "statement",
    [
        "import realtime; realtime.open_gate(sample_rate=48000).process("
        "__import__('numpy').zeros((100, 1), 'f4'))",
        "import realtime.batch.cli, realtime.batch.gate_file, realtime.files; "
        "realtime.batch.cli.build_parser()",
    ],
)
def test_the_player_loads_nothing_heavy(statement):
    code = (
        f"{statement}; import sys; heavy = {{'torch', 'librosa', 'matplotlib', 'scipy', 'numba', "
        "'sklearn', 'rich'}; print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "[]", out.stdout + out.stderr


# Whoever else takes a piece of the path, and which: many microphones, what is shown of a decision,
# and peers' decisions through our envelope.
PIECES = {
    "realtime/bank.py": {"gate.lane"},
    "realtime/native_gate.py": {"gate.control"},  # the reasons' labels
    "realtime/live/shared_state.py": {"gate.control"},
    "realtime/live/marks.py": {"gate.control"},
    "benchmarks/quality/decisions.py": {"gate.control", "gate.envelope"},
}


def test_only_the_gate_decides_and_applies_a_gain():
    """One code path: nobody else builds lanes, decides by a threshold hop by hop, or smooths."""
    for package in ("realtime", "training", "benchmarks"):
        for path in modules(package):
            name = path.relative_to(ROOT).as_posix()
            taken = {"gate.lane", "gate.control", "gate.envelope"} & set(imported(path))
            assert taken <= PIECES.get(name, set()), name
            for loop in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(loop, ast.For | ast.While):
                    words = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(loop)}
                    decides = any("hysteresis" in word for word in words)
                    compares = any(isinstance(n, ast.Compare) for n in ast.walk(loop))
                    assert not (decides and compares), f"{name}:{loop.lineno} looks like a gate"


@pytest.mark.parametrize("command", ["batch", "learn", "live"])
def test_commands_take_one_thread_and_programs_keep_theirs(command):
    code = (
        "import os, sys, realtime\n"
        "assert 'numpy' not in sys.modules\n"
        f"import realtime.{command}.cli\n"
        "assert os.environ['OPENBLAS_NUM_THREADS'] == '1', os.environ\n"
    )
    own = "import os, realtime; realtime.open_gate; assert 'OPENBLAS_NUM_THREADS' not in os.environ"
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    for text in (code, own):
        subprocess.run([sys.executable, "-c", text], check=True, env=environment, cwd=ROOT)


def test_a_folder_of_the_user_s_called_models_is_not_taken_for_ours(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise RuntimeError('the user's')")
    code = "import realtime; print(realtime.open_gate(sample_rate=48000).detector.info.name)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert found.stdout.strip() == "voice", found.stderr


def test_onnx_files_are_opened_in_one_place():
    for package in PACKAGES:
        for path in modules(package):
            opens = "InferenceSession(" in path.read_text(encoding="utf-8")
            assert opens == (path.name == "onnx_session.py"), path


def test_no_file_is_over_400_lines():
    folders = (*PACKAGES, "plugin", "tests", "tools", "examples")
    found = [
        p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in (".py", ".cpp", ".hpp")
    ]
    assert len(found) > 200
    long = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in found}
    assert not {name: lines for name, lines in long.items() if lines > 400}
