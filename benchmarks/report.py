"""One HTML file with tables and charts in it; viewing it needs no network."""

import html
import re

from realtime.outputs import write_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; display: block;
  overflow-x: auto }
th, td { border: 1px solid #ccc; padding: 3px 8px; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
thead { background: #f2f2f2 } img { max-width: 100%; height: auto } code { background: #f4f4f4 }
figure { margin: 1em 0; display: inline-block }
"""


def from_markdown(text):
    """HTML of the tables' Markdown; markup that stands in the text itself is shown, not obeyed."""
    from markdown_it import MarkdownIt

    text = re.sub(r"^<!--.*-->$", "", text, flags=re.M)  # the marks of `RESULTS.md`
    return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)


def write_report(path, title, sections):
    """Write the report.

    Parameters
    ----------
    path : path-like
    title : str
    sections : sequence of (str, sequence of str)
        Markdown, and HTML of its charts.
    """
    parts = []
    for markdown, charts in sections:
        parts.append(from_markdown(markdown))
        parts += [f"<figure>{chart}</figure>" for chart in charts]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>"
        f"<h1>{html.escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    write_text(path, page)
