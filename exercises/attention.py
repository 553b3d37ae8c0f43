# %% [markdown]
# # Dot-product attention
#
# A word means little without its neighbors: in *"the cat slept because it was tired"*, what is *it*? Attention lets
# every word look at all others and take along what it needs. It is a look-up in a dictionary, only soft: a *query* is
# compared with every *key*, and what comes back is not one *value* but a mixture of all, weighted by how well each key
# answers the query.
#
# How well? The larger the dot product of query and key, the better. A softmax turns these scores into weights:
#
# $$w = \mathrm{softmax}(q \cdot k_1, \ldots, q \cdot k_T) \qquad c = \sum_j w_j v_j$$
#
# Bahdanau et al. (2015) brought attention to translation, Luong et al. (2015) made its score a dot product, and Vaswani
# et al. (2017) built a whole network of it, the transformer. You build Luong's first, and then Vaswani's.
#
# **A worked example.** Three hidden states, `[1, 0]`, `[0, 1]` and `[1, 1]`, and one previous state, `[2, 0]`. The dot
# products are `[2, 0, 2]`, and their softmax is `[0.468, 0.063, 0.468]`: the second hidden state points elsewhere, and
# is nearly ignored. The mixture is `0.468·[1, 0] + 0.063·[0, 1] + 0.468·[1, 1] = [0.937, 0.532]`.
#
# **Shapes.** `[T, d]` means T rows, one for each word, of d numbers each; `...` is any number of leading axes (a batch,
# heads). T_q queries and T_k keys have T_q · T_k dot products, so scores and weights are `[..., T_q, T_k]`: a row for
# each query, a column for each key, and each row sums to 1.

# %%
import math

import numpy as np
from softmax import softmax

# %% [markdown]
# ## Step 1: attention between two sequences
#
# Luong's setting: a decoder that has written `T_previous` words looks back at the `T_hidden` words of the sentence that
# it translates. Its states are the queries, and the hidden states are the keys and the values at once.


