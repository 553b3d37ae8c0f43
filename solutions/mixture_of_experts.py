# %% [markdown]
# # A mixture of experts
#
# Most of a transformer's weights are in its feed-forward networks, and every token goes through all of them. A *mixture
# of experts* (Shazeer et al. 2017) has many such networks, the *experts*, and sends each token through a few: the model
# knows more, and a token costs the same. Mixtral has 8 experts in each layer and uses 2 for each token: 46.7 billion
# weights, of which a token meets 12.9 billion.
#
# $$y = \sum_{e \in \text{top-}k} w_e \, \text{SwiGLU}_e(x) \qquad
# w = \text{softmax over the chosen } k \text{ of } r = W_r x$$
#
# The *router* $W_r$ is a small linear layer, one row for each expert. Its k largest logits choose the experts, and the
# softmax of these k logits alone weighs them. The choice itself is a jump and has no gradient. The weights have, and by
# them the router learns.
#
# | what | shape |
# | --- | --- |
# | `x`, the input | `[B, T, C]`, seen as N = B · T tokens `[N, C]` |
# | logits of the router | `[N, E]` |
# | weights and experts of each token | `[N, k]` each |
# | output | `[B, T, C]` |
#
# **From naive to better.** Running every expert on every token and multiplying most results by 0 gives the same
# numbers, for E / k times the work. Here an expert runs on its own tokens only, and not at all if it has none.

# %%
import torch
from torch import nn

from llama_block import SwiGLU


def check_k(k: int, num_experts: int) -> None:
    """Raises `ValueError` unless 1 <= k <= num_experts."""
    if not 1 <= k <= num_experts:
        raise ValueError(f"k is {k}: a token goes through at least one and at most all {num_experts} experts")


# %% [markdown]
# ## Step 1: who gets which token
#
# **A worked example.** Four experts, k = 2.
#
# | logits | experts | weights |
# | --- | --- | --- |
# | [1, 3, 0, 2] | 1, 3 | softmax of [3, 2]: 0.7311, 0.2689 |
# | [2, 1, 0, 2] | 0, 3 | softmax of [2, 2]: 0.5, 0.5 |
#
# In the second row two logits are equal: then the lower number comes first. (`torch.topk` promises no order among
# equals; a stable sort does.)


