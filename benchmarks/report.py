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


def _inline(text):
    text = html.escape(text, quote=False)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)


def _cells(line, tag):
    parts = [cell.strip() for cell in line.strip().strip("|").split("|")]
    return "<tr>" + "".join(f"<{tag}>{_inline(cell)}</{tag}>" for cell in parts) + "</tr>"


def from_markdown(text):
    """HTML of the little Markdown that the tables use: headings, tables, paragraphs."""
    parts, lines = [], iter(text.splitlines())
    paragraph, rows = [], []

    def flush():
        if paragraph:
            parts.append(f"<p>{_inline(' '.join(paragraph))}</p>")
            paragraph.clear()
        if rows:
            head, body = rows[0], rows[2:]
            parts.append(
                f"<table><thead>{_cells(head, 'th')}</thead><tbody>"
                + "".join(_cells(row, "td") for row in body)
                + "</tbody></table>"
            )
            rows.clear()

    for line in lines:
        if line.startswith("<!--"):
            continue
        if line.startswith("|"):
            if paragraph:
                flush()
            rows.append(line)
        elif line.startswith("#"):
            flush()
            level = len(line) - len(line.lstrip("#"))
            parts.append(f"<h{level}>{_inline(line.lstrip('# '))}</h{level}>")
        elif not line.strip():
            flush()
        else:
            if rows:
                flush()
            paragraph.append(line.strip())
    flush()
    return "\n".join(parts)


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
