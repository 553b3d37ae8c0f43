# %% [markdown]
# # A Llama block
#
# The block of 2017 has aged well, but the open models of today (Llama, Mistral, Qwen, SmolLM) changed every part of it.
# Here you build theirs, weight for weight: the numbers in a file that you download will fit into your block, and
# it will compute what the original computes. Five things are new:
#
# | in 2017 | in Llama (Touvron et al. 2023) | why |
# | --- | --- | --- |
# | LayerNorm | RMSNorm | one step less, and it works as well |
# | the norm after each residual | the norm before each part | deep stacks train without a warm-up (Xiong et al. 2020) |
# | ReLU between two matrices | SwiGLU, with three | a better model for the same amount of work |
# | positions added to the words | queries and keys are rotated | scores see how far apart two words are |
# | a key and a value for each head | heads share them | less to remember while the model writes |
#
# **The whole block** is two lines. With $x$ of shape `[B, T, C]` (batch, time, channels):
#
# $$x \leftarrow x + \mathrm{Attention}(\mathrm{RMSNorm}_1(x))$$
#
# $$x \leftarrow x + \mathrm{SwiGLU}(\mathrm{RMSNorm}_2(x))$$
#
# **Shapes.** `B` sequences of `T` tokens, each a vector of `C` numbers; `H` query heads and `H_kv` key-value heads,
# each `D = C / H` wide. In SmolLM2-135M: C = 576, H = 9, H_kv = 3, D = 64, and 1536 hidden units in its SwiGLU. In one
# block its four attention matrices hold 884,736 weights, its three SwiGLU matrices 2,654,208, its two norms 1,152.

# %%
import math

import torch
from torch import nn
from torch.nn.functional import silu

# %% [markdown]
# ## Step 1: RMSNorm
#
# After many layers a vector may be long or short, and the next layer should not care. RMSNorm (Zhang & Sennrich 2019)
# divides it by the root of the mean of its squares, then gives each channel a learned scale $w$:
#
# $$\mathrm{RMSNorm}(x)_i = w_i \cdot \frac{x_i}{\sqrt{\frac{1}{C} \sum_j x_j^2 + \varepsilon}}$$
#
# **A worked example.** For `[1, 7]` the mean of the squares is (1 + 49) / 2 = 25, its root is 5, and with $w = 1$ the
# result is `[0.2, 1.4]`. Twice the vector, `[2, 14]`, gives the same. LayerNorm would first have subtracted the mean;
# RMSNorm leaves it.


# %%
class RMSNorm(nn.Module):
    """y = weight * x / sqrt(mean(x^2) + eps), over the last axis   (Zhang & Sennrich 2019).

    Args:
        dim: the size of the last axis, C.
        eps: keeps the root away from 0; it is added to the mean, inside the root.

    Attributes:
        weight: `[dim]`, ones at first.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))  # [C]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalizes every vector by itself.

        Args:
            x: `[..., dim]`.

        Returns:
            `[..., dim]`, in the dtype of `x`, but computed in float32 at least: in float16 the square of 300 is
            infinite.
        """
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # [..., C]
        # What is under the root, without eps: [..., 1].
        mean_square = wide.pow(2).mean(dim=-1, keepdim=True)  # FINISH ME
        normed = wide * torch.rsqrt(mean_square + self.eps)  # [..., C]; rsqrt(a) is 1 / sqrt(a)
        return (self.weight * normed).to(torch.result_type(x, 1.0))  # x's own dtype; a float for integers


# %% [markdown]
# ## Step 2: SwiGLU
#
# The second part of the block works on every token alone. Two matrices look at the token: one makes `F` hidden values
# (`up`), the other decides how far each of them may pass (`gate`), and a third brings them back to `C` channels
# (Shazeer 2020):
#
# $$\mathrm{SwiGLU}(x) = W_{down} \, (\mathrm{silu}(W_{gate} x) \odot W_{up} x)$$
#
# $$\mathrm{silu}(z) = z \cdot \sigma(z) = \frac{z}{1 + e^{-z}}$$
#
# **A worked example.** silu lets large numbers through and stops very negative ones: silu(2) = 1.762, silu(0) = 0,
# silu(−2) = −0.238. A hidden unit with gate 2 and up 3 passes on 1.762 · 3 = 5.285; with gate −2 only −0.715.


