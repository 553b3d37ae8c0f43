# %% [markdown]
# # Choosing the next token
#
# A language model never writes. It gives every token of its vocabulary a *logit*, and stops there: the softmax of the
# logits says how probable each token is as the next one. Somebody has to choose. That is *decoding*, and it decides
# more about how a model reads than most people expect. Always taking the most probable token gives dull text that runs
# in circles; drawing from the full distribution gives a wrong word every few lines, for the vocabulary has a hundred
# thousand unlikely tokens and together they are not so unlikely. The usual way out is in four small steps:
#
# $$\text{logits} \;\to\; \text{temperature} \;\to\; \text{top-}k \;\to\; \text{top-}p \;\to\; \text{draw}$$
#
# **Temperature** $\tau$ divides the logits (Ackley, Hinton & Sejnowski 1985): $\mathrm{softmax}(z / \tau)$. Below 1 the
# favorites gain, above 1 the outsiders do.
#
# **Top-k** (Fan, Lewis & Dauphin 2018) keeps the *k* most probable tokens, whatever their probabilities are.
#
# **Top-p**, or nucleus sampling (Holtzman et al. 2020), keeps the smallest set of most probable tokens that together
# hold the probability *p*. Where the model is sure, this is one token or two; where it is not, hundreds.
#
# **Shapes.** `logits` are `[..., V]`: one number for each of *V* tokens, and any number of axes before that, say
# `[V]` for one text or `[B, V]` for a batch. Every row is a choice of its own. What a filter cuts becomes `-inf`,
# for $e^{-\infty} = 0$: a softmax gives it no probability, and shares its part among the tokens that stay.
#
# **A worked example.** The logits `[2, 1, 0, -1, -2]` have the probabilities `[0.636, 0.234, 0.086, 0.032, 0.012]`.
#
# | step | logits | probabilities |
# | --- | --- | --- |
# | temperature 0.5 | `[4, 2, 0, -2, -4]` | `[0.865, 0.117, 0.016, 0.002, 0.000]` |
# | temperature 2 | `[1, 0.5, 0, -0.5, -1]` | `[0.429, 0.260, 0.158, 0.096, 0.058]` |
# | top-k, k = 2 | `[2, 1, -inf, -inf, -inf]` | `[0.731, 0.269, 0, 0, 0]` |
# | top-p, p = 0.9 | `[2, 1, 0, -inf, -inf]` | `[0.665, 0.245, 0.090, 0, 0]` |
#
# In the last row two tokens hold 0.636 + 0.234 = 0.870, which is not yet 0.9. The third takes the sum across 0.9, and
# so it stays.

# %%
import math

import torch

# %% [markdown]
# ## Step 1: temperature
#
# Why not divide the probabilities? Because the next softmax would put them back: only the *differences* between logits
# count, and those are what a temperature stretches or shrinks. As τ goes to 0 the draw becomes the plain argmax.


