# %% [markdown]
# # Multi-head attention
#
# One attention is one question. In "the cat that chased the dog was tired", the word "was" wants to know *who* was
# tired, and *how many* of them there are, and *what kind* of word comes next; but softmax gives it a single set of
# weights, and so a single mixture of words. **Multi-head attention** asks several questions at once. It cuts each
# word's vector into `H` pieces, lets every piece, a **head**, attend on its own, and puts the answers back side by
# side. As Vaswani et al. (2017) have it in "Attention Is All You Need", section 3.2.2:
#
# $$\mathrm{head}_h = \mathrm{softmax}\left(\frac{Q_h K_h^\top}{\sqrt{D}}\right) V_h \qquad
# \mathrm{MultiHead}(x) = [\mathrm{head}_1, \ldots, \mathrm{head}_H]\, W_O + b_O$$
#
# where `Q = x W_Q + b_Q`, and likewise `K` and `V`, and head `h` gets the `h`-th piece of the columns of each. All
# heads together cost as much as one head of full size: they share the columns, and nothing is computed twice.
#
# **Why √D?** A score is a sum of `D` products. If each product varies with size 1, the sum varies with size √D;
# divided by √D it varies with size 1 again, whatever the heads' size, and softmax neither saturates nor goes flat.
# Each head has `D` columns, so it is √D and not √C.
#
# **Shapes.** `B` texts, `T` words, `C` numbers a word; `H` heads of size `D = C / H`.
#
# | what | shape |
# | --- | --- |
# | `x`, and its projections before they are split | `[B, T, C]` |
# | query, key and value, split into heads | `[B, H, T, D]` |
# | scores and weights: each query (row) for each key (column) | `[B, H, T, T]` |
# | mask: True where a query may attend a key | anything that broadcasts to `[B, H, T, T]` |
# | the result | `[B, T, C]` |
#
# **A worked example.** Two words with `C = 6`, and three heads:
#
#     x[0] = [[0, 1, 2, 3,  4,  5],        head 0: [[0, 1], [6,  7]]
#             [6, 7, 8, 9, 10, 11]]        head 1: [[2, 3], [8,  9]]
#                                          head 2: [[4, 5], [10, 11]]
#
# Every head has a piece of *both* words. A mere `x.reshape(1, 3, 2, 2)` gives head 0 `[[0, 1], [2, 3]]` instead: two
# pieces of the first word. The shape is right, and nothing complains; but every head now mixes up the words, and not
# even a causal mask hides the future any more.

# %%
import math

import torch
from torch import Tensor, nn

# %% [markdown]
# ## Step 1: cut into heads
#
# First cut the last axis: `[B, T, C]` becomes `[B, T, H, D]`, and no number moves. Then swap the middle axes, so that
# `H` stands beside `B`: matrix products work on the last two axes, `[T, D]`, and treat all axes before them as a
# batch. So each head is computed as if it were a text of its own, with no loop.


# %%
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """heads[b, h, t, d] = x[b, t, h·D + d], with D = C / num_heads.

    Args:
        x: `[B, T, C]`.
        num_heads: how many heads, H.

    Returns:
        `[B, H, T, D]`: head h holds the columns h·D … (h+1)·D of `x`.

    Raises:
        ValueError: `num_heads` does not divide C.
    """
    B, T, C = x.shape
    if num_heads < 1 or C % num_heads:
        raise ValueError(f"{C} columns cannot be shared out equally among {num_heads} heads")
    # Each position's columns in pieces: [B, T, H, D].
    pieces = ...  # FINISH ME
    # Every head with all positions: [B, H, T, D].
    return ...  # FINISH ME


# %% [markdown]
# ## Step 2: and back together
#
# The same two moves backwards, in the other order.


# %%
def merge_heads(x: Tensor) -> Tensor:
    """merged[b, t, h·D + d] = x[b, h, t, d]: the inverse of `split_heads`.

    Args:
        x: `[B, H, T, D]`.

    Returns:
        `[B, T, H·D]`.
    """
    B, H, T, D = x.shape
    # Every position with all its columns: [B, T, H·D].
    return ...  # FINISH ME


# %% [markdown]
# ## Step 3: attention, for all heads at once
#
# Project, split, score, mask, softmax, mix, merge, project: eight moves, and most are one line. The scores of all
# heads come from one matrix product, which needs the keys with their last two axes turned. (`key.T` would turn all
# four.)
#
# The mask is a boolean tensor and says who *may* look: True is yes. (PyTorch's `nn.MultiheadAttention` means the
# opposite; its `scaled_dot_product_attention` agrees with us.) A causal mask is `[T, T]`, alike for all texts and
# heads. Texts of unequal length are padded to the longest, and a mask `[B, 1, 1, T]` hides the padding. Broadcasting
# makes both fit.