# %%
class SwiGLU(nn.Module):
    """y = down(silu(gate(x)) * up(x))   (Shazeer 2020).

    Args:
        dim: the size of the last axis, C.
        hidden_dim: how many hidden units there are, F.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.up_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Works on every vector by itself: `[..., dim]` to `[..., dim]`."""
        # The formula, [..., C].
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))  # FINISH ME


# %% [markdown]
# ## Step 3: rotate
#
# Attention by itself does not know where a token stands. The rotary embedding (Su et al. 2021) tells it by turning
# queries and keys: the `D` numbers of a head are taken as `D/2` points in the plane, and at position $p$ point number
# $i$ is turned by the angle
#
# $$\theta_i(p) = p \cdot \mathrm{base}^{-2i/D} \qquad i = 0, \dots, D/2 - 1$$
#
# Which two numbers make a point? In Llama's files number $i$ goes with number $i + D/2$: the first half holds all the
# $a$, the second half all the $b$. A point $(a, b)$ becomes
#
# $$(a \cos\theta - b \sin\theta, \quad b \cos\theta + a \sin\theta)$$
#
# **A worked example.** `[1, 1, 0, 0]` has D = 4: the points are (1, 0) and (1, 0), and with base 10000 they turn by 1
# and by 0.01 radians a position. At position 2 they stand at (cos 2, sin 2) = (−0.4161, 0.9093) and
# (cos 0.02, sin 0.02) = (0.9998, 0.0200), so the result is `[−0.4161, 0.9998, 0.9093, 0.0200]`.
#
# **Why turn?** A query at position $m$ and a key at position $n$ have turned by angles whose difference depends on
# $m - n$ alone, and so does their dot product: attention sees distances.