# %%
def apply_temperature(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """softmax(z / temperature) is colder (surer) below 1 and hotter (more even) above it (Ackley et al. 1985).

    Args:
        logits: `[..., V]`.
        temperature: above 0.

    Returns:
        `[..., V]`, new logits. Floating dtypes are kept; integers are computed as floats.

    Raises:
        ValueError: `temperature` is 0 or less.
    """
    if temperature <= 0:
        raise ValueError(f"a temperature must be above 0, and this one is {temperature}")
    # The logits at this temperature.
    return logits / temperature  # FINISH ME


# %% [markdown]
# ## Step 2: top-k
#
# A token stays if its logit is at least the *k*-th largest of its row. Said like this, a tie is no riddle: two tokens
# that share the *k*-th place both stay.


# %%
def top_k_filter(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Keeps the k largest logits of every row and cuts the others (Fan et al. 2018).

    Args:
        logits: `[..., V]`.
        k: how many tokens stay, 1 or more. Ties with the k-th stay as well; from V on, all tokens stay.

    Returns:
        `[..., V]`: the logits that stay are as they were, and the others are `-inf`.

    Raises:
        ValueError: `k` is less than 1.
    """
    if k < 1:
        raise ValueError(f"at least 1 token must stay, and k is {k}")
    # [..., 1]: each row's k-th largest logit, or its smallest where it has fewer than k.
    kth = torch.topk(logits, min(k, logits.shape[-1]), dim=-1).values[..., -1:]  # FINISH ME
    # The logits, with -inf for those that go.
    return torch.where(logits >= kth, logits, -math.inf)  # FINISH ME


# %% [markdown]
# ## Step 3: top-p
#
# Sort a row from the least to the most probable token, and add the probabilities up on the way. In the example:
#
# | | `-2` | `-1` | `0` | `1` | `2` |
# | --- | --- | --- | --- | --- | --- |
# | probability | 0.012 | 0.032 | 0.086 | 0.234 | 0.636 |
# | sum so far | 0.012 | 0.043 | 0.129 | 0.364 | 1.000 |
#
# The sum so far is what is lost when this token goes, and all before it. We may lose 1 − p and no more: with p = 0.9
# the first two go. The third would take the loss to 0.129, and so it stays. (Seen from the top, the same rule reads: a
# token goes if the tokens above it already hold p. Adding the small numbers first only rounds less.)
#
# One detail: with a tiny p, `1 - p` rounds to 1.0, and the sum at the very last token is 1.0 too. So that a row never
# becomes empty, its most probable token always stays.
#
# And one last thing: the decisions are now in sorted order, and must go back to where their tokens are. `order` holds,
# for each sorted place, the index that it came from.


# %%
def top_p_filter(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Keeps the smallest set of most probable tokens that together hold the probability p (Holtzman et al. 2020).

    Args:
        logits: `[..., V]`.
        p: above 0, and at most 1. The token whose probability takes the sum to p stays, and the first always stays.

    Returns:
        `[..., V]`: the logits that stay are as they were, and the others are `-inf`.

    Raises:
        ValueError: `p` is not in (0, 1].
    """
    if not 0 < p <= 1:
        raise ValueError(f"p must be above 0 and at most 1, and it is {p}")
    ascending, order = torch.sort(logits * 1.0, dim=-1)  # both [..., V]; times 1.0 makes floats of integers
    # [..., V]: the probability of each token together with all that come before it.
    lost = ascending.softmax(dim=-1).cumsum(dim=-1)  # FINISH ME
    # [..., V], bool: which tokens go.
    cut_sorted = lost <= 1 - p  # FINISH ME
    cut_sorted[..., -1] = False  # the most probable token always stays
    # [..., V], bool: the same at the tokens' own places.
    cut = cut_sorted.scatter(-1, order, cut_sorted)  # FINISH ME
    return torch.where(cut, -math.inf, logits)


# %% [markdown]
# ## Step 4: the draw
#
# Now throw the dice, once for every row. The `generator` is the cup: all chance comes out of it, so that whoever starts
# with the same cup in the same state gets the same text again. It moves on with every draw, so the next one differs.


# %%
def sample(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One token id from every row, with the probabilities softmax(logits).

    Args:
        logits: `[..., V]`; a token with `-inf` is never drawn.
        generator: where all randomness comes from. The same state gives the same ids.

    Returns:
        `[...]`, ids from 0 to V - 1 (int64): the shape of `logits` without its last axis.
    """
    rows = (logits * 1.0).reshape(-1, logits.shape[-1])  # [N, V]: all leading axes in one, and floats
    # [N, V]: each row's probabilities, for logits of any size.
    probabilities = rows.softmax(dim=-1)  # FINISH ME
    # [N, 1]: one draw from each row, out of this generator.
    ids = torch.multinomial(probabilities, num_samples=1, generator=generator)  # FINISH ME
    return ids.reshape(logits.shape[:-1])


# %% [markdown]
# ## What you have built
#
# Two sentences that go on, one with a model that is sure and one with a model that is not. Look at the gray bars, which
# are the tokens that were cut: top-k keeps four in both, which is three too many on the left and cuts good words
# on the right. Top-p keeps one on the left and seven on the right. The dots are 4000 draws of your own `sample`.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    CONTEXTS = {
        "“The capital of France is …”": (
            ["Paris", "the", "Lyon", "a", "in", "Nice", "not", "London", "called", "blue"],
            [7.0, 3.4, 2.9, 2.3, 1.8, 1.4, 1.1, 0.6, 0.2, -1.5],
        ),
        "“My favorite word is …”": (
            ["love", "yes", "home", "hope", "moon", "maybe", "tea", "sorry", "the", "blue"],
            [2.3, 2.2, 2.0, 1.9, 1.7, 1.5, 1.3, 0.1, -0.6, -1.4],
        ),
    }
    STEPS = {
        "as the model gives them": lambda logits: logits,
        "temperature 2": lambda logits: apply_temperature(logits, 2.0),
        "top-k, k = 4": lambda logits: top_k_filter(logits, 4),
        "top-p, p = 0.9": lambda logits: top_p_filter(logits, 0.9),
    }

    def draw() -> plt.Figure:
        """What each step leaves of a sure and an unsure distribution, with the frequencies of 4000 draws."""
        figure, axes = plt.subplots(len(STEPS), 2, figsize=(11, 9), sharey="col", sharex="col")
        generator = torch.Generator().manual_seed(0)
        for column, (context, (words, numbers)) in zip(axes.T, CONTEXTS.items(), strict=True):
            logits = torch.tensor(numbers)  # [10]
            places = range(len(words))
            for axis, (name, step) in zip(column, STEPS.items(), strict=True):
                left = step(logits)
                ids = sample(left.expand(4000, -1), generator)  # [4000]
                frequencies = torch.bincount(ids, minlength=len(words)) / 4000
                stays = left.isfinite()
                axis.bar(places, logits.softmax(-1), 0.78, color="0.9", label="the model's probability")
                axis.bar(places, left.softmax(-1), 0.5, color="#3b6ea5", label=f"after {name}")
                axis.plot(
                    [place for place in places if stays[place]], frequencies[stays],
                    "o", color="#e8842c", markersize=5, label="drawn, of 4000",
                )  # fmt: skip
                axis.set_title(f"{name}: {int(stays.sum())} stay", fontsize=11, loc="left")
                axis.spines[["top", "right"]].set_visible(False)
            column[-1].set_xticks(places, words, rotation=40, ha="right")
            column[0].annotate(context, (0.5, 1.3), xycoords="axes fraction", ha="center", fontsize=14)
        for axis in axes[:, 0]:
            axis.set_ylabel("probability")
        handles, _ = axes[0, 0].get_legend_handles_labels()
        labels = ["how often it was drawn", "the model's probability", "after the step"]
        figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, bbox_to_anchor=(0.5, -0.03))
        figure.tight_layout()
        return figure

    show(draw)
