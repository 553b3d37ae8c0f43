"""The pictures of the tour inside a real model: each draws numbers that the tour has computed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from torch import Tensor

BLUE, LIGHT, CORAL, GRAY, INK = "#2a6f97", "#a9c6d8", "#e07a5f", "#9aa5ad", "#33414b"
GROUP_COLOURS = ("#2a6f97", "#e07a5f", "#4c956c", "#8d5a97", "#c99a2e")
STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": GRAY,
    "text.color": INK,
    "axes.labelcolor": INK,
    "legend.frameon": False,
}


def visible(text: str) -> str:
    """A token's text with its spaces and line ends drawn, and no formula made of a dollar sign."""
    return text.replace(" ", "␣").replace("\n", "↵").replace("$", r"\$")


def _canvas(*size: float, rows: Sequence[Sequence[str]], **options: Any) -> tuple[Figure, dict[str, Axes]]:
    plt.style.use(STYLE)
    figure = plt.figure(figsize=size, layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic([list(row) for row in rows], **options)
    return figure, axes


def _boxes(
    axes: Axes,
    tokens: Sequence[str],
    colors: Sequence[Any],
    columns: int,
    size: float = 10,
    inks: Sequence[str] | None = None,
    lines: int = 1,
) -> None:
    """Tokens as boxes in lines of so many letters; a line end in a token ends the line."""
    line, place = 0, 0.0
    for number, (token, color) in enumerate(zip(tokens, colors, strict=True)):
        text = visible(token)
        wide = len(text.replace(r"\$", "$")) + 0.5
        if place + wide > columns and place:
            line, place = line + 1, 0.0
        axes.add_patch(Rectangle((place, line - 0.4), wide - 0.15, 0.8, color=color, linewidth=0))
        ink = inks[number] if inks else INK
        axes.text(
            place + wide / 2 - 0.08,
            line + 0.02,
            text,
            size=size,
            color=ink,
            ha="center",
            va="center",
            family="monospace",
        )
        place += wide
        if "\n" in token:
            line, place = line + 1, 0.0
    axes.set_xlim(-0.3, columns)
    axes.set_ylim(max(line, lines - 1) + 0.7, -0.7)
    axes.axis("off")


def _bars(axes: Axes, names: Sequence[str], shares: Sequence[float], color: Any) -> None:
    """Horizontal bars with their shares, the first on top."""
    bars = axes.barh(range(len(names)), shares, color=color)
    labels = [f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share else "cut" for share in shares]
    axes.bar_label(bars, labels, padding=3, size=8)
    axes.set_yticks(range(len(names)), [visible(name) for name in names], family="monospace", size=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.18)
    axes.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
    axes.tick_params(axis="y", length=0)


def draw_tokens(bytes_of_tokens: Mapping[str, Sequence[int]], english: Sequence[str]) -> Figure:
    """One sentence in many languages: a cell for each token, colored by how many bytes it holds."""
    figure, axes = _canvas(11.5, 5.6, rows=["b", "t"], height_ratios=[6.4, 1])
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
    _boxes(axes["t"], english, [(LIGHT, "#dbe7ef")[place % 2] for place in range(len(english))], 78, 11)
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
    figure, axes = _canvas(14, 7.6, rows=["sc", "so"], width_ratios=[1.35, 1])
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


def draw_attention(
    scores: Mapping[str, Tensor], chosen: Mapping[str, tuple[int, int]], maps: Tensor, tokens: Sequence[str]
) -> Figure:
    """Above, all heads by three habits; below, the map of a head of each kind."""
    figure, axes = _canvas(16.5, 9.4, rows=["abc", "def"], height_ratios=[1, 1.7])
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
    figure, axes = _canvas(4.8 + 1.35 * min(positions, 12), 0.27 * layers + 1.9, rows=["ttr"])
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


def draw_choices(choices: Mapping[str, Mapping[str, Tensor]], tokenizer: Any) -> Figure:
    """A row for each prompt, a column for each setting: the ten tokens that are most probable at first."""
    settings = list(next(iter(choices.values())))
    rows = [[f"{row} {name}" for name in settings] for row in range(len(choices))]
    figure, axes = _canvas(16, 3.5 * len(choices), rows=rows)
    for row, (prompt, by_setting) in enumerate(choices.items()):
        plain = by_setting[settings[0]]
        best = plain.topk(10).indices
        texts = [tokenizer.decode([token]) for token in best.tolist()]
        for column, name in enumerate(settings):
            panel, probabilities = axes[f"{row} {name}"], by_setting[name]
            _bars(panel, texts, probabilities[best].tolist(), BLUE if column else GRAY)
            panel.barh(range(10), plain[best].tolist(), color="none", edgecolor=CORAL, linewidth=1 if column else 0)
            if column:
                panel.set_yticks([])
            rest = float(1 - probabilities[best].sum())
            panel.set_xlabel(f"all others: {max(rest, 0):.1%}", size=9)
            panel.set_title(name if row else f"{name}", size=11)
        axes[f"{row} {settings[0]}"].set_ylabel(f"“{prompt} …”", size=11, weight="bold")
    figure.suptitle("The ten most probable tokens; outlined in red, as they were", x=0.01, ha="left", color=INK)
    return figure


def draw_chat(
    tokens: Sequence[str],
    special: Sequence[bool],
    next_tokens: Mapping[str, Sequence[tuple[str, float]]],
    replies: Mapping[str, str],
) -> Figure:
    """The template's tokens; what comes next with it and without; and both answers."""
    figure, axes = _canvas(13.5, 6.2, rows=["tt", "wo", "ab"], height_ratios=[1.3, 1.3, 0.5])
    colors = [CORAL if own else LIGHT for own in special]
    _boxes(axes["t"], tokens, colors, 104, 10, ["white" if own else INK for own in special])
    axes["t"].set_title("A question in the chat template; what stands for no text, in red")
    for panel, below, (name, best), reply in zip("wo", "ab", next_tokens.items(), replies.values(), strict=True):
        texts, shares = zip(*best, strict=True)
        _bars(axes[panel], texts, shares, BLUE if panel == "w" else GRAY)
        axes[panel].set_title(f"What comes next, {name}")
        axes[below].axis("off")
        lines = textwrap.wrap(" ".join(reply.split()) or "(nothing)", 72)
        axes[below].text(0, 0.95, "\n".join(lines[:4]), va="top", size=10, style="italic", parse_math=False)
    return figure


def draw_cache(
    anew: Sequence[float], cached: Sequence[float], context: int, per_token: int, weights: int, longest: int
) -> Figure:
    """The time for each token with the cache and without; the memory that the cache takes as the text grows."""
    figure, axes = _canvas(13, 4.6, rows=["tm"], width_ratios=[1.25, 1])
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
    figure, axes = _canvas(15, 3.6, rows=["splm"])
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
    return figure


def draw_surprisals(
    judged: Iterable[tuple[str, str, str, float, float]], beginning: str, guesses: Sequence[tuple[str, float]]
) -> Figure:
    """Facts: how much the true and the false completion surprise. Below, a text of the model's own, and its guesses."""
    facts = list(judged)
    plt.style.use(STYLE)
    figure = plt.figure(figsize=(13.5, 9), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[2, 1])
    above, below = halves
    panel, page = above.subplots(), below.subplots()
    for row, (_, true, false, of_true, of_false) in enumerate(facts):
        color = CORAL if of_false <= of_true else LIGHT
        panel.plot([of_true, of_false], [row, row], color=color, linewidth=3, zorder=1)
        panel.plot(of_true, row, "o", color=BLUE, markersize=9, label="" if row else "the true completion")
        panel.plot(of_false, row, "X", color=CORAL, markersize=9, label="" if row else "a false one")
        left, right = sorted([(of_true, true), (of_false, false)])
        panel.annotate(left[1].strip(), (left[0], row), (-9, 0), textcoords="offset points", ha="right", va="center")
        panel.annotate(right[1].strip(), (right[0], row), (9, 0), textcoords="offset points", va="center")
    panel.set_yticks(range(len(facts)), [f"{prompt} …" for prompt, *_ in facts])
    most = max(max(fact[3:]) for fact in facts)
    panel.set(ylim=(len(facts) - 0.4, -0.6), xlim=(-0.17 * most, 1.13 * most), xlabel="surprisal (nats)")
    panel.set_xticks([tick for tick in panel.get_xticks() if 0 <= tick <= 1.1 * most])
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color="0.93")
    panel.set_axisbelow(True)
    panel.set_title("How much a true and a false completion surprise the model")
    panel.legend(loc="lower right")

    cmap: Colormap = plt.get_cmap("OrRd")
    scale = Normalize(0, 9)
    nats = [guess[1] for guess in guesses]
    tokens = [beginning, *(token for token, _ in guesses)]
    colors = ["0.92", *(cmap(scale(each)) for each in nats)]
    inks = [INK, *("white" if each > 6 else INK for each in nats)]
    _boxes(page, tokens, colors, 128, 9.5, inks, lines=5)
    page.set_title("A text of its own: the redder, the more it was a guess")
    below.colorbar(plt.cm.ScalarMappable(scale, cmap), ax=page, label="surprisal (nats)", pad=0.01, shrink=0.8)
    return figure