# %%
def rotate(x: torch.Tensor, positions: torch.Tensor, base: float = 10000.0) -> torch.Tensor:
    """Turns the pair (x[i], x[i + D/2]) at position p by the angle p * base^(-2i/D)   (Su et al. 2021).

    Args:
        x: `[B, H, T, D]`, queries or keys, with an even D.
        positions: `[T]`, where each of the T tokens stands; any numbers in any order.
        base: how much slower the last pair turns than the first, nearly.

    Returns:
        `[B, H, T, D]`, in the dtype of `x`; the angles are computed in float32 at least.

    Raises:
        ValueError: D is odd, so that one number has no partner.
    """
    D = x.shape[-1]
    if D % 2:
        raise ValueError(f"the rotary embedding turns pairs, and {D} numbers cannot be paired")
    pair = torch.arange(D // 2, device=x.device)  # [D/2], the i of the formula
    # How far each pair turns from one position to the next, [D/2]: 1 for the first, less and less for the others.
    frequencies = base ** (-2.0 * pair / D)  # FINISH ME
    angles = positions[:, None] * frequencies  # [T, 1] * [D/2] -> [T, D/2]
    cos, sin = angles.cos(), angles.sin()  # [T, D/2] each; they broadcast against [B, H, T, D/2]
    first, second = x[..., : D // 2], x[..., D // 2 :]  # the a and the b of all points
    # The turned points, all the new a, then all the new b: [B, H, T, D].
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)  # FINISH ME
    return turned.to(torch.result_type(x, 1.0))  # x's own dtype; a float for integers


# %% [markdown]
# ## Step 4: grouped-query attention
#
# While a model writes, the keys and values of all earlier tokens are kept, and with a long text that fills the memory.
# So heads share them: each of the `H_kv` key-value heads serves a group of `H / H_kv` neighboring query heads
# (Ainslie et al. 2023). Query head $h$ reads key-value head $g$:
#
# $$\mathrm{head}_h = \mathrm{softmax}\left(\frac{Q_h K_g^\top}{\sqrt{D}}\right) V_g
# \qquad g = \left\lfloor \frac{h}{H / H_{kv}} \right\rfloor$$
#
# where scores of tokens that lie ahead count as $-\infty$, so that their weight is 0.
#
# **A worked example.** With H = 6 and H_kv = 2 the query heads 0, 1, 2 read key-value head 0, and 3, 4, 5 read head 1.
# SmolLM2 keeps 2 · 3 · 64 = 384 numbers for each token and block, where 9 heads of their own would need 1152.
#
# Queries and keys are rotated, values are not: they say what a token means, and that is the same wherever it stands.


# %%
class GroupedQueryAttention(nn.Module):
    """Causal attention with rotary positions; query head h reads key-value head h // (num_heads / num_kv_heads).

    Args:
        dim: C, the channels.
        num_heads: H, the query heads; each is D = C / H wide.
        num_kv_heads: H_kv, the key-value heads; as many as query heads by default.
        base: the base of the rotary embedding.

    Raises:
        ValueError: the heads cannot be dealt out evenly.
    """

    def __init__(self, dim: int, num_heads: int, num_kv_heads: int | None = None, base: float = 10000.0) -> None:
        super().__init__()
        if num_kv_heads is None:
            num_kv_heads = num_heads
        if dim % num_heads or num_heads % num_kv_heads:
            raise ValueError(f"{dim} channels, {num_heads} heads and {num_kv_heads} key-value heads do not divide")
        self.num_heads, self.num_kv_heads, self.base = num_heads, num_kv_heads, base
        head_dim = dim // num_heads
        self.q_proj = nn.Linear(dim, num_heads * head_dim, bias=False)
        self.k_proj = nn.Linear(dim, num_kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(dim, num_kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Every token looks at itself and the tokens before it.

        Args:
            x: `[B, T, C]`; the first token stands at position 0.

        Returns:
            `[B, T, C]`.
        """
        B, T, C = x.shape
        query = self.q_proj(x).view(B, T, self.num_heads, -1).transpose(1, 2)  # [B, H, T, D]
        key = self.k_proj(x).view(B, T, self.num_kv_heads, -1).transpose(1, 2)  # [B, H_kv, T, D]
        value = self.v_proj(x).view(B, T, self.num_kv_heads, -1).transpose(1, 2)  # [B, H_kv, T, D]

        positions = torch.arange(T, device=x.device)  # [T]
        query, key = rotate(query, positions, self.base), rotate(key, positions, self.base)

        # For each of the H query heads, the number of the key-value head that it reads: [H]. With six query heads and
        # two key-value heads that is 0 0 0 1 1 1.
        reads = torch.arange(self.num_heads, device=x.device) // (self.num_heads // self.num_kv_heads)  # FINISH ME
        key, value = key[:, reads], value[:, reads]  # [B, H, T, D] each

        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # [B, H, T, T]
        ahead = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(diagonal=1)  # [T, T], True above the diagonal
        # Weights of the scores, 0 for what lies ahead: [B, H, T, T].
        weights = scores.masked_fill(ahead, -torch.inf).softmax(dim=-1)  # FINISH ME

        merged = (weights @ value).transpose(1, 2).reshape(B, T, C)  # the heads side by side again
        return self.o_proj(merged)  # [B, T, C]


# %% [markdown]
# ## Step 5: the block
#
# Both parts read a normed copy and add to what was there: the residual stream itself is never normed. The names are
# those of Llama's files, so `state_dict()` has the keys of `LlamaDecoderLayer` in the transformers library.


# %%
class LlamaBlock(nn.Module):
    """x = x + self_attn(input_layernorm(x)); x = x + mlp(post_attention_layernorm(x))   (Touvron et al. 2023).

    Args:
        dim: C, the channels.
        num_heads: H, the query heads.
        hidden_dim: F, the hidden units of the SwiGLU.
        num_kv_heads: H_kv, the key-value heads; as many as query heads by default.
        base: the base of the rotary embedding.
        eps: the eps of both norms.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        num_kv_heads: int | None = None,
        base: float = 10000.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(dim, eps)
        self.self_attn = GroupedQueryAttention(dim, num_heads, num_kv_heads, base)
        self.post_attention_layernorm = RMSNorm(dim, eps)
        self.mlp = SwiGLU(dim, hidden_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[B, T, C]` to `[B, T, C]`; no token sees a later one. Gradients reach x and every weight."""
        # The first half of the block: [B, T, C].
        x = x + self.self_attn(self.input_layernorm(x))  # FINISH ME
        # The second half, on the new x: [B, T, C].
        return x + self.mlp(self.post_attention_layernorm(x))  # FINISH ME


# %% [markdown]
# ## What you have built
#
# Four looks at your own code. RMSNorm brings every vector to one length and keeps its direction. After `rotate`, a
# query and a key have the same score along every diagonal: only their distance counts. Six query heads share two
# key-value heads. And in the whole block a token is changed by itself and by what came before it, never by what comes
# after.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def draw_norm(axes: plt.Axes) -> None:
        """A cloud of vectors (small dots) and where RMSNorm puts them (large dots): on one circle, along their rays."""
        cloud = torch.randn(110, 2) @ torch.tensor([[1.3, 0.5], [0.0, 0.9]])  # [110, 2]
        normed = RMSNorm(2)(cloud).detach()  # [110, 2]
        directions = torch.atan2(cloud[:, 1], cloud[:, 0])  # [110]
        axes.plot(*torch.stack([cloud, normed]).unbind(-1), color="0.85", linewidth=0.8, zorder=0)
        axes.scatter(*cloud.T, s=9, c=directions, cmap="hsv", alpha=0.6)
        axes.scatter(*normed.T, s=42, c=directions, cmap="hsv", edgecolor="white", linewidth=0.6)
        axes.set(aspect="equal", xlim=(-3.6, 3.6), ylim=(-3.2, 3.2), title="RMSNorm: one length, the same direction")

    def draw_scores(axes: plt.Axes) -> None:
        """The score of one and the same query and key at all pairs of positions."""
        T, D = 64, 32
        turned = rotate(torch.ones(1, 1, T, D), torch.arange(T))[0, 0]  # [T, D], one vector at every position
        image = axes.imshow(turned @ turned.T / math.sqrt(D), cmap="magma")
        axes.set(title="rotate: only the distance counts", xlabel="position of the key", ylabel="position of the query")
        axes.figure.colorbar(image, ax=axes, shrink=0.9, label="score")

    def draw_groups(axes: plt.Axes) -> None:
        """How strongly the output of each query head answers to the values of each key-value head."""
        H, H_kv, D = 6, 2, 8
        attention = GroupedQueryAttention(H * D, H, H_kv)
        attention.o_proj.weight.data = torch.eye(H * D)  # so that the heads come out side by side
        heads = attention(torch.randn(1, 10, H * D)).view(10, H, D)
        strengths = torch.zeros(H_kv, H)
        for h in range(H):
            (gradient,) = torch.autograd.grad(heads[:, h].sum(), attention.v_proj.weight, retain_graph=True)
            strengths[:, h] = gradient.view(H_kv, -1).norm(dim=-1)
        axes.imshow(strengths, cmap="Greens", vmin=0, vmax=1.4 * strengths.max(), aspect="auto")
        for g, h in strengths.nonzero():
            axes.text(h, g, "reads", ha="center", va="center", fontsize=11)
        axes.set(title="GroupedQueryAttention: six heads share two", xlabel="query head", ylabel="key-value head")
        axes.set_yticks(range(H_kv))

    def draw_influence(axes: plt.Axes) -> None:
        """How much each token's output changes with each token's input."""
        T, C = 24, 48
        block = LlamaBlock(C, num_heads=6, hidden_dim=128, num_kv_heads=2)
        x = torch.randn(1, T, C, requires_grad=True)
        y = block(x)[0]  # [T, C]
        rows = [torch.autograd.grad(y[t].norm(), x, retain_graph=True)[0][0].norm(dim=-1) for t in range(T)]
        influence = torch.stack(rows)  # [T, T]
        image = axes.imshow(influence.where(influence > 0, torch.nan), cmap="viridis", norm="log")
        axes.set(title="LlamaBlock: nothing comes from ahead", xlabel="a change of this token ...")
        axes.set_ylabel("... changes this output")
        axes.text(0.7 * T, 0.25 * T, "exactly 0", ha="center", color="0.4")
        axes.figure.colorbar(image, ax=axes, shrink=0.9, label="by how much")

    def draw() -> plt.Figure:
        """RMSNorm on a cloud of vectors, scores of rotated vectors, who reads whom, and who changes whom."""
        torch.manual_seed(0)
        figure, axes = plt.subplots(2, 2, figsize=(11, 9), layout="constrained")
        for part, place in zip((draw_norm, draw_scores, draw_groups, draw_influence), axes.flat, strict=True):
            part(place)
        return figure

    show(draw)
