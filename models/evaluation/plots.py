"""A report as pictures. matplotlib is loaded when the first one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.evaluation.report import MethodReport, Report


def draw(found: Report, folder: Path, *, kind: str = "png") -> list[Path]:
    """Write the pictures of a report into `folder`, as "png" or "svg"; their paths."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, paint in (("accuracy", _accuracy), ("cohorts", _cohorts), ("spread", _spread), ("calibration", _calibration)):
        figure = paint(found, plt)
        if figure is None:
            continue
        path = folder / f"{name}.{kind}"
        figure.savefig(path, dpi=120, bbox_inches="tight")
        plt.close(figure)
        written.append(path)
    return written


def _accuracy(found: Report, plt: Any) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.5 * len(found.methods) + 2), sharey=True)
    for axis, view, title in zip(axes, ("all", "new"), ("all items", "never bought before"), strict=True):
        for place, one in enumerate(found.methods):
            interval = one.figures[view]["ndcg"]
            axis.barh(place, interval.value, color=_colour(place))
            axis.plot([interval.low, interval.high], [place, place], color="black", linewidth=1.5)
        axis.set_title(f"NDCG@{found.k}, {title}")
        axis.set_yticks(range(len(found.methods)), [one.name for one in found.methods])
    axes[0].invert_yaxis()
    return figure


def _cohorts(found: Report, plt: Any) -> Any:
    names = [name for name, part in found.methods[0].cohorts.items() if part.baskets]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    width = 0.8 / len(found.methods)
    for axis, view, title in zip(axes, ("all", "new"), ("all items", "never bought before"), strict=True):
        for place, one in enumerate(found.methods):
            heights = [0.0 if (part := getattr(one.cohorts[name], view)) is None else part.value for name in names]
            axis.bar([i + place * width for i in range(len(names))], heights, width, label=one.name, color=_colour(place))
        axis.set_xticks(
            [i + 0.4 for i in range(len(names))],
            [f"{name}\n{found.methods[0].cohorts[name].baskets:,} baskets" for name in names],
        )
        axis.set_title(f"NDCG@{found.k}, {title}")
    axes[0].legend(fontsize=8)
    return figure


def _spread(found: Report, plt: Any) -> Any:
    figure, axis = plt.subplots(figsize=(6, 4.5))
    for place, one in enumerate(found.methods):
        axis.scatter(one.spread["all"].coverage, one.figures["all"]["ndcg"].value, color=_colour(place), s=60)
        axis.annotate(
            one.name, (one.spread["all"].coverage, one.figures["all"]["ndcg"].value), xytext=(6, 4), textcoords="offset points"
        )
    axis.set_xlabel("share of the products that any list shows")
    axis.set_ylabel(f"NDCG@{found.k}, all items")
    axis.set_title("accuracy and coverage")
    return figure


def _calibration(found: Report, plt: Any) -> Any:
    stating: list[MethodReport] = [one for one in found.methods if one.calibration is not None]
    if not stating:
        return None
    figure, axis = plt.subplots(figsize=(5, 5))
    top = 0.0
    for one in stating:
        if one.calibration is not None:
            axis.plot(
                one.calibration.stated, one.calibration.happened, "o-", label=f"{one.name}, error {one.calibration.error:.4f}"
            )
            top = max(top, *one.calibration.stated, *one.calibration.happened)
    axis.plot([0, top], [0, top], color="grey", linestyle="--", linewidth=1)
    axis.set_xlabel("stated probability of being bought")
    axis.set_ylabel("share bought")
    axis.set_title("calibration, bins of equal size")
    axis.legend()
    return figure


def _colour(place: int) -> str:
    return f"C{place % 10}"
