"""Tables, the results file and the report."""

import numpy as np
import pytest

from benchmarks import tables
from benchmarks.machine import describe, one_line
from benchmarks.report import from_markdown, write_report
from benchmarks.speed.throughput import FileRun, growth_exponent
from benchmarks.stats import Figure
from gate.errors import ConfigError


def test_numbers():
    assert tables.number(float("nan")) == "–"
    assert tables.number(1.25, 1) == "1.2"
    assert tables.with_interval(Figure(0.5, 0.4, 0.7), 100) == "50.0 ±15.0"
    assert tables.with_interval(Figure(0.5)) == "0.5"


def test_sections_replace_each_other_and_keep_their_order(tmp_path):
    path = tmp_path / "RESULTS.md"
    meta = describe("gate-bench x")
    for name, body in (("latency", "one"), ("quality:dev", "two"), ("latency", "three")):
        tables.write_section(path, name, tables.section(name, name.title(), body, meta))
    text = path.read_text()
    assert text.startswith("# Results\n")
    assert "one" not in text.split("<!-- latency -->")[1]
    assert text.index("two") < text.index("three")
    assert text.count("<!-- latency -->") == 1
    with pytest.raises(ConfigError, match="section='fame' must be one of"):
        tables.write_section(path, "fame", "")


def test_the_machine_is_named():
    meta = describe("gate-bench latency", seed=3)
    line = one_line(meta)
    assert "gate-bench latency" in line
    assert "seed 3" in line
    assert f"numpy {np.__version__}" in line


def test_markdown_becomes_html(tmp_path):
    text = "## A & B\n\n| x | y |\n|---|---:|\n| `a` | 1 < 2 |\n\nSome words\nand more."
    html = from_markdown(text)
    assert "<h2>A &amp; B</h2>" in html
    assert "<td><code>a</code></td>" in html and ">1 &lt; 2</td>" in html
    assert "<p>Some words\nand more.</p>" in html and html.count("<tr>") == 2
    write_report(tmp_path / "r.html", "t", [(text, ['<img src="data:image/png;base64,AAAA">'])])
    page = (tmp_path / "r.html").read_text()
    assert "http" not in page  # nothing is fetched
    assert page.count("<figure>") == 1


def test_growth_exponent():
    def run(seconds, cpu):
        return FileRun(seconds, 48000, 1, 1, 1, cpu, cpu, 80.0)

    linear = [run(s, 0.3 + 0.01 * s) for s in (10, 600, 3600)]
    assert growth_exponent(linear) == pytest.approx(1.0, abs=0.01)
    square = [run(s, 0.3 + 1e-5 * s**2) for s in (10, 600, 3600)]
    assert growth_exponent(square) > 1.5
    assert np.isnan(growth_exponent(linear[:2]))
