"""The tour's pictures of time, memory and bits: each draws numbers that the tour has computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from projects.tour.drawing import BLUE, CORAL, GRAY, canvas


def draw_cache(
    anew: Sequence[float], cached: Sequence[float], context: int, per_token: int, weights: int, longest: int
) -> Figure:
    """The time for each token with the cache and without; the memory that the cache takes as the text grows."""
    figure, axes = canvas(13, 4.6, rows=["tm"], width_ratios=[1.25, 1])
    for seconds, color, name in ((anew, CORAL, "everything anew"), (cached, BLUE, "with the cache")):
        places = range(context, context + len(seconds))
        axes["t"].plot(places, [1000 * second for second in seconds], "o-", color=color, markersize=4, label=name)
    axes["t"].set(ylim=(0, None), xlabel="tokens before it", ylabel="milliseconds for one more token")
    axes["t"].set_title("What the next token costs in time")
    axes["t"].legend()
    lengths = np.linspace(0, longest, 50)
    axes["m"].plot(lengths, lengths * per_token / 1e6, color=BLUE, label="the cache")
    axes["m"].axhline(weights / 1e6, color=GRAY, linestyle="--", label="the weights")
    axes["m"].set(xlim=(0, longest), ylim=(0, None), xlabel="tokens in the cache", ylabel="megabytes")
    axes["m"].set_title("... and in memory")
    axes["m"].legend()
    return figure


class Cost(NamedTuple):
    """What a format costs: size in MB, tokens a second, the loss, and how far the predictions moved in nats."""

    size: float
    pace: float
    loss: float
    moved: float


def draw_bill(bill: Mapping[str, Cost]) -> Figure:
    """Size, speed, loss and the predictions of each format."""
    figure, axes = canvas(15, 3.6, rows=["splm"])
    _draw_costs(axes, bill)
    return figure


def draw_halves(
    bill: Mapping[str, Cost],
    wrong: Mapping[str, float],
    lost: Mapping[str, float],
    rates: Sequence[float],
    unmoved: Mapping[str, Sequence[float]],
) -> Figure:
    """What half precision costs and saves; below, why some things stay in float32.

    Args:
        bill: by the way of computing.
        wrong: how far a norm is off, "naive" in float16 and "safe" in float32.
        lost: the part of a gradient that is 0 in float16, by how it was scaled.
        rates: learning rates.
        unmoved: the part of the weights that a step does not change, for each rate, by format.
    """
    figure, axes = canvas(15, 7, rows=["splm", "nguu"])
    _draw_costs(axes, bill)
    for panel, values, title in (
        ("n", wrong, "A norm in float16: how far off"),
        ("g", lost, "A gradient's zeros in float16"),
    ):
        bars = axes[panel].bar(range(len(values)), [100 * value for value in values.values()], color=[CORAL, BLUE])
        axes[panel].bar_label(bars, [f"{value:.2%}" for value in values.values()], padding=3)
        axes[panel].set_xticks(range(len(values)), list(values))
        axes[panel].set(ylabel="percent")
        axes[panel].margins(y=0.2)
        axes[panel].set_ylim(bottom=0)
        axes[panel].set_title(title, size=11)
    for (name, shares), color in zip(unmoved.items(), (CORAL, "#8d5a97", BLUE), strict=True):
        axes["u"].plot(rates, [100 * part for part in shares], "o-", color=color, label=name)
    axes["u"].set_xscale("log")
    axes["u"].set(xlabel="learning rate", ylabel="percent", ylim=(-3, 103))
    axes["u"].set_title("Weights that a step leaves where they are", size=11)
    axes["u"].legend()
    return figure


def _draw_costs(axes: Mapping[str, Axes], bill: Mapping[str, Cost]) -> None:
    colors = ["#1b4965", "#2a6f97", "#62b6cb", CORAL, "#f2a48f"]
    sizes, paces, losses, moves = zip(*bill.values(), strict=True)
    changes = [loss - losses[0] for loss in losses]
    for panel, values, form, title in (
        ("s", sizes, "{:.3g}", "Size in megabytes"),
        ("p", paces, "{:.3g}", "Tokens a second (CPU)"),
        ("l", changes, "{:+.4f}", f"Change of the loss ({losses[0]:.3f})"),
        ("m", moves, "{:.2g}", "Predictions moved (nats)"),
    ):
        bars = axes[panel].barh(range(len(bill)), values, color=colors)
        axes[panel].bar_label(bars, [form.format(value) for value in values], padding=4, size=9)
        axes[panel].set_yticks(range(len(bill)), list(bill) if panel == "s" else [""] * len(bill))
        axes[panel].set_ylim(len(bill) - 0.4, -0.6)
        axes[panel].tick_params(axis="y", length=0)
        axes[panel].xaxis.set_major_locator(MaxNLocator(4))
        axes[panel].margins(x=0.32)
        axes[panel].set_title(title, size=11)
    axes["l"].axvline(0, color=GRAY, linewidth=0.8)
    axes["l"].spines["left"].set_visible(False)
