# %% [markdown]
# # A transformer block
#
# A transformer is one block, repeated: 6 times in the first one, 96 times in GPT-3. The block takes a row of vectors,
# one for each word, and gives back a row of better ones. It does two things, one after the other:
#
# 1. **Attention** lets words talk: every position gathers what it needs from the others.
# 2. **The feed-forward network** lets words think: a small network changes each position by itself, all by the same
#    rule.
#
# Neither replaces the vectors. Each *adds* its result to what is there, a **residual connection** (He et al. 2015),
# so that what is known already gets through, and gradients with it. After each sum a **layer norm** (Ba et al. 2016)
# brings the vector back to a standard size, however many blocks it has been through. As Vaswani et al. (2017) have it
# in "Attention Is All You Need", sections 3.1 to 3.3:
#
# $$h = \mathrm{LN}_1(x + \mathrm{Attention}(x)) \qquad y = \mathrm{LN}_2(h + \mathrm{FFN}(h))$$
#
# $$\mathrm{FFN}(h) = W_2 \max(0,\ W_1 h + b_1) + b_2 \qquad
# \mathrm{LN}(z) = \frac{z - \mathrm{mean}(z)}{\sqrt{\mathrm{var}(z) + \varepsilon}} \odot \gamma + \beta$$
#
# The norm comes *after* the sum, so this is called **post-norm**. (Later models put it before: you will build one of
# these too.)
#
# **Shapes.** `B` texts at once, `T` words in each, `C` numbers for each word.
#
# | what | shape |
# | --- | --- |
# | `x`, and whatever a sublayer adds to it | `[B, T, C]` |
# | inside the feed-forward network | `[B, T, 4C]` |
# | the mask: who may not look where | `[T, T]` |
# | the result | `[B, T, C]`: the same as `x`, so that blocks can be stacked |
#
# **A worked example**, one word with `C = 4`. Say that `x` is `[1, 2, 3, 6]`, and attention adds `[1, 0, -1, 0]`. The
# sum is `[2, 2, 2, 6]`. Its mean is 3, which leaves `[-1, -1, -1, 3]`; the variance is (1 + 1 + 1 + 9) / 4 = 3;
# divided by √3 that is `[-0.577, -0.577, -0.577, 1.732]`, and this is `h` as long as γ is 1 and β is 0, as they are
# at first.
#
# **How big is it?** Attention has 4C² + 4C numbers to learn, the feed-forward network 8C² + 5C, the norms 4C: about
# 12C² for a block. With C = 768 that makes 7,087,872, just what each of the 12 blocks of the smallest GPT-2 has.

# %%
import torch
from torch import Tensor, nn

# %% [markdown]
# ## The block, in three steps
#
# An `nn.Module` has two halves. `__init__` makes the *parts*, whose weights are learned; `forward` says how data
# flows *through* them.
#
# **Step 1, the parts.** Their names matter: `state_dict()`, which is what gets saved and loaded, calls every weight
# by them (`ffn.0.weight`, `norm1.bias`). Only with these names do other people's weights fit into your block.
#
# **Step 2, the mask.** A model that learns to predict the next word must not see it. With `causal=True`, position `t`
# may look at positions `0 … t`, and all later ones are hidden from it. `nn.MultiheadAttention` wants to know what is
# *hidden*: its boolean mask is `True` where a query (the row) may **not** look at a key (the column). For three
# words:
#
#     [[False,  True,  True],      the first word sees itself alone
#      [False, False,  True],
#      [False, False, False]]      the last one sees all
#
# **Step 3, the way through.** Keep an eye on *which* tensor each part gets, and to which its result is added. Most of
# what goes wrong here goes wrong there, and the shapes never tell.


# %%
class MiniTransformerBlock(nn.Module):
    """h = norm1(x + attn(x)), then norm2(h + ffn(h))   (Vaswani et al. 2017)

    Nothing in it is random: no part has dropout.

    Args:
        embed_dim: the size C of each position's vector.
        num_heads: how many heads the attention has. It divides C.

    Attributes:
        attn: `nn.MultiheadAttention`, batch first.
        ffn: `nn.Sequential` of Linear C → 4C, ReLU, Linear 4C → C.
        norm1: `nn.LayerNorm`, after the attention.
        norm2: `nn.LayerNorm`, after the feed-forward network.
    """

    def __init__(self, embed_dim: int, num_heads: int = 2) -> None:
        super().__init__()
        # The attention, with the number of heads asked for.
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)  # FINISH ME
        # The feed-forward network, 4C wide inside.
        wide = 4 * embed_dim
        self.ffn = nn.Sequential(nn.Linear(embed_dim, wide), nn.ReLU(), nn.Linear(wide, embed_dim))  # FINISH ME
        # Layer norm over the C numbers of each position.
        self.norm1 = nn.LayerNorm(embed_dim)  # FINISH ME
        # A second one, with weights of its own.
        self.norm2 = nn.LayerNorm(embed_dim)  # FINISH ME

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        """Sends every position through attention and the feed-forward network.

        Args:
            x: `[B, T, C]`, in the dtype of the weights.
            causal: if True, no position sees a later one.

        Returns:
            `[B, T, C]`, in the same dtype.
        """
        mask = None
        if causal:
            everything = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)  # [T, T]
            # Of these, keep those that hide something.
            mask = torch.triu(everything, diagonal=1)  # FINISH ME
        # What every position gathers from those that it may see: [B, T, C].
        attended = self.attn(x, x, x, attn_mask=mask, need_weights=False)[0]  # FINISH ME
        # The first half: h of the formula.
        x = self.norm1(x + attended)  # FINISH ME
        # The second half: y of the formula.
        return self.norm2(x + self.ffn(x))  # FINISH ME


