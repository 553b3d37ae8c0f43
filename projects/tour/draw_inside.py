"""The tour's pictures of attention and the residual stream: each draws numbers that the tour has computed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from projects.tour.drawing import BLUE, INK, canvas, visible


def draw_attention(
    scores: Mapping[str, Tensor], chosen: Mapping[str, tuple[int, int]], maps: Tensor, tokens: Sequence[str]
) -> Figure:
    """Above, all heads by three habits; below, the map of a head of each kind."""
    figure, axes = canvas(16.5, 9.4, rows=["abc", "def"], height_ratios=[1, 1.7])
    for (name, score), above, below in zip(scores.items(), "abc", "def", strict=True):
        layer, head = chosen[name]
        image = axes[above].imshow(score.T.numpy(), cmap="magma", vmin=0, vmax=1, aspect="auto")
        axes[above].plot(layer, head, "s", markersize=11, markerfacecolor="none", markeredgecolor="#7fdbca", mew=2)
        axes[above].set(xlabel="layer", ylabel="head", title=textwrap.fill(f"How much goes to {name}", 36))
        axes[above].set_yticks(range(score.shape[1]))
        figure.colorbar(image, ax=axes[above], pad=0.01)
        axes[below].imshow(maps[layer, head].numpy(), cmap="Blues", vmin=0, vmax=1)
        axes[below].set_xticks(range(len(tokens)), [visible(token) for token in tokens], rotation=90, size=7.5)
        axes[below].set_yticks(range(len(tokens)), [visible(token) for token in tokens], size=7.5)
        axes[below].set(title=f"Layer {layer}, head {head}", xlabel="looks at", ylabel="this token")
        axes[below].tick_params(length=0)
    return figure


def draw_lens(
    shares: Tensor, texts: Sequence[Sequence[str]], prompt: Sequence[str], rising: Sequence[float], answer: str
) -> Figure:
    """The first choice after every layer and at every position; and how the answer's probability rises."""
    layers, positions = shares.shape
    figure, axes = canvas(4.8 + 1.35 * min(positions, 12), 0.27 * layers + 1.9, rows=["ttr"])
    grid = axes["t"]
    image = grid.imshow(shares.numpy(), cmap="YlGnBu", vmin=0, vmax=1, aspect="auto", origin="lower")
    for layer in range(layers):
        for position in range(positions):
            ink = "white" if shares[layer, position] > 0.55 else INK
            text = visible(texts[layer][position])
            text = text if len(text) < 14 else text[:12] + "…"
            grid.text(position, layer, text, ha="center", va="center", size=8, color=ink, parse_math=False)
    grid.set_xticks(range(positions), [visible(token) for token in prompt], family="monospace")
    grid.set_yticks(range(0, layers, 5 if layers > 10 else 1))
    grid.tick_params(length=0)
    grid.spines[:].set_visible(False)
    grid.set(xlabel="this token was read", ylabel="read after layer (0: the embeddings)")
    grid.set_title("What the model would say next")
    figure.colorbar(image, ax=grid, label="probability", pad=0.01)
    axes["r"].plot(rising, range(layers), "o-", color=BLUE, markersize=4)
    axes["r"].set(ylim=(-0.5, layers - 0.5), xlim=(-0.03, 1.03), xlabel=f"probability of “{visible(answer)}”")
    axes["r"].set_yticks(range(0, layers, 5 if layers > 10 else 1))
    axes["r"].set_title("... at the last token")
    return figure
