"""The report as one page: no script, no outside file; pictures are drawn by matplotlib and set inline as SVG."""

from __future__ import annotations

import io
from html import escape
from typing import Any

from models.evidence.findings import Findings
from models.evidence.ledger import GLOBAL
from models.evidence.offpolicy import Estimate
from streams.report.reading import Read
from streams.report.text import period

__all__ = ["as_html"]

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f23; --soft: #5b6570; --line: #d8dee4; --paper: #fff; --good: #0b6e4f; --bad: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa4af; --line: #30363d; --paper: #0d1117; --good: #4cc38a; --bad: #ff8a7a; }
  figure { background: #fff; padding: .5rem; border-radius: .4rem; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } p.soft, td.soft { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; } .good { color: var(--good); } .bad { color: var(--bad); }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; } ul { padding-left: 1.2rem; }
"""


def as_html(told: Findings, read: Read) -> str:
    """A page that says the same as the text, with pictures. Every name in it is escaped."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>What the messages earned</title><style>{STYLE}</style></head><body>",
        f"<h1>What the messages earned</h1><p class='soft'>{escape(period(read))}; {told.sent:,} messages sent. "
        "Intervals are at 95 % and hold at every look.</p>",
    ]
    for experiment in dict.fromkeys(one.experiment for one in told.lifts):
        named = "Against shoppers held out of all messages" if experiment == GLOBAL else f"Against those held out of {experiment}"
        parts.append(f"<h2>{escape(named)}</h2><ul>")
        for one in (lift for lift in told.lifts if lift.experiment == experiment):
            shade = "" if one.interval is None or not one.interval.excludes_zero else "good" if one.interval.low > 0 else "bad"
            parts.append(f"<li class='{shade}'>{escape(one.words)}</li>")
        parts.append("</ul>")
    if not told.lifts:
        parts.append("<h2>Lift</h2><p>Not enough data yet: nobody has been held out, or nobody written to.</p>")
    picture = _lifts(told)
    if picture:
        parts.append(f"<figure>{picture}</figure>")
    parts.append("<h2>What the messages led to</h2><table>")
    parts += [f"<tr><td>{escape(kind)}</td><td class='n'>{share:.3%}</td></tr>" for kind, share in sorted(told.rates.items())]
    if told.satisfaction is not None:
        parts.append(
            f"<tr><td>satisfaction (a proxy: clicked less unsubscribed and complained)</td><td class='n'>{told.satisfaction:+.3%}</td></tr>"
        )
    parts.append("</table><h2>Arms</h2><p class='soft'>Worth of always taking one, against what was done where it was open.</p>")
    parts.append(
        "<div class='wide'><table><tr><th>factor</th><th>arm</th><th class='n'>taken</th><th class='n'>worth</th><th>verdict</th></tr>"
    )
    for arm in told.arms:
        worth = (
            "" if not isinstance(arm.told, Estimate) else f"{arm.told.value:+.4f} ({arm.told.low:+.4f} to {arm.told.high:+.4f})"
        )
        parts.append(
            f"<tr><td>{escape(arm.factor)}</td><td>{escape(arm.arm)}</td><td class='n'>{arm.taken:,} of {arm.decisions:,}</td>"
            f"<td class='n'>{worth}</td><td class='soft'>{escape(arm.words)}</td></tr>"
        )
    parts.append("</table></div><h2>Alarms</h2><ul>")
    parts += [f"<li class='bad'>{escape(alarm)}</li>" for alarm in told.alarms]
    parts += [
        f"<li class='bad'>{escape(one.arm)}: {escape(one.kind)} {one.rate:.2%}, limit {one.limit:.2%}. Pause it.</li>"
        for one in told.breaches
    ]
    if not told.alarms and not told.breaches:
        parts.append("<li>None: arms went out as often as logged, and none is over its limits.</li>")
    parts.append("</ul><h2>Not sent, and why</h2><table>")
    parts += [f"<tr><td>{escape(why)}</td><td class='n'>{count:,}</td></tr>" for why, count in told.held_back.items()]
    parts.append(
        f"</table><p class='soft'>Left out: {told.unattributed:,} answers to no known message, {read.machines:,} by machines, "
    )
    parts.append(f"{sum(read.refused.values()):,} unreadable records.</p></body></html>")
    return "".join(parts)


def _lifts(told: Findings) -> str:
    """Relative lifts with their intervals, as SVG; empty while there are none."""
    shown = [one for one in told.lifts if one.relative is not None]
    if not shown:
        return ""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.0, 0.8 + 0.42 * len(shown)), layout="constrained")
    for y, one in enumerate(reversed(shown)):
        interval: Any = one.relative
        clear = one.interval is not None and one.interval.excludes_zero
        colour = "#0b6e4f" if clear and interval.low > 0 else "#b42318" if clear else "#667080"
        axes.plot([100 * interval.low, 100 * interval.high], [y, y], color=colour, linewidth=2)
        axes.plot([100 * interval.estimate], [y], "o", color=colour)
    axes.axvline(0.0, color="#999", linewidth=1)
    axes.set_yticks(range(len(shown)), [f"{one.experiment}: {one.outcome}" for one in reversed(shown)])
    axes.set_xlabel("more than those held out, %")
    axes.spines[["top", "right", "left"]].set_visible(False)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    drawn = out.getvalue()
    return drawn[drawn.index("<svg") :]
