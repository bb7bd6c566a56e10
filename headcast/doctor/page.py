"""The doctor's page: one self-contained HTML file that needs neither network nor script to be read."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from headcast.doctor.checks import Finding
from headcast.doctor.drawing import HEIGHT, VIEW, WIDTH, Segment

STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8884; }
td.level { font-weight: 600; }
.pass { color: #2a9d6f; } .warn { color: #c77414; } .fail { color: #d33f2b; } .unmeasured { color: #888; }
.drawings { display: grid; grid-template-columns: repeat(auto-fit, minmax(430px, 1fr)); gap: 1rem; }
svg { width: 100%; border: 1px solid #8884; } svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
svg text.small { font-size: 10px; } img { max-width: 100%; } #rig { cursor: grab; touch-action: none; }
"""
# Turning the rig: the projection of drawing._project, with the pointer's azimuth and elevation.
SCRIPT = """
const rig = document.getElementById("rig"), data = JSON.parse(document.getElementById("rig-data").textContent);
let [azimuth, elevation] = data.view, held = null;
const project = ([x, y, z]) => {
  const across = x * Math.cos(azimuth) + z * Math.sin(azimuth), depth = z * Math.cos(azimuth) - x * Math.sin(azimuth);
  return [data.width / 2 + data.scale * across,
          data.height / 2 - data.scale * (y * Math.cos(elevation) - depth * Math.sin(elevation))];
};
const lines = rig.querySelectorAll("line"), texts = rig.querySelectorAll("text");
const draw = () => {
  data.segments.forEach(([a, b], k) => {
    const [x1, y1] = project(a), [x2, y2] = project(b);
    for (const [name, value] of Object.entries({x1, y1, x2, y2})) lines[k].setAttribute(name, value);
  });
  data.labels.forEach(([p], k) => { const [x, y] = project(p); texts[k].setAttribute("x", x); texts[k].setAttribute("y", y); });
};
rig.addEventListener("pointerdown", e => { held = [e.clientX, e.clientY]; rig.setPointerCapture(e.pointerId); });
rig.addEventListener("pointermove", e => {
  if (!held) return;
  azimuth -= (e.clientX - held[0]) / 150; elevation += (e.clientY - held[1]) / 150; held = [e.clientX, e.clientY]; draw();
});
rig.addEventListener("pointerup", () => { held = null; });
"""


@dataclass(frozen=True)
class Page:
    """What the page shows: findings in order, drawings (SVG), the rig's lines and labels, contact sheets (JPEG bytes) by stage."""

    title: str
    findings: Sequence[Finding]
    verdict: Mapping[str, Any]
    rig: str
    segments: Sequence[Segment]
    labels: Sequence[tuple[list[float], str]]
    scale: float
    drawings: Sequence[str]
    sheets: Mapping[str, bytes]

    def html(self) -> str:
        """The whole page."""
        parts = [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(self.title)}</title>',
            f"<style>{STYLE}</style></head><body>",
            f"<h1>{escape(self.title)}</h1>",
            f"<p>{escape(sentence(self.findings, self.verdict))}</p>",
            findings_table(self.findings, self.verdict["allowed"]),
            '<h2>Rig, reprojection and time</h2><div class="drawings">',
            f"<figure>{self.rig}<figcaption>drag to turn</figcaption></figure>",
            "".join(f"<figure>{drawing}</figure>" for drawing in self.drawings) + "</div>",
            "".join(_sheet(stage, jpeg) for stage, jpeg in self.sheets.items()),
            f'<script type="application/json" id="rig-data">{self._rig_data()}</script><script>{SCRIPT}</script></body></html>',
        ]
        return "\n".join(parts)

    def _rig_data(self) -> str:
        data = {
            "segments": [[start, stop] for start, stop, _ in self.segments],
            "labels": self.labels,
            "scale": self.scale,
            "view": VIEW,
            "width": WIDTH,
            "height": HEIGHT,
        }
        return json.dumps(data).replace("</", "<\\/")


def sentence(findings: Sequence[Finding], verdict: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    counts = {level: sum(finding.level == level for finding in findings) for level in ("pass", "warn", "fail", "unmeasured")}
    listed = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
    if verdict["stops_training"]:
        stopping = ", ".join(verdict["stops_training"])
        return f"{listed}. Training is stopped by: {stopping}; mend it or name it under doctor.allow_failures."
    return f"{listed}. Training may start."


def findings_table(findings: Sequence[Finding], allowed: Sequence[str]) -> str:
    """Every finding: level, figure, thresholds, where, remedy."""
    head = "".join(f"<th>{name}</th>" for name in ("", "check", "what", "figure", "threshold", "where", "what to do"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(f, f.check in allowed) for f in findings)}</tbody></table>"


def _row(finding: Finding, allowed: bool) -> str:
    level = finding.level + (" (allowed)" if allowed and finding.level == "fail" else "")
    fix = finding.rule.fix if finding.level in ("warn", "fail") else ""
    cells = (finding.check, finding.rule.title, finding.figure_text, finding.threshold_text, finding.where, fix)
    return f'<tr><td class="level {finding.level}">{level}</td>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _sheet(stage: str, jpeg: bytes) -> str:
    picture = base64.b64encode(jpeg).decode()
    return f'<h2>{escape(stage)}</h2><img alt="contact sheet of {escape(stage)}" src="data:image/jpeg;base64,{picture}">'