# %% [markdown]
# ## What you have built
#
# The first two panels ask an untrained block: if the word in this column changed a little, how much would the result
# in this row change? Without the mask everybody listens to everybody. With it the upper triangle is empty: nobody
# hears the future. The bright diagonal is the residual connection: a word's own vector gets through best.
#
# The other four put one block to work. It learns to write words backwards, from nothing but random letters. At first
# its attention looks anywhere; at the end every position has found the one letter that it needs, and nobody told it
# where to look.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    SENTENCE = ["the", "cat", "sat", "on", "the", "mat", "because", "it", "was", "tired"]
    WORD = "TRANSFORMER"

    def influence(block: nn.Module, x: Tensor, causal: bool) -> Tensor:
        """The size of the derivative of each position's result by each position of `x` [1, T, C]: `[T, T]`."""
        jacobian = torch.autograd.functional.jacobian(lambda x: block(x, causal=causal), x)  # [1, T, C, 1, T, C]
        return jacobian[0, :, :, 0].norm(dim=(1, 3))  # [T, T]

    class Reverser(nn.Module):
        """Letters and their places in, one block, letters out."""

        def __init__(self, embed_dim: int = 32) -> None:
            super().__init__()
            self.letters, self.places = nn.Embedding(26, embed_dim), nn.Embedding(len(WORD), embed_dim)
            self.block, self.out = MiniTransformerBlock(embed_dim), nn.Linear(embed_dim, 26)

        def embed(self, ids: Tensor) -> Tensor:
            """`[B, T]` → `[B, T, C]`."""
            return self.letters(ids) + self.places.weight

        def forward(self, ids: Tensor) -> Tensor:
            """`[B, T]` → logits `[B, T, 26]`."""
            return self.out(self.block(self.embed(ids)))

        def looks_at(self, ids: Tensor) -> Tensor:
            """The attention weights for `[1, T]`, averaged over the heads: `[T, T]`."""
            x = self.embed(ids)
            return self.block.attn(x, x, x)[1][0].detach()

    def matrix(axes: plt.Axes, values: Tensor, rows: str | list[str], columns: str | list[str], **labels: str) -> None:
        """Draws `values` [len(rows), len(columns)]."""
        axes.imshow(values, cmap="magma", vmin=0)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.set(**labels)

    def draw() -> plt.Figure:
        """Who influences whom, and a block that learns to write backwards."""
        torch.manual_seed(0)
        figure, ((everyone, past, curve), snapshots) = plt.subplots(2, 3, figsize=(13, 9), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.12, w_pad=0.1)

        block, x = MiniTransformerBlock(32, num_heads=4), torch.randn(1, len(SENTENCE), 32)
        for axes, causal, title in [(everyone, False, "all hear all"), (past, True, "nobody hears the future")]:
            strength = influence(block, x, causal).sqrt()  # the root makes weak influences visible
            matrix(axes, strength, SENTENCE, SENTENCE, title=f"causal={causal}: {title}")
            axes.set_xlabel("… when this word does")
            axes.tick_params(axis="x", rotation=60)
        everyone.set_ylabel("how much this word changes …")

        model = Reverser()
        ids = torch.tensor([[ord(letter) - ord("A") for letter in WORD]])  # [1, T]
        optimizer, losses = torch.optim.AdamW(model.parameters(), lr=5e-3), []
        looks = dict(zip([0, 35, 100], ["looks anywhere", "begins to see", "looks where it must"], strict=True))
        for step in range(101):
            if step in looks:
                axes = snapshots[list(looks).index(step)]
                matrix(axes, model.looks_at(ids), WORD[::-1], WORD, title=f"After {step} steps: {looks[step]}")
                axes.set_xlabel("letter that is looked at")
            batch = torch.randint(26, (64, len(WORD)))  # [64, T]
            loss = nn.functional.cross_entropy(model(batch).flatten(0, 1), batch.flip(1).flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        snapshots[0].set_ylabel("letter to write")

        written = "".join(chr(ord("A") + i) for i in model(ids)[0].argmax(-1).tolist())
        curve.plot(losses, color="tab:purple")
        curve.plot(list(looks), [losses[step] for step in looks], "o", color="tab:orange")
        curve.set(xlabel="training step", ylabel="loss (nats a letter)", title=f"{WORD} → {written}")
        curve.grid(alpha=0.3)
        return figure

    show(draw)