# %%
class MultiHeadAttention(nn.Module):
    """MultiHead(x) = merge(softmax(Q Kᵀ / √D) V) W_O + b_O, with Q, K, V split into heads   (Vaswani et al. 2017).

    Args:
        embed_dim: the size C of each position's vector.
        num_heads: how many heads share it, H.

    Attributes:
        q_proj, k_proj, v_proj: `nn.Linear`, from x to queries, keys and values, C → C.
        out_proj: `nn.Linear`, from the merged heads to the result, C → C.

    Raises:
        ValueError: `num_heads` does not divide `embed_dim`.
    """

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"{embed_dim} columns cannot be shared out equally among {num_heads} heads")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Lets every position attend to the positions that it may see, in every head.

        Args:
            x: `[B, T, C]`, in the dtype of the weights.
            mask: booleans that broadcast to `[B, H, T, T]`, True where a query (row) may attend a key (column), with a
                True in every row; None hides nothing.

        Returns:
            `[B, T, C]`, in the dtype of `x`. A score of a few thousand is no trouble, and gradients flow back to
            `x` and to every weight.
        """
        return ...  # FINISH ME: the whole function


# %% [markdown]
# ## What you have built
#
# A game for attention alone: the input is eleven letters, and every position has to name *four* of them at once, the
# one before it, the one after it, the one opposite (counted from the end) and the first of all. The curves are four
# models with the same number of weights. One head has one set of weights and cannot look at four places; four heads
# can. The maps are the heads of the model with four, after the game: nobody told them to share out the work.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    WORD = "TRANSFORMER"

    class Game(nn.Module):
        """Letters and their places in, attention, four letters out at every position."""

        def __init__(self, num_heads: int, embed_dim: int = 64) -> None:
            super().__init__()
            self.letters, self.places = nn.Embedding(26, embed_dim), nn.Embedding(len(WORD), embed_dim)
            self.attention, self.out = MultiHeadAttention(embed_dim, num_heads), nn.Linear(embed_dim, 4 * 26)

        def embed(self, ids: Tensor) -> Tensor:
            """`[B, T]` → `[B, T, C]`."""
            return self.letters(ids) + self.places.weight

        def forward(self, ids: Tensor) -> Tensor:
            """`[B, T]` → logits `[B, T, 4, 26]`."""
            return self.out(self.attention(self.embed(ids))).unflatten(-1, (4, 26))

        def looks_at(self, ids: Tensor) -> Tensor:
            """Each head's weights for `[1, T]`: `[H, T, T]`."""
            x, heads = self.embed(ids), self.attention.num_heads
            query = split_heads(self.attention.q_proj(x), heads)
            key = split_heads(self.attention.k_proj(x), heads)
            return (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(-1)[0].detach()

    def four_letters(ids: Tensor) -> Tensor:
        """`[B, T]` → `[B, T, 4]`: the letter before, the one after, the one opposite, and the first."""
        return torch.stack([ids.roll(1, 1), ids.roll(-1, 1), ids.flip(1), ids[:, :1].expand_as(ids)], dim=-1)

    def play(num_heads: int, steps: int = 160) -> tuple[Game, list[float]]:
        """A model that has played, and its losses."""
        torch.manual_seed(1)
        model, losses = Game(num_heads), []
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(steps):
            ids = torch.randint(26, (64, len(WORD)))  # [64, T]
            loss = nn.functional.cross_entropy(model(ids).flatten(0, 2), four_letters(ids).flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return model, losses

    def draw() -> plt.Figure:
        """What one head cannot learn and four can, and where the four look."""
        figure = plt.figure(figsize=(13.5, 7.2), layout="constrained")
        left, right = figure.subfigures(1, 2, wspace=0.03, width_ratios=[1, 1.25])
        curves, maps = left.subplots(), right.subplots(2, 2)
        for num_heads, color in [(1, "tab:red"), (2, "tab:orange"), (4, "tab:purple"), (8, "tab:blue")]:
            model, losses = play(num_heads)
            curves.plot(losses, color=color, label=f"{num_heads} head{'s' if num_heads > 1 else ''}")
            if num_heads == 4:
                learned = model.looks_at(torch.tensor([[ord(letter) - ord("A") for letter in WORD]]))  # [4, T, T]
        curves.set(xlabel="training step", ylabel="loss (nats a letter)", ylim=(0, None))
        curves.set_title("Name the letters before, after, opposite and first")
        curves.legend()
        curves.grid(alpha=0.3)

        places = four_letters(torch.arange(len(WORD))[None])[0]  # [T, 4]: where the four letters stand
        for head, (axes, weights) in enumerate(zip(maps.flat, learned, strict=True)):
            found = weights.gather(1, places).mean(0).argmax()  # the question whose places get the most weight
            axes.imshow(weights, cmap="magma", vmin=0, vmax=1)
            axes.set_xticks(range(len(WORD)), WORD)
            axes.set_yticks(range(len(WORD)), WORD)
            axes.set_title(
                f"head {head} looks for the letter {['before', 'after', 'opposite', 'that is first'][found]}"
            )
        right.supylabel("this position …")
        right.supxlabel("… looks at this one")
        return figure

    show(draw)
