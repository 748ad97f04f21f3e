"""What the pages say can be run: every Python and shell example that needs no device."""

import argparse
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import benchmarks.cli
import gate
import realtime.batch.cli
import realtime.learn.cli
import realtime.live.cli
import training.cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SETUP = {"python3", "pip", "sudo", "brew", "make", "systemctl", "dask", "cp", "ssh", ".ci/run"}
"""Commands of the system, which are not ours to run."""
RUN = ("gate-batch", "gate-learn")
"""Ours, run for real on files that have the names in the examples; others only have to parse."""


def blocks(language):
    """Fenced blocks of a language: (page, text)."""
    found = []
    for page in PAGES:
        for text in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S):
            found.append(pytest.param(text, id=f"{page.stem}-{len(found)}"))
    return found


def commands():
    """Every command line of every shell block, without comments; `&&` parts it."""
    found = []
    for block in blocks("sh"):
        for line in block.values[0].replace("\\\n", " ").splitlines():
            for words in re.split(r"\s&&\s", line):
                words = shlex.split(words, comments=True)
                if words:
                    found.append(pytest.param(words, id=f"{block.id} {' '.join(words)}"[:90]))
    return found


@pytest.mark.parametrize("text", blocks("python"))
def test_python_examples_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "example", "exec"), {})


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the files that the examples name."""
    rng = np.random.default_rng(0)
    (tmp_path / "takes").mkdir()
    for name in ("talk.wav", "takes/one.wav", "takes/two.wav"):
        soundfile.write(tmp_path / name, 0.01 * rng.standard_normal(9600), 48000)
    (tmp_path / "words.txt").write_text("0.05\t0.15\tword\n")
    shutil.copytree(ROOT / "models" / "sample", tmp_path / "models" / "sample")
    monkeypatch.chdir(tmp_path)


def parser_of(name, arguments):
    """The command's own parser."""
    if name == "gate-train":
        return training.cli.build_parser(arguments[0])[0]
    modules = {"gate-batch": realtime.batch.cli, "gate-learn": realtime.learn.cli,
               "gate-live": realtime.live.cli, "gate-bench": benchmarks.cli}  # fmt: skip
    return modules[name].build_parser()


@pytest.mark.parametrize("words", commands())
def test_shell_examples_run_or_parse(words, here):
    words = words[words[0] == "pw-jack" :]
    name = Path(words[0]).name if words[0].startswith(".venv") else words[0]
    if name in SETUP or name in ("python", "ruff", "mypy"):
        return
    assert name.startswith("gate-"), f"{name} is neither ours nor known"
    if name == "gate-learn" and words[1].startswith("-"):
        words.insert(1, "teach")  # as its main does
    try:
        parsed = parser_of(name, words[1:]).parse_args(words[1:])
    except SystemExit as end:
        raise AssertionError(f"{shlex.join(words)} does not parse") from end
    assert isinstance(parsed, argparse.Namespace)
    if name in RUN and "--backend" not in words and "archive/" not in words:
        module = realtime.batch.cli if name == "gate-batch" else realtime.learn.cli
        if "--profile" in words and not Path("snare.gate.yaml").exists():
            learn = "--open models/sample/snare.ogg --shut models/sample/hihat.ogg"
            assert realtime.learn.cli.main([*learn.split(), "-o", "snare.gate.yaml"]) == 0
        drawn = "--sample" in words  # one picture is enough: they take their time
        assert module.main([w for w in words[1:] if drawn or w != "--plot"]) == 0


def test_links_lead_somewhere():
    for page in [*PAGES, ROOT / "examples" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_map_names_every_file_of_the_gate():
    files = {path.name for path in (ROOT / "gate").glob("*.py")} - {"__init__.py"}
    assert files == set(re.findall(r"\b\w+\.py\b", gate.__doc__))


def test_the_changelog_has_a_section_for_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(\d.*?)\]", changelog, re.M)[0] == gate.__version__