# %%
def dot_product_attention(hidden_states: np.ndarray, previous_state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lets previous states attend to hidden states (Luong et al. 2015).

        w_n = softmax(previous_state @ hidden_states^T),   c_t = w_n @ hidden_states

    Args:
        hidden_states: `[T_hidden, d]`, what is looked at.
        previous_state: `[T_previous, d]`, who looks.

    Returns:
        The weights `w_n`, `[T_previous, T_hidden]`, and the mixtures `c_t`, `[T_previous, d]`. Floating dtypes are
        kept; integers are computed as floats.
    """
    # The dot product of every previous state with every hidden state: [T_previous, T_hidden].
    scores = ...  # FINISH ME
    # Weights over the hidden states, for each previous state: [T_previous, T_hidden].
    w_n = ...  # FINISH ME
    # The hidden states, mixed by each row of weights: [T_previous, d].
    c_t = ...  # FINISH ME
    return w_n, c_t


# %% [markdown]
# ## Step 2: who may look where
#
# A language model learns to guess the next word, so no word may look at those that come after it: there it would find
# the answer. A *mask* says who may look at whom: True where a query (row) may attend a key (column). For
# three words, the *causal* mask is
#
# ```
# [[ True, False, False],      the first word sees itself,
#  [ True,  True, False],      the second the first and itself,
#  [ True,  True,  True]]      the third all three.
# ```


# %%
def causal_mask(seq_len: int) -> np.ndarray:
    """Says that position i may attend position j where j <= i.

    Args:
        seq_len: the number of positions.

    Returns:
        Booleans `[seq_len, seq_len]`, True on and below the diagonal.
    """
    # The matrix of the text, for any number of words.
    return ...  # FINISH ME


# %% [markdown]
# ## Step 3: the attention of transformers
#
# Vaswani et al. (2017) let keys and values be different vectors, and divide the scores by $\sqrt{d_k}$:
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V$$
#
# Why? Let queries and keys have independent entries of mean 0 and variance 1. Their dot product is a sum of $d_k$ terms
# of variance 1, so its standard deviation is $\sqrt{d_k}$. With long vectors the scores lie far apart, softmax gives
# nearly everything to one key, and hardly any gradient comes through. Divided by $\sqrt{d_k}$, they keep variance 1. In
# the worked example, `[2, 0, 2] / √2 = [1.414, 0, 1.414]`, and the weights become milder: `[0.446, 0.108, 0.446]`.
#
# **Masking.** A key that must not be seen gets the score `-inf` *before* the softmax. You know what happens then: its
# weight is exactly 0, and the others share the whole. Zeros put in *after* the softmax would leave rows that sum to
# less than 1.
#
# Dot products of long vectors may be in the thousands, of either sign. Your softmax is made for that.


# %%
def scaled_dot_product_attention(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Lets queries attend to keys and mixes their values (Vaswani et al. 2017, equation 1).

        weights = softmax(query @ key^T / sqrt(d_k)),   output = weights @ value

    Args:
        query: `[..., T_q, d_k]`, one row for each who looks.
        key: `[..., T_k, d_k]`, one row for each who may be looked at.
        value: `[..., T_k, d_v]`, what each key has to give.
        mask: booleans that broadcast to `[..., T_q, T_k]`, True where a query may attend a key, at least once in every
            row; None lets every query attend every key.

    Returns:
        The output `[..., T_q, d_v]` and the weights `[..., T_q, T_k]`. A masked key has weight exactly 0. Floating
        dtypes are kept; integers are computed as floats.
    """
    # The dot product of every query with every key: [..., T_q, T_k].
    scores = ...  # FINISH ME
    # Scaled, in the dtype that they have.
    scores = ...  # FINISH ME
    if mask is not None:
        # The scores, with those of hidden keys out of the running.
        scores = ...  # FINISH ME
    weights = softmax(scores, axis=-1)
    # Each row of weights mixes the values: [..., T_q, d_v].
    output = ...  # FINISH ME
    return output, weights


# %% [markdown]
# ## What you have built
#
# The heart of every transformer: two matrix products, and a softmax between them. In the picture, *it* finds the *cat*.
# The words' vectors are made by hand there; a real model learns them. On the right, both of your functions look at 16
# random keys: the longer the vectors, the more one key takes all, unless the scores are divided by $\sqrt{d_k}$.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def draw() -> plt.Figure:
        """Who looks at whom in a sentence, without and with a causal mask, and what dividing by the root is for."""
        words = ["the", "cat", "slept", "because", "it", "was", "tired"]
        features = {  # what a word asks for (query) and what it offers (key), in hand-made features
            "animal": ([0, 1, 2, 0, 3, 0, 2], [0, 3, 0, 0, 1, 0, 0]),
            "action": ([0, 1, 0, 2, 0, 2, 1], [0, 0, 3, 0, 0, 1, 2]),
            "little word": ([1, 0, 0, 1, 0, 0, 0], [2, 0, 0, 1, 0, 1, 0]),
        }
        query, key = (np.array(rows, float).T for rows in zip(*features.values(), strict=True))  # [7, 3] each
        figure, (whole, causal, sharpness) = plt.subplots(1, 3, figsize=(16, 5), layout="constrained")
        for axes, title, mask in (
            (whole, "Every word sees every word", None),
            (causal, "… or none after it", causal_mask(7)),
        ):
            _, weights = scaled_dot_product_attention(query, key, key, mask)  # [7, 7]
            colors = plt.get_cmap("YlGnBu").with_extremes(bad="0.93")
            axes.imshow(weights if mask is None else np.where(mask, weights, np.nan), cmap=colors, vmin=0, vmax=1)
            for row, column in np.argwhere(weights >= 0.05):
                percent, color = f"{weights[row, column]:.0%}", "white" if weights[row, column] > 0.5 else "black"
                axes.text(column, row, percent, ha="center", va="center", fontsize=9, color=color)
            axes.set_xticks(range(7), words, rotation=35)
            axes.set_yticks(range(7), words)
            axes.set(title=title, xlabel="is looked at (key)", ylabel="looks (query)")
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)

        rng = np.random.default_rng(0)
        lengths = [2**power for power in range(1, 11)]
        plain, scaled = [], []  # the mean over all queries of the largest weight
        for length in lengths:
            queries, keys = rng.standard_normal((2, 50, 16, length))  # 50 times 16 of each
            pairs = zip(keys, queries, strict=True)
            plain.append(np.mean([dot_product_attention(*pair)[0].max(axis=-1) for pair in pairs]))
            scaled.append(scaled_dot_product_attention(queries, keys, keys)[1].max(axis=-1).mean())
        sharpness.semilogx(lengths, plain, "o-", base=2, color="#c2410c", label="softmax(q · k)")
        sharpness.semilogx(lengths, scaled, "o-", base=2, color="#225ea8", label="softmax(q · k / √d)")
        sharpness.axhline(1 / 16, color="0.6", linestyle=":", label="all 16 keys alike")
        sharpness.set_xticks(lengths, lengths)
        sharpness.set(title="Why the scores are divided by √d", xlabel="length d of the vectors", ylim=(0, 1))
        sharpness.set_ylabel("largest of 16 weights, on average")
        sharpness.spines[["top", "right"]].set_visible(False)
        sharpness.legend(frameon=False, loc="upper left")
        return figure

    show(draw)