# %%
def route(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k experts of the largest logits, and the softmax over these k logits   (Shazeer et al. 2017).

    Args:
        logits: `[N, E]`.
        k: how many experts each token goes through.

    Returns:
        Weights `[N, k]` in the dtype of the logits, through which gradients flow, and experts `[N, k]`, int64, the one
        with the largest logit first; of equal logits the lower number first.

    Raises:
        ValueError: unless 1 <= k <= E.
    """
    check_k(k, logits.shape[-1])
    # Each row from the largest to the smallest, and which expert each came from: [N, E] both.
    ordered, experts = logits.sort(dim=-1, descending=True, stable=True)  # FINISH ME
    # What each chosen expert counts: [N, k].
    weights = ordered[:, :k].softmax(dim=-1)  # FINISH ME
    return weights, experts[:, :k]


# %% [markdown]
# ## Step 2: keeping all experts busy
#
# An expert that gets many tokens learns fast, so it gets more. Left alone, a few experts do everything. So a second
# loss is added, with a small factor (Fedus et al. 2021):
#
# $$L = E \sum_{e=1}^{E} f_e P_e$$
#
# $f_e$ is the part of all N · k choices that fell on expert e: a count, which has no gradient. $P_e$ is the mean over
# all tokens of the probability that the *full* softmax, over all E logits, gives to e: this has. Where f is large, L
# pushes P down. With everything perfectly even, f = P = 1 / E, it is 1.
#
# **A worked example.** The two tokens above chose 1, 3 and 0, 3: f = [1/4, 1/4, 0, 1/2]. The means of the two full
# softmaxes are P = [0.2433, 0.3954, 0.0431, 0.3182]. So L = 4 · (0.2433 / 4 + 0.3954 / 4 + 0.3182 / 2) = 1.2751.


# %%
def load_balancing_loss(logits: torch.Tensor, experts: torch.Tensor) -> torch.Tensor:
    """L = E sum_e f_e P_e   (Fedus et al. 2021, equation 4, for k choices).

    Args:
        logits: `[N, E]`, all of the router's.
        experts: `[N, k]`, the chosen experts.

    Returns:
        `[]`, in the dtype of the logits. Gradients flow through P alone.
    """
    num_experts = logits.shape[-1]
    # P: the mean probability of each expert, [E].
    mean_probabilities = logits.softmax(dim=-1).mean(dim=0)  # FINISH ME
    # f: how often each was chosen, also those that never were, as a part of all choices: [E].
    counts = torch.bincount(experts.flatten(), minlength=num_experts)  # FINISH ME
    fractions = counts.to(logits.dtype) / experts.numel()  # [E]
    return num_experts * (fractions * mean_probabilities).sum()  # FINISH ME


# %% [markdown]
# ## Step 3: the layer
#
# It takes the place of the feed-forward network in a Llama block. With k = E it is a weighted sum of all experts; with
# equal experts it is one SwiGLU, whatever the router says, for the weights sum to 1. You can check both.
#
# An expert that no token has chosen is not run, and its weights get no gradient (or one of zeros).


# %%
class MixtureOfExperts(nn.Module):
    """y = sum over the chosen e of w_e SwiGLU_e(x), token by token.

    Args:
        dim: C, the size of a token.
        hidden_dim: the hidden units of each expert.
        num_experts: E.
        k: how many experts each token goes through.

    Attributes:
        router: `nn.Linear` from C to E, without bias.
        experts: `nn.ModuleList` of E `SwiGLU` with weights of their own.

    Raises:
        ValueError: unless 1 <= k <= num_experts.
    """

    def __init__(self, dim: int, hidden_dim: int, num_experts: int, k: int) -> None:
        super().__init__()
        check_k(k, num_experts)
        self.k = k
        # The router.
        self.router = nn.Linear(dim, num_experts, bias=False)  # FINISH ME
        # The experts.
        self.experts = nn.ModuleList(SwiGLU(dim, hidden_dim) for _ in range(num_experts))  # FINISH ME

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Every token through its experts: `[B, T, C]` to `[B, T, C]`, in the dtype of `x`."""
        # Yours to design: route the tokens, run each expert once on the tokens that chose it, add up what comes out.
        # BEGIN SOLUTION
        tokens = x.reshape(-1, x.shape[-1])  # [N, C]
        weights, chosen = route(self.router(tokens), self.k)  # [N, k] both
        output = torch.zeros_like(tokens)  # [N, C]
        for number, expert in enumerate(self.experts):
            rows, places = torch.where(chosen == number)  # its tokens, and whether it is their first choice or a later
            if len(rows):
                output = output.index_add(0, rows, weights[rows, places, None] * expert(tokens[rows]))
        return output.view(x.shape)
        # END SOLUTION


# %% [markdown]
# ## What you have built
#
# Points of the plane are tokens, and what a layer of four experts should learn turns with the quarter of the plane that
# a point lies in. On the left, who gets which point in the end: with the second loss the experts have shared the plane
# out among them. In the middle, how many of the choices fall on each expert while it learns; the router begins with a
# liking for two of them. On the right, what the two losses do.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    COLORS = ("#2a6f97", "#c1443c", "#e9c46a", "#2a9d8f")

    def turned(points: torch.Tensor) -> torch.Tensor:
        """What is to be learned: each point `[N, 3]`, with a 1 at its end, turned by an angle of its quarter."""
        x, y = points[:, 0], points[:, 1]
        angle = torch.pi / 2 * ((x > 0).float() + 2 * (y > 0).float())
        return torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos(), 0 * x], dim=1)

    def learn(balance: float, steps: int = 500) -> tuple[MixtureOfExperts, torch.Tensor, torch.Tensor]:
        """A trained layer, the part of the choices of each expert `[steps, 4]`, and the losses `[steps]`."""
        torch.manual_seed(3)
        layer = MixtureOfExperts(3, 8, num_experts=4, k=2)
        with torch.no_grad():
            layer.router.weight.mul_(0.2)
            layer.router.weight[:2, 2] += 3.0  # a liking for two of them
        optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-2)
        parts, losses = [], []
        for _ in range(steps):
            points = torch.cat([torch.randn(256, 2), torch.ones(256, 1)], dim=1)  # [256, 3]
            logits = layer.router(points)
            _, experts = route(logits, 2)
            error = (layer(points[None])[0] - turned(points)).square().mean()
            loss = error + balance * load_balancing_loss(logits, experts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            parts.append(torch.bincount(experts.flatten(), minlength=4) / experts.numel())
            losses.append(error.detach())
        return layer, torch.stack(parts), torch.stack(losses)

    def draw() -> plt.Figure:
        """Who gets which point, how busy the experts are, and the error, with and without the second loss."""
        figure, (plane, busy, error) = plt.subplots(1, 3, figsize=(16, 4.8), layout="constrained")
        for balance, style in ((0.0, "--"), (0.05, "-")):
            layer, parts, losses = learn(balance)
            name = "with the second loss" if balance else "without"
            for number, color in enumerate(COLORS):
                busy.plot(parts[:, number], style, color=color, linewidth=2 if balance else 1)
            smooth = torch.nn.functional.avg_pool1d(losses[None], 15, 5)[0]
            error.plot(5 * torch.arange(len(smooth)), smooth, style, color="black", label=name)
        x, y = torch.meshgrid(torch.linspace(-2.5, 2.5, 120), torch.linspace(-2.5, 2.5, 120), indexing="xy")
        points = torch.stack([x.flatten(), y.flatten(), torch.ones(x.numel())], dim=1)
        experts = route(layer.router(points), 1)[1].view(x.shape)
        plane.contourf(x, y, experts, levels=[-0.5, 0.5, 1.5, 2.5, 3.5], colors=COLORS, alpha=0.8)
        plane.set(title="Who gets which point", aspect="equal")
        busy.set(xlabel="step", ylabel="part of the choices", ylim=(0, 0.6), title="Dashed: without the second loss")
        error.set(xlabel="step", ylabel="error", ylim=(0, None), title="Experts that are used can learn")
        error.legend(frameon=False)
        for axes in (busy, error):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
