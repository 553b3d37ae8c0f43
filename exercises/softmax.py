# %% [markdown]
# # Softmax
#
# A language model ends with one number per word of its vocabulary: a *score* (or *logit*), anything from minus to plus
# infinity. To choose a word we need *probabilities*: not negative, and together 1. Softmax makes one from the other:
#
# $$\mathrm{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}}$$
#
# The formula goes back to Boltzmann (1868); Bridle (1990) gave it its name. You will meet it again and again: attention
# is a softmax over words, and the loss that trains a language model is the logarithm of one.
#
# **A worked example.** The scores `[1, 2, 3]` become `[2.718, 7.389, 20.086]` under exp. Their sum is `30.193`, so the
# probabilities are `[0.090, 0.245, 0.665]`. A score that is larger by 1 makes a word *e* ≈ 2.718 times as probable.
#
# **The catch.** `np.exp(710)` is too large for a float and becomes `inf`, and `inf / inf` is `nan`; in float32, which
# models prefer, it happens at 89 already. The way out is one idea: softmax does not change when the same number *c* is
# subtracted from all scores,
#
# $$\frac{e^{z_i - c}}{\sum_j e^{z_j - c}} = \frac{e^{z_i} e^{-c}}{\sum_j e^{z_j} e^{-c}} = \mathrm{softmax}(z)_i$$
#
# so choose *c* well and no exponential can overflow.
#
# **Shapes.** `scores` may have any number of axes. Each slice along `axis` is one distribution of its own: of scores
# `[2, 3, 5]` with `axis=-1`, six distributions over five words. The result has the shape of the scores.

# %%
import numpy as np

# %% [markdown]
# ## Step 1: softmax
#
# A score of `-inf` means "never": its probability is exactly 0. That comes for free, for `np.exp(-np.inf)` is `0.0`.


# %%
def softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Turns scores into probabilities (Bridle 1990).

        softmax(z)_i = exp(z_i) / sum_j exp(z_j)

    Args:
        scores: `[...]`, any numbers up to ±1e6, or -inf, with a finite one in every slice along `axis`.
        axis: the axis along which the results sum to 1.

    Returns:
        Probabilities in the shape of `scores`. Floating dtypes are kept; integers are computed as floats.
    """
    # The number to subtract from each slice, so that its largest exponent is 0.
    largest = ...  # FINISH ME
    # exp of what is left of each score: all between 0 and 1.
    exponentials = ...  # FINISH ME
    # Each slice divided by its own sum.
    return ...  # FINISH ME


# %% [markdown]
# ## Step 2: its logarithm
#
# Losses need log-probabilities. `np.log(softmax(z))` fails where a probability is too small for a float: the scores
# `[0, 1000]` have the probabilities `[0, 1]`, and `np.log(0)` is `-inf`. Take the logarithm on paper instead:
#
# $$\log \mathrm{softmax}(z)_i = (z_i - c) - \log \sum_j e^{z_j - c}$$
#
# With *c* the largest score again, `[0, 1000]` becomes `[-1000, 0]`, as it should. The sum is never below 1, for one of
# its terms is *e*⁰, and so its logarithm is always finite.


# %%
def log_softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Makes log-probabilities of scores.

        log softmax(z)_i = z_i - log sum_j exp(z_j)

    Args:
        scores: `[...]` as for `softmax`.
        axis: the axis along which the probabilities sum to 1.

    Returns:
        Log-probabilities in the shape of `scores`, finite wherever the scores are. Dtypes as for `softmax`.
    """
    # The scores, made safe for exp().
    shifted = ...  # FINISH ME
    # The logarithm of what softmax gives.
    return ...  # FINISH ME


# %% [markdown]
# ## What you have built
#
# The last step of every language model. Its *temperature* divides the scores before the softmax: cold makes the best
# word nearly certain, hot makes all words nearly alike. At every temperature the five probabilities share the whole.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def draw() -> plt.Figure:
        """One model's scores for the next word at three temperatures, and at all temperatures in between."""
        words, scores = ["Paris", "London", "a", "the", "blue"], np.array([4.0, 2.5, 2.0, 1.5, -1.0])  # [5]
        colors = {0.5: "#2b6cb0", 1.0: "#8e7cc3", 3.0: "#dd6b4d"}
        figure, (bars, shares) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
        figure.suptitle("“The capital of France is …”", fontsize=15)

        for offset, (temperature, color) in enumerate(colors.items()):
            places = np.arange(5) + 0.28 * (offset - 1)
            drawn = bars.bar(places, softmax(scores / temperature), 0.26, color=color, label=f"T = {temperature:g}")
            bars.bar_label(drawn, fmt="{:.2f}", fontsize=8, color=color, padding=2)
        bars.set_xticks(np.arange(5), [f"{word}\n{score:+.1f}" for word, score in zip(words, scores, strict=True)])
        bars.set(title="The same scores at three temperatures", xlabel="word and score", ylabel="probability")
        bars.set_ylim(0, 1.02)
        bars.legend(frameon=False, loc="upper right")
        bars.spines[["top", "right"]].set_visible(False)

        temperatures = np.geomspace(0.2, 20, 200)
        rows = softmax(scores / temperatures[:, None])  # [200, 5]
        shades = plt.get_cmap("viridis")(np.linspace(0.2, 0.95, 5))
        shares.stackplot(temperatures, rows.T, colors=shades, alpha=0.85, edgecolor="white", linewidth=0.8)
        middles = np.cumsum(rows[-1]) - rows[-1] / 2  # [5]: where each band ends on the right, at its middle
        for word, middle in zip(words, middles, strict=True):
            shares.text(21, middle, word, va="center")
        for temperature in colors:
            shares.axvline(temperature, color="white", linestyle="--", linewidth=1.5)
            shares.text(temperature, 0.03, f" T = {temperature:g}", color="white")
        shares.set_xscale("log")
        shares.set_xticks([0.2, 0.5, 1, 3, 10, 20], ["0.2", "0.5", "1", "3", "10", "20"])
        shares.set_xticks([], minor=True)
        shares.set(title="From certain to undecided", xlabel="temperature", ylabel="share of the whole")
        shares.set(xlim=(0.2, 20), ylim=(0, 1))
        shares.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
