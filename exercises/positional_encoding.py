# %% [markdown]
# # Positional encoding
#
# Attention looks at a sentence as a bag of words: shuffle the words, and every word still sees the same others. To
# attention alone, "the dog bites the man" and "the man bites the dog" are the same. So each word must be told where it
# stands. You build the two ways that matter:
#
# - **Sinusoids** (Vaswani et al. 2017, *Attention Is All You Need*, section 3.5): each position has a vector of its
#   own, which is *added* to the word's vector. The first transformer did this.
# - **Rotary embeddings**, RoPE for short (Su et al. 2021, *RoFormer*): queries and keys are *turned* by an angle that
#   grows with the position. Llama, Mistral, Qwen and most open models do this.
#
# **One idea carries both: hands of a clock.** A vector with *d* entries makes *d*/2 pairs, and each pair is one hand.
# From one position to the next, hand *i* turns by its own angle, its *frequency*:
#
# $$\theta_i = \mathrm{base}^{-2i/d}, \qquad i = 0, 1, \dots, d/2 - 1$$
#
# With base 10000, hand 0 turns by 1 radian per word and is back after 6.28 words; the slowest hand of a large vector
# needs some sixty thousand words for one round. The fast hands tell neighbors apart, the slow ones tell the beginning
# of a text from its end. You read the time from an hour, a minute and a second hand in just this way.
#
# **Shapes.** *T* is the number of positions, counted from 0, and *d* the size of a vector, always even. There are
# `[T, d/2]` angles, one for each position and hand; an encoding is `[T, d]`, and so are the vectors that RoPE turns,
# with any axes before these two.
#
# **A worked example.** Let *d* = 4, so there are two hands, with frequencies 10000^0 = 1 and 10000^(-2/4) = 0.01. At
# position 1 their angles are `[1, 0.01]`, and at position 2 they are `[2, 0.02]`. The encoding of position 1 holds
# each hand's sine and cosine: `[sin 1, cos 1, sin 0.01, cos 0.01] = [0.841, 0.540, 0.010, 1.000]`.

# %%
import numpy as np

# %% [markdown]
# ## Step 1: the angles
#
# Both encodings need the same table: for each position (a row) and each hand (a column), how far that hand has turned
# by then.


# %%
def rotation_angles(seq_len: int, width: int, base: float) -> np.ndarray:
    """angles[pos, i] = pos * theta_i  with  theta_i = base^(-2i/width)

    Args:
        seq_len: T, the number of positions: 0, 1, ..., T - 1.
        width: d, the size of a vector; d/2 is the number of hands.
        base: how much slower the last hands are than the first.

    Returns:
        Angles in radians, float64 `[T, d/2]`.

    Raises:
        ValueError: `width` is odd, and so its entries do not pair up.
    """
    if width % 2:
        raise ValueError(f"a vector of {width} entries cannot be split into pairs: the size must be even")
    # The frequency of each hand, [d/2].
    frequencies = ...  # FINISH ME
    # Every position times every frequency, [T, d/2].
    return ...  # FINISH ME


# %% [markdown]
# ## Step 2: sinusoids
#
# An angle as a number would be a poor feature: it grows without end, and 6.28 and 0 mean the same direction. Its sine
# and cosine say where the hand points, and stay between -1 and 1. Sines go to the even columns and cosines to the odd
# ones:
#
# $$\mathrm{PE}_{pos,\,2i} = \sin(pos \cdot \theta_i), \qquad \mathrm{PE}_{pos,\,2i+1} = \cos(pos \cdot \theta_i)$$
#
# Columns 2*i* and 2*i*+1 belong to the same hand, so both have the same angle.


# %%
def sinusoidal_positional_encoding(seq_len: int, d_model: int, base: float = 10000.0) -> np.ndarray:
    """PE[pos, 2i] = sin(pos * theta_i),  PE[pos, 2i + 1] = cos(pos * theta_i),  theta_i = base^(-2i/d_model)

    Args:
        seq_len: T, the number of positions: 0, 1, ..., T - 1.
        d_model: d, the size of the vectors that the encoding is added to.
        base: how much slower the last columns swing than the first.

    Returns:
        One row per position, float64 `[T, d]`.

    Raises:
        ValueError: `d_model` is odd.
    """
    angles = rotation_angles(seq_len, d_model, base)  # [T, d/2]
    encoding = np.empty((seq_len, d_model))  # [T, d]
    # The columns that hold sines.
    encoding[:, 0::2] = ...  # FINISH ME
    # And those that hold cosines.
    encoding[:, 1::2] = ...  # FINISH ME
    return encoding


# %% [markdown]
# ## Step 3: rotary embeddings
#
# RoPE adds nothing. It takes the entries of a query or key in pairs, sees each pair as a point in a plane, and turns
# that point around the origin:
#
# $$\begin{pmatrix} a' \\ b' \end{pmatrix} =
# \begin{pmatrix} \cos\alpha & -\sin\alpha \\ \sin\alpha & \cos\alpha \end{pmatrix}
# \begin{pmatrix} a \\ b \end{pmatrix}, \qquad \alpha = p \cdot \theta_i, \quad a = x_i, \quad b = x_{i + d/2}$$
#
# Why is that so good? Turn a query by 7 hours and a key by 5: the angle between them has changed by 2, whatever the
# time was. So their dot product, the attention score, depends on *how far apart* two words are, and not on where in
# the text they stand. And turning changes no vector's length, so it makes no word louder than another.
#
# **Which entries are a pair?** The paper pairs neighbors, 0 with 1 and 2 with 3. Llama checkpoints pair entry *i* of
# the first half with entry *i* of the second half: 0 with *d*/2, 1 with *d*/2 + 1. Either works if a model keeps to
# it. You use the second, so that real weights work with your code.
#
# **A worked example.** `x` has two positions and *d* = 4, and both rows are `[1, 2, 3, 4]`. Row 0 is turned by 0 and
# stays. In row 1, the pair (1, 3) turns by 1 radian and becomes (1 cos 1 - 3 sin 1, 1 sin 1 + 3 cos 1) = (-1.984,
# 2.462); the pair (2, 4) turns by 0.01 and becomes (1.960, 4.020). Back in their places:
# `[-1.984, 1.960, 2.462, 4.020]`.


