"""The tour's pictures of tokens and embeddings: each draws numbers that the tour has computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from torch import Tensor

from projects.tour.drawing import BLUE, CORAL, GROUP_COLOURS, INK, LIGHT, boxes, canvas


def draw_tokens(bytes_of_tokens: Mapping[str, Sequence[int]], english: Sequence[str]) -> Figure:
    """One sentence in many languages: a cell for each token, colored by how many bytes it holds."""
    figure, axes = canvas(11.5, 5.6, rows=["b", "t"], height_ratios=[6.4, 1])
    colors = {"1 byte": CORAL, "2 or 3": "#f2c9a1", "4 or more": BLUE}
    fewest = len(bytes_of_tokens["English"])
    for row, sizes in enumerate(bytes_of_tokens.values()):
        shades = [CORAL if size == 1 else "#f2c9a1" if size < 4 else BLUE for size in sizes]
        axes["b"].barh([row] * len(sizes), 1, left=range(len(sizes)), color=shades, edgecolor="white", height=0.74)
        text = f"{len(sizes)}" if not row else f"{len(sizes)}   ({len(sizes) / fewest:.1f} × English)"
        axes["b"].text(len(sizes) + 0.6, row, text, va="center", size=9)
    longest = max(map(len, bytes_of_tokens.values()))
    axes["b"].set(ylim=(len(bytes_of_tokens) - 0.4, -0.6), xlim=(0, longest * 1.2), xlabel="tokens")
    axes["b"].set_yticks(range(len(bytes_of_tokens)), list(bytes_of_tokens), size=10)
    axes["b"].tick_params(axis="y", length=0)
    axes["b"].set_title("The same sentence in tokens")
    for name, color in colors.items():
        axes["b"].bar(0, 0, color=color, label=name)
    axes["b"].legend(title="a token holds", loc="upper right", alignment="left")
    boxes(axes["t"], english, [(LIGHT, "#dbe7ef")[place % 2] for place in range(len(english))], 78, 11)
    axes["t"].set_title("The tokens of the English one")
    return figure


def draw_space(
    places: Tensor,
    words: Sequence[str],
    group_of: Sequence[str],
    cosines: Tensor,
    mean_apart: Sequence[float],
    word_apart: Sequence[float],
    sentences: tuple[str, str, str],
) -> Figure:
    """Words on the plane in which they differ most; their cosines; and how two orders of the same words come apart."""
    figure, axes = canvas(14, 7.6, rows=["sc", "so"], width_ratios=[1.35, 1])
    groups = list(dict.fromkeys(group_of))
    colors = dict(zip(groups, GROUP_COLOURS, strict=True))
    for group in groups:
        chosen = [place for place, name in enumerate(group_of) if name == group]
        x, y = places[chosen].T.numpy()
        axes["s"].scatter(x, y, color=colors[group], s=34, label=group, zorder=2)
    axes["s"].axhline(0, color="0.92", zorder=0)
    axes["s"].axvline(0, color="0.92", zorder=0)
    axes["s"].margins(0.09)
    axes["s"].set(xlabel="1st principal component", ylabel="2nd principal component")
    axes["s"].set_title(f"The embeddings of {len(words)} words, seen by PCA")
    axes["s"].legend(loc="best", ncols=2)

    off = cosines.clone().fill_diagonal_(float("nan"))
    limit = float(off.nan_to_num().abs().max())
    image = axes["c"].imshow(off.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    borders = [group_of.index(group) for group in groups]
    for border in borders[1:]:
        axes["c"].axhline(border - 0.5, color="white", linewidth=1.5)
        axes["c"].axvline(border - 0.5, color="white", linewidth=1.5)
    middles = [border + group_of.count(group) / 2 - 0.5 for border, group in zip(borders, groups, strict=True)]
    axes["c"].set_xticks(middles, groups, size=8)
    axes["c"].set_yticks(middles, groups, size=8)
    axes["c"].tick_params(length=0)
    axes["c"].spines[:].set_visible(False)
    axes["c"].set_title("How alike two words are")
    figure.colorbar(image, ax=axes["c"], shrink=0.85, label="cosine")

    one, other, word = sentences
    axes["o"].plot(word_apart, "o-", color=CORAL, markersize=4, label=f"“{word}” here and there")
    axes["o"].plot(mean_apart, "o-", color=BLUE, markersize=4, label="the means of both sentences")
    axes["o"].set(ylim=(0, None), xlabel="after layer (0: the embeddings)", ylabel="difference, relative to size")
    axes["o"].set_title(f"“{one}” or\n“{other}”?")
    axes["o"].legend()
    _label(axes["s"], [(x, y) for x, y in places.tolist()], words, [colors[group] for group in group_of])
    return figure


def _label(axes: Axes, places: Sequence[tuple[float, float]], words: Sequence[str], colors: Sequence[str]) -> None:
    """Writes words beside their dots, each on the first of eight sides where it covers no dot and no other word."""
    axes.figure.canvas.draw()  # only now is it settled where the dots are
    dots = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axes.transData.transform(places)]
    taken = list(dots)
    sides = [(1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1.6), (0, -1.6), (1, 2.2), (1, -2.2)]
    for place, word, color, dot in zip(places, words, colors, dots, strict=True):
        for across, up in sides:
            text = axes.annotate(
                word,
                place,
                (5 * across, 4 * up),
                textcoords="offset points",
                color=color,
                ha=("center", "left", "right")[across],
                va="bottom" if up > 0 else "top",
            )
            box = text.get_window_extent().shrunk(1.05, 0.9)
            if (across, up) == sides[-1] or not any(box.overlaps(other) for other in taken if other is not dot):
                break
            text.remove()
        taken.append(box)


def draw_single_words(looks: Mapping[str, Tensor], words: Sequence[str]) -> Figure:
    """For each way of seeing them, the weights with which each word looks at the others, `[n, n]`."""
    figure, axes = canvas(6.2 * len(looks), 5.2, rows=["abcdef"[: len(looks)]])
    for panel, (name, weights) in zip(axes.values(), looks.items(), strict=True):
        image = panel.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*weights.shape):
            weight = float(weights[row, column])
            ink = "white" if weight > 0.55 else INK
            panel.text(column, row, f"{weight:.2f}", ha="center", va="center", size=9, color=ink)
        panel.set_xticks(range(len(words)), words, rotation=35, ha="right")
        panel.set_yticks(range(len(words)), words)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        panel.set(xlabel="looks at", ylabel="this word", title=f"Embeddings: {name}")
        figure.colorbar(image, ax=panel, shrink=0.85, label="weight")
    return figure
