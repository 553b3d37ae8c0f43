# %% [markdown]
# # The key-value cache
#
# A language model writes one token at a time: it reads all it has, chooses the next token, appends it, and reads again.
# Read everything anew each time, and the thousandth token costs a thousand times what the first did, although 999 of
# the thousand were there before. The *key-value cache* remembers what can be remembered, and leaves for each new token
# only what is really new.
#
# What can be remembered? In causal self-attention (Vaswani et al. 2017) the token at position *t* looks back at every
# position *s* up to its own:
#
# $$\mathrm{out}_t = \sum_{s \le t} a_{ts}\, v_s, \qquad
#   a_{ts} = \frac{\exp(q_t \cdot k_s / \sqrt{D})}{\sum_{r \le t} \exp(q_t \cdot k_r / \sqrt{D})}$$
#
# The key $k_s$ and the value $v_s$ are made from token *s* alone. No later token changes them, and every later token
# needs them: so keep them. The query $q_t$ is used once, for its own token: so forget it. (Shazeer 2019 counts what
# this saves and what it costs, and Pope et al. 2022 how it works in large models.)
#
# **Shapes.** *B* texts, *T* new tokens, *C* numbers a token; *H* heads of *D* = *C* / *H* numbers each.
# If *P* positions are in the cache already, there are *S* = *P* + *T* in all.
#
# | | shape | |
# | --- | --- | --- |
# | `x` | `[B, T, C]` | the new tokens alone |
# | query | `[B, H, T, D]` | of the new tokens |
# | key, value | `[B, H, S, D]` | of all tokens: the cache's, then the new ones |
# | weights | `[B, H, T, S]` | one row for each new token |
# | result | `[B, T, C]` | for the new tokens |
#
# **A worked example.** One head, *C* = *D* = 2, and projections that change nothing, so that query, key and value are
# the token itself. The tokens `[1, 0]` and `[0, 1]` were read before: their keys and values are in the cache. Now comes
# `[1, 1]`, alone. Its scores against the three keys are `[1, 1, 2]` / √2 = `[0.707, 0.707, 1.414]`, the weights
# `[0.248, 0.248, 0.503]`, and the result 0.248 · `[1, 0]` + 0.248 · `[0, 1]` + 0.503 · `[1, 1]` = `[0.752, 0.752]`:
# what the third of three tokens gets without a cache.
#
# **The price** is memory. Llama 2 7B keeps a key and a value of 4096 numbers in each of its 32 layers: 2 · 32 · 4096
# numbers of two bytes are half a megabyte for every token, and 2 GB for a context of 4096.

# %%
import math

import torch
from torch import nn

# %% [markdown]
# ## Step 1: the memory
#
# The cache knows nothing of attention. It holds two tensors, and what comes is put behind what is there, along the
# positions' axis. Each text that is being written has a cache of its own, and each layer of a model too.