# %%
def apply_rotary_embedding(x: np.ndarray, base: float = 10000.0) -> np.ndarray:
    """Turns the pair (x[p, i], x[p, i + d/2]) by the angle p * base^(-2i/d), at every position p   (Su et al. 2021)

    Args:
        x: queries or keys, `[..., T, d]`: position p stands at index p of the axis before the last.
        base: how much slower the last pairs turn than the first.

    Returns:
        The turned vectors in the shape of `x`. Floating dtypes are kept; integers are computed as floats.

    Raises:
        ValueError: `d` is odd.
    """
    seq_len, width = x.shape[-2:]
    dtype = x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64
    angles = rotation_angles(seq_len, width, base)  # [T, d/2]
    cos, sin = np.cos(angles), np.sin(angles)  # [T, d/2] each; they broadcast over the axes before T
    # The partners: the first half of each vector's entries and the second half, both [..., T, d/2].
    first, second = ...  # FINISH ME
    # The upper row of the rotation matrix: what becomes of `first`.
    turned_first = ...  # FINISH ME
    # The lower row: what becomes of `second`. It needs `first` as it was before the turn.
    turned_second = ...  # FINISH ME
    return np.concatenate([turned_first, turned_second], axis=-1).astype(dtype)  # [..., T, d]


# %% [markdown]
# ## What you have built
#
# The picture shows both. Above: the encoding, a row per position, and the waves in its columns. Below: four hands of
# the rotary clock over the first positions, and the score of one query with one key. That score is drawn for three
# places in the text, and the curves lie on top of each other: only the distance counts.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def draw() -> plt.Figure:
        """The sinusoids as a table and as waves; rotary hands of four speeds; a score that knows distances alone."""
        figure = plt.figure(figsize=(12, 9), layout="constrained")
        table, waves, hands, scores = figure.subplots(2, 2).flat
        encoding = sinusoidal_positional_encoding(128, 64)  # [128, 64]

        image = table.imshow(encoding, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        figure.colorbar(image, ax=table, pad=0.02)
        table.set(title="Sinusoids: each position is a row", xlabel="column", ylabel="position")

        speeds = plt.get_cmap("plasma")(np.linspace(0.05, 0.8, 4))  # one color for each of four hands
        for color, column in zip(speeds, [8, 16, 24, 32], strict=True):
            waves.plot(encoding[:, column], color=color, linewidth=1.8, label=f"column {column}")
        waves.set(title="Its columns: fast waves and slow ones", xlabel="position", ylim=(-1.1, 1.5))
        waves.legend(ncols=4, loc="upper center", frameon=False, fontsize=9)

        width, steps = 16, 7
        upright = np.tile(np.repeat([1.0, 0.0], width // 2), (steps, 1))  # [7, 16]: every pair is (1, 0)
        turned = apply_rotary_embedding(upright, base=100.0)  # [7, 16]
        fading = np.linspace(1.0, 0.2, steps)
        for pair, color in enumerate(speeds):
            center = np.array([2.9 * (pair % 2), -2.9 * (pair // 2)])
            hands.add_patch(plt.Circle(center, 1.0, facecolor="0.97", edgecolor="0.8"))
            for position in range(steps):
                tip = center + turned[position, [pair, pair + width // 2]]
                hands.plot(*zip(center, tip, strict=True), color=color, alpha=fading[position], linewidth=2.5)
                hands.plot(*tip, "o", color=color, alpha=fading[position], markersize=5)
                hands.annotate(str(position), center + 1.17 * (tip - center), ha="center", va="center", fontsize=8)
            hands.annotate(f"pair {pair}", center - [1.15, 1.05], ha="center", va="center", color=color)
        hands.set(
            title="RoPE: four hands of the clock at positions 0 to 6",
            xlim=(-2.0, 4.9),
            ylim=(-4.3, 1.4),
            aspect="equal",
        )
        hands.axis("off")

        word = np.full((301, 64), 1 / 8)  # [301, 64]: the same word of length 1, everywhere
        turned = apply_rotary_embedding(word)  # [301, 64]
        for start, thickness, color in [(0, 8, "0.85"), (50, 4, speeds[2]), (100, 1.2, speeds[0])]:
            score = turned[start : start + 200] @ turned[start]  # [200]: keys at distances 0 to 199
            scores.plot(score, color=color, linewidth=thickness, label=f"query at position {start}")
        scores.set(
            title="RoPE: the score of two equal words", xlabel="distance of the key from the query", ylim=(0, 1.05)
        )
        scores.legend(frameon=False)

        for axes in (waves, scores):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25)
        return figure

    show(draw)
