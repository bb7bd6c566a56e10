"""``results/summary.html``: one page without any outside file: figures to sort by, pictures, run times, versions, licences."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from headcast.delivery.licences import RIGHTS, SAYS, verdict
from headcast.delivery.results_table import EVALUATED, FIGURES, Row, as_csv, number, read_rows, table
from headcast.errors import BadFile
from headcast.formats.atomic import atomic_path

PICTURE_PX = (640, 1600)
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #1c1e21; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .6rem; border-bottom: 1px solid #ddd }
th { text-align: left; position: sticky; top: 0; background: #f4f5f7 } .sortable th { cursor: pointer } td.n { text-align: right }
tr.failed td { background: #fdeceb } tr.missing td { color: #777 }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top } figcaption { font-weight: 600 } img { max-width: 100% }
"""
SCRIPT = """
for (const table of document.querySelectorAll('table.sortable'))
  table.tHead.addEventListener('click', event => {
    const head = event.target.closest('th'), column = head.cellIndex, down = head.dataset.down !== '1';
    head.dataset.down = down ? '1' : '0';
    const key = row => row.cells[column].textContent, sign = down ? -1 : 1;
    const compare = (a, b) => !a || !b ? (a ? -1 : b ? 1 : 0) : sign * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
  });
"""


def write_summary(table_path: Path, page_path: Path, roll: Iterable[str]) -> Path:
    """Write the table and the page for every sequence of ``roll`` (``031,258/HAIR,FREE``) from what lies beside them."""
    rows = read_rows(table_path.parent, roll)
    for path, text in ((table_path, as_csv(table(rows))), (page_path, page(rows))):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return page_path


def page(rows: Sequence[Row]) -> str:
    """The page as HTML."""
    done = [row for row in rows if row.state == EVALUATED]
    parts = [
        f"<h1>headcast: {len(done)} of {len(rows)} avatars</h1>",
        "<p>Figures are means over held-out cameras unless they say otherwise (psnr in dB; flip: lower is better; seconds: sum of"
        " all rules); click a heading to sort. Empty: there is no such figure.</p>",
        _figures(rows),
        _section("Missing", _list([f"{row.subject}/{row.sequence} — {row.why}" for row in rows if row.state != EVALUATED])),
        _section("Held-out cameras: truth, render, error", "".join(map(_picture, done))),
        _section("Run times", _times(done)),
        _section("Versions", _versions(done)),
        _section("Licences", _licences(done)),
    ]
    head = f'<meta charset="utf-8"><title>headcast results</title><style>{STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{"".join(parts)}\n<script>{SCRIPT}</script></body></html>\n'
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}\n" if content else ""


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""


def _grid(header: Sequence[str], lines: Iterable[Sequence[str]], states: Sequence[str] = ()) -> str:
    body = []
    for place, line in enumerate(lines):
        cells = "".join(f'<td class="n">{cell}</td>' if _numeric(cell) else f"<td>{escape(cell)}</td>" for cell in line)
        body.append(f'<tr class="{states[place] if states else ""}">{cells}</tr>')
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>\n{"".join(body)}\n</tbody></table>' if body else ""


def _numeric(cell: str) -> bool:
    return cell.replace(".", "", 1).replace("-", "", 1).isdigit()


def _figures(rows: Sequence[Row]) -> str:
    names = ("subject", "sequence", "state", *FIGURES, "seconds", *RIGHTS)
    header, *lines = table(rows)
    columns = [header.index(name) for name in names]
    labels = [RIGHTS.get(name, name.replace("_", " ")) for name in names]
    return _grid(labels, ([line[column] for column in columns] for line in lines), [row.state for row in rows])


def _picture(row: Row) -> str:
    if row.picture is None:
        return ""
    from PIL import Image  # the plan knows this module, only pictures need Pillow

    try:
        with Image.open(row.picture) as image:
            small = image.convert("RGB")
            small.thumbnail(PICTURE_PX)
    except OSError as error:
        raise BadFile(row.picture, "is not a readable picture", "delete it and run again: rule evaluate writes it") from error
    stream = io.BytesIO()
    small.save(stream, format="jpeg", quality=82)
    name, data = escape(f"{row.subject}/{row.sequence}"), base64.b64encode(stream.getvalue()).decode()
    return f'<figure><figcaption>{name}</figcaption><img alt="{name}" src="data:image/jpeg;base64,{data}"></figure>\n'


def _times(rows: Sequence[Row]) -> str:
    seconds: dict[str, list[float]] = {}
    for row in rows:
        for rule, time in (row.metrics.get("timing_s") or {}).items():
            seconds.setdefault(rule, []).append(time)
    lines = [[rule, str(len(t)), number(median(t)), number(max(t)), number(sum(t) / 3600)] for rule, t in sorted(seconds.items())]
    return _grid(["rule", "avatars", "median (s)", "longest (s)", "all (h)"], lines)


def _versions(rows: Sequence[Row]) -> str:
    used: dict[tuple[str, str], int] = {}
    for row in rows:
        for name, version in ((row.metrics.get("avatar") or {}).get("versions") or {}).items():
            used[name, version] = used.get((name, version), 0) + 1
    return _grid(["package", "version", "avatars"], [[*key, str(count)] for key, count in sorted(used.items())])


def _licences(rows: Sequence[Row]) -> str:
    entries: dict[tuple[str, str], Mapping[str, Any]] = {(e["kind"], e["name"]): e for row in rows for e in row.bill}
    lines = [
        [
            entry["kind"],
            entry["name"],
            entry["licence"] or "not stated",
            entry["source"] or "",
            *(SAYS[entry[right]] for right in RIGHTS),
        ]
        for _, entry in sorted(entries.items())
    ]
    whole = [f"{label}: {_together(rows, right)}" for right, label in RIGHTS.items()]
    return _grid(["what", "name", "licence", "source", *RIGHTS.values()], lines) + (_list(whole) if lines else "")


def _together(rows: Sequence[Row], right: str) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        answer = SAYS[verdict(row.bill, right)[0]] if row.bill else "no bill"
        counts[answer] = counts.get(answer, 0) + 1
    return ", ".join(f"{answer} for {count} of {len(rows)} avatars" for answer, count in sorted(counts.items()))
