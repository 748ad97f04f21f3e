import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from refusals import one_line

from gate.errors import ConfigError
from realtime.config import SECTIONS, Config, load_config, parse_config

SHIPPED = Path(__file__).parents[2] / "config.yaml"


def test_the_shipped_file_holds_every_setting_at_its_default():
    assert load_config(SHIPPED) == Config()
    tree = yaml.safe_load(SHIPPED.read_text())
    assert list(tree) == list(SECTIONS)
    for name, kind in SECTIONS.items():
        assert set(tree[name]) == {f.name for f in fields(kind)}, name


def test_every_setting_is_commented():
    text = SHIPPED.read_text()
    for name, kind in SECTIONS.items():
        section = re.search(rf"^{name}:.*\n((?:[ \t].*\n|\n)*)", text, re.M)[1]
        for f in fields(kind):
            (line,) = re.findall(rf"^  {f.name}:.*$", section, re.M)
            assert "#" in line, f"{name}: {f.name}"


def test_no_file_and_an_empty_file_are_the_defaults():
    assert load_config() == parse_config("", "x") == parse_config("gate:\n", "x") == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gate: {threshold_db: 5}", r"^c.yaml: threshold_db=5 must be from -100 to 0$"),
        ("gate: {treshold_db: -5}", r"^c.yaml: gate: unknown setting 'treshold_db'; did you mean"),
        ("gats: {}", r"^c.yaml: configuration: unknown setting 'gats'; did you mean 'gate'\?$"),
        ("- 1", r"^c.yaml: configuration must be a mapping"),
        ("gate: 3", r"^c.yaml: gate must be a mapping"),
        ("gate: {a: [", r"^c.yaml, line 1: not YAML"),
        ("gate: !!python/object/apply:os.system [ls]", r"^c.yaml, line 1: not YAML"),
        ("engine: {block_size: 0}", r"^c.yaml: block_size=0 must be from 1 to 65536$"),
        ("osc: {port: 99999}", r"^c.yaml: port=99999"),
        ("page: {port: 0}", r"^c.yaml: page: port=0 must be from 1 to 65535$"),
        ("page: {port: true}", r"^c.yaml: page: port=True must be"),
    ],
)
def test_bad_files_get_one_line(text, message):
    with one_line(ConfigError, message):
        parse_config(text, "c.yaml")


@pytest.mark.parametrize(
    ("text", "automatic", "lookahead"),
    [
        ("", True, 0.0),
        ("gate: {lookahead_ms: auto}", True, 0.0),
        ("gate: {lookahead_ms: 0}", False, 0.0),
        ("gate: {lookahead_ms: file}\nengine: {auto_lookahead: true}", False, "file"),
        ("engine: {auto_lookahead: false}", False, 0.0),
    ],
)
def test_the_lookahead_is_that_of_what_is_read_unless_one_is_given(text, automatic, lookahead):
    config = parse_config(text, "c.yaml")
    assert (config.engine.auto_lookahead, config.gate.lookahead_ms) == (automatic, lookahead)


def test_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "binary.yaml")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "references unfold too far"),
        ("a: &a [*a]", "references unfold too far"),
        ("[" * 20000, "nest|deep"),
        ("a: 2020-13-45", "cannot be read|not YAML|unknown setting"),
        ("a: " + "9" * 5000, "not YAML that can be read|unknown setting"),
        ("? [1]\n: 2", "not YAML|mapping"),
        ("a: \0", "not YAML"),
        ("x" * 5_000_000, "more than 4 MB"),
    ],
)
def test_texts_that_would_take_for_ever(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with one_line(ConfigError, message) as error:
        load_config(tmp_path / "c.yaml")
    assert len(str(error.value)) < 6000


def test_names_that_are_no_text_survive_yaml():
    import yaml

    from realtime.text_files import parse_yaml

    tree = {"name": "x\udcff", "other": "ü"}
    assert parse_yaml(yaml.safe_dump(tree)) == tree