# %%
class KVCache:
    """The keys and values of all positions so far, in their order."""

    def __init__(self) -> None:
        self.keys: torch.Tensor | None = None  # [B, H, T, D] as soon as there are any
        self.values: torch.Tensor | None = None

    def append(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds positions at the end.

        Args:
            key: `[B, H, T, D]`, the new positions' keys.
            value: `[B, H, T, D]`, their values.

        Returns:
            All keys and all values so far, each `[B, H, S, D]`, the new ones last.
        """
        if self.keys is None or self.values is None:
            self.keys, self.values = key, value
        else:
            # [B, H, P, D] and [B, H, T, D] make [B, H, P + T, D].
            self.keys = ...  # FINISH ME
            # The values likewise.
            self.values = ...  # FINISH ME
        return self.keys, self.values

    def __len__(self) -> int:
        """How many positions it holds; 0 at first."""
        # How many positions there are, also in a new cache.
        return ...  # FINISH ME


# %% [markdown]
# ## Step 2: attention that remembers
#
# The new tokens may be the whole prompt at once, or a single token, or a few in the middle: `forward` is the same for
# all of them. Against plain self-attention, only two things are new. The keys and values take a detour through the
# cache. And the causal mask is no longer square: with *P* = 3 positions in the cache and *T* = 2 new tokens, it is
#
# | | 0 | 1 | 2 | 3 | 4 |
# | --- | --- | --- | --- | --- | --- |
# | token 3 | yes | yes | yes | yes | no |
# | token 4 | yes | yes | yes | yes | yes |
#
# Row *i* is the token at position *P* + *i*. It sees everything in the cache, the new tokens before it and itself.
#
# One trap waits here. A new cache has length 0, and Python takes an object of length 0 for false: with `if cache:` the
# first tokens would never be stored. Ask `cache is not None`.


# %%
class CachedSelfAttention(nn.Module):
    """Causal multi-head self-attention (Vaswani et al. 2017) whose past may be in a cache.

    Args:
        embed_dim: C, the numbers of a token.
        num_heads: H, how many heads share them.

    Raises:
        ValueError: `num_heads` does not divide `embed_dim`.
    """

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads cannot share {embed_dim} numbers evenly")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: torch.Tensor, cache: KVCache | None = None) -> torch.Tensor:
        """softmax(QKᵀ / √D) V, where a token sees itself and what came before it, also in earlier calls.

        Any split of a text into pieces, handed over one after the other with one cache, gives what the whole text
        gives at once.

        Args:
            x: `[B, T, C]`, the new tokens alone.
            cache: the keys and values of what came before, to which this call appends. None: nothing came before,
                and nothing is remembered.

        Returns:
            `[B, T, C]`, for the new tokens, in the dtype of `x`; a score of a few thousand is no trouble. Without a
            cache, gradients flow back to `x` and to every weight.
        """
        return ...  # FINISH ME: the whole function


# %% [markdown]
# ## What you have built
#
# On the left, twelve tokens that your layer read in five calls. A square is the darker, the more an output (its row)
# changes when an input (its column) does: every call sees all that the calls before it left in the cache, and no token
# sees its future. On the right, the multiplications for one more token, counted by PyTorch while your own code runs.
# Without a cache the whole text is read again for it, and twice the length becomes four times the work. With the cache,
# twice the length is never more than twice the work.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt
    from torch.utils.flop_counter import FlopCounterMode

    from autograder.pictures import show

    PIECES = {"1st call: the prompt": 5, "2nd call": 1, "3rd call": 1, "4th call": 4, "5th call": 1}
    COLORS = ["Blues", "Oranges", "Greens", "Purples", "Reds"]

    def read(layer: CachedSelfAttention, x: torch.Tensor) -> torch.Tensor:
        """The outputs `[1, T, C]` of a text that is read in pieces."""
        cache = KVCache()
        return torch.cat([layer(piece, cache) for piece in x.split(list(PIECES.values()), dim=1)], dim=1)

    def multiplications(layer: CachedSelfAttention, context: int, cached: bool) -> float:
        """How many multiplications one more token takes after `context` others."""
        x, cache = torch.randn(1, context + 1, layer.q_proj.in_features), KVCache()
        if cached:
            layer(x[:, :-1], cache)
        with FlopCounterMode(display=False) as counter:
            if cached:
                layer(x[:, -1:], cache)
            else:
                layer(x)
        return counter.get_total_flops() / 2  # it counts additions too

    def changes(layer: CachedSelfAttention, x: torch.Tensor) -> torch.Tensor:
        """How much each output (row) of one text changes when an input (column) does, `[T, T]`."""
        columns = []
        for position in range(x.shape[1]):
            other = x.clone()
            other[0, position] += 1
            columns.append((read(layer, other) - read(layer, x))[0].norm(dim=-1))
        return torch.stack(columns, dim=1).detach()

    def draw() -> plt.Figure:
        """Who hears whom when a text is read in pieces, and what one more token costs."""
        torch.manual_seed(0)
        figure, (heard, work) = plt.subplots(1, 2, figsize=(12.5, 5))
        length, end = sum(PIECES.values()), 0
        strength = changes(CachedSelfAttention(32, 4), torch.randn(1, length, 32))
        for (name, size), color in zip(PIECES.items(), COLORS, strict=True):
            begin, end = end, end + size
            rows = torch.full((length, length), math.nan)
            rows[begin:end] = torch.where(strength > 1e-6, strength.sqrt(), math.nan)[begin:end]
            heard.imshow(rows, cmap=color, vmin=-0.3, vmax=1.3)
            heard.axhline(end - 0.5, color="0.8", linewidth=0.8)
            heard.text(length, (begin + end - 1) / 2, name, va="center", color=plt.get_cmap(color)(0.8), fontsize=11)
        heard.set_xticks(range(length))
        heard.set_yticks(range(length))
        heard.set_xlabel("input token")
        heard.set_ylabel("output token")
        heard.set_title("Read in five calls, as if in one")

        layer, contexts = CachedSelfAttention(64, 4), [2**power for power in range(12)]
        for cached, color, label in ((False, "#c44e52", "without a cache"), (True, "#3b6ea5", "with the cache")):
            counts = [multiplications(layer, context, cached) for context in contexts]
            work.loglog(contexts, counts, "o-", color=color, linewidth=2.5, label=label)
        work.set_xlabel("tokens before it")
        work.set_ylabel("multiplications")
        work.set_title("The work for one more token (C = 64, 4 heads)")
        work.legend(frameon=False, fontsize=12)
        work.grid(color="0.92")
        work.spines[["top", "right"]].set_visible(False)
        figure.tight_layout(w_pad=5)
        return figure

    show(draw)
