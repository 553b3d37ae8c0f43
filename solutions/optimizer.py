# %% [markdown]
# # The optimizer
#
# A gradient says which way is down, for each weight. The *optimizer* decides how far to go. Nearly every language model
# is trained by AdamW (Loshchilov & Hutter 2019), with four habits around it that you build here as well: a learning
# rate that rises and falls, gradients that are cut short when they explode, and large batches put together from small
# ones.
#
# **From naive to better.** Plain descent, $\theta \leftarrow \theta - \eta g$, has one length of step for all weights.
# In a narrow valley it is too long across and too short along. Adam divides each weight's step by the size that this
# weight's gradients usually have, so that every weight moves by about η, whatever the units of its gradient:
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2$$
#
# $$\hat m_t = \frac{m_t}{1 - \beta_1^t} \qquad \hat v_t = \frac{v_t}{1 - \beta_2^t} \qquad
# \theta_t = \theta_{t-1} - \eta\, \lambda\, \theta_{t-1} - \eta\, \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}$$
#
# *m* and *v*, the two *moments*, are running means of the gradient and of its square. Both begin at 0, and so are too
# small at first; the divisions by $1 - \beta^t$ put that right. The *weight decay* λ pulls every weight towards 0. It
# is *decoupled* (the W in AdamW): it acts on the weight itself and goes through no moment.
#
# **Shapes.** A parameter, its gradient and its two moments are alike, `[...]`. Everything happens entry by entry.

# %%
import math
from collections.abc import Iterable

import torch


def check_settings(lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    """Raises `ValueError` for settings that make no sense."""
    if min(lr, eps, weight_decay) < 0:
        raise ValueError(f"lr, eps and weight_decay are {lr}, {eps} and {weight_decay}, and none may be negative")
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas are {betas}, and should be from 0 up to, but not including, 1")


# %% [markdown]
# ## Step 1: one update of one tensor
#
# **A worked example.** The weight is 1, lr = 0.1, the other settings are the defaults. The first gradient is 0.5, the
# second −0.5:
#
# | t | g | decayed weight | m | v | m̂ | v̂ | new weight |
# | --- | --- | --- | --- | --- | --- | --- | --- |
# | 1 | 0.5 | 1 · (1 − 0.1 · 0.01) = 0.999 | 0.05 | 0.00025 | 0.5 | 0.25 | 0.999 − 0.1 · 0.5 / 0.5 = 0.899 |
# | 2 | −0.5 | 0.898101 | −0.005 | 0.00049975 | −0.026316 | 0.25 | 0.898101 + 0.1 · 0.026316 / 0.5 = 0.903364 |
#
# The first step is as long as lr, for any size of the gradient. In the second the mean remembers that the gradient
# pointed the other way before, and hardly moves.


# %%
def adamw_update(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    first_moment: torch.Tensor,
    second_moment: torch.Tensor,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`theta' = theta - lr weight_decay theta - lr m^ / (sqrt(v^) + eps)`   (Loshchilov & Hutter 2019, algorithm 2).

    Args:
        parameter: `[...]`, theta, in float32 or float64.
        gradient: `[...]`, g.
        first_moment: `[...]`, m of the step before; zeros before the first.
        second_moment: `[...]`, v of the step before; zeros before the first.
        step: t, counted from 1.
        lr: the learning rate.
        betas: how much of the old m and of the old v is kept.
        eps: added to the root of the corrected second moment.
        weight_decay: lambda, the part of the weight that is taken away, times lr.

    Returns:
        The new parameter and the new moments (not the corrected ones), three new tensors `[...]` of the same dtype.

    Raises:
        ValueError: step < 1; a negative lr, eps or weight_decay; a beta outside [0, 1).
    """
    check_settings(lr, betas, eps, weight_decay)
    if step < 1:
        raise ValueError(f"step is {step}, and steps are counted from 1")
    # The weight with a part of it taken away: [...].
    decayed = parameter * (1 - lr * weight_decay)  # FINISH ME
    # The running mean of the gradient: [...].
    first_moment = betas[0] * first_moment + (1 - betas[0]) * gradient  # FINISH ME
    # The running mean of its square: [...].
    second_moment = betas[1] * second_moment + (1 - betas[1]) * gradient**2  # FINISH ME
    # Both, corrected for having begun at 0; the moments themselves are needed as they are for the next step.
    corrected_first = first_moment / (1 - betas[0] ** step)  # FINISH ME
    corrected_second = second_moment / (1 - betas[1] ** step)  # FINISH ME
    # The step against the gradient, from the decayed weight: [...].
    updated = decayed - lr * corrected_first / (corrected_second.sqrt() + eps)  # FINISH ME
    return updated, first_moment, second_moment


# %% [markdown]
# ## Step 2: the optimizer
#
# It holds the parameters and what it remembers of each, and changes them in place: model and optimizer mean the same
# tensors. A parameter that has no gradient was not used. It stays as it is, is not decayed, and its count of steps does
# not move on, so its correction is right whenever it is used at last.


# %%
class AdamW:
    """Step for step what `torch.optim.AdamW` does.

    Args:
        parameters: the tensors to train, a list or any other iterable, which is read once.
        lr: the learning rate. The attribute `lr` may be set between steps.
        betas: how much of the old moments is kept.
        eps: see `adamw_update`.
        weight_decay: see `adamw_update`.

    Raises:
        ValueError: the settings that `adamw_update` refuses.
    """

    def __init__(
        self,
        parameters: Iterable[torch.Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        check_settings(lr, betas, eps, weight_decay)
        self.parameters = list(parameters)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        # For each parameter how many steps it has taken, and its two moments.
        self.state = [(0, torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Updates in place every parameter that has a gradient; the gradients stay as they are."""
        for place, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            # Update the parameter itself, and what is remembered of it in `self.state[place]`.
            # BEGIN SOLUTION
            steps, first, second = self.state[place]
            settings = (self.lr, self.betas, self.eps, self.weight_decay)
            updated, first, second = adamw_update(parameter, parameter.grad, first, second, steps + 1, *settings)
            parameter.copy_(updated)
            self.state[place] = steps + 1, first, second
            # END SOLUTION

    def zero_grad(self) -> None:
        """Sets the gradient of every parameter to None."""
        for parameter in self.parameters:
            parameter.grad = None


# %% [markdown]
# ## Step 3: the learning rate over time
#
# At first the moments know little, and long steps do harm: the rate *warms up*, a line from nearly 0 to its peak. At
# the end short steps settle: it falls along half a cosine (Loshchilov & Hutter 2017).
#
# $$\eta_s = \begin{cases} \text{peak} \cdot (s + 1) / W & s < W \\ \text{floor} + (\text{peak} - \text{floor}) \cdot
# \frac12 (1 + \cos \pi q) & \text{else} \end{cases} \qquad q = \frac{s - W}{S - W} \text{, clipped to } [0, 1]$$
#
# **A worked example.** peak = 0.01, floor = 0.001, W = 4 steps of warm-up, S = 12 steps in all. Step 0 has 0.0025, step
# 3 the peak, and so has step 4. Step 8 is half way, q = 0.5, with 0.0055. From step 12 on it is 0.001.


# %%
def warmup_cosine(step: int, peak: float, warmup_steps: int, total_steps: int, floor: float = 0.0) -> float:
    """The learning rate of a step: a line up to the peak, then half a cosine down to the floor.

    Args:
        step: s, counted from 0; also beyond the end.
        peak: the largest rate.
        warmup_steps: W, how many steps the way up takes; 0 for none.
        total_steps: S, the step at which the floor is reached.
        floor: the rate at the end.

    Returns:
        A float.

    Raises:
        ValueError: unless 0 <= warmup_steps < total_steps.
    """
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(f"{warmup_steps} steps of warm-up do not fit into {total_steps} steps")
    if step < warmup_steps:
        # The way up: the first step has a little, the last of the warm-up the whole peak.
        return peak * (step + 1) / warmup_steps  # FINISH ME
    # How much of the way down is done: 0 right after the warm-up, 1 at the end and ever after.
    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)  # FINISH ME
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2  # FINISH ME


# %% [markdown]
# ## Step 4: clipping
#
# Once in a while a batch has a gradient a hundred times as long as the others'. Where the gradient of *all* parameters
# together, seen as one long vector, is longer than `max_norm`, it is made that long; its direction stays (Pascanu et
# al. 2013).
#
# $$n = \sqrt{\sum_i \sum_j g_{ij}^2} \qquad g_i' = g_i \cdot \min\left(1, \frac{\text{max norm}}{n + 10^{-6}}\right)$$
#
# **A worked example.** The gradients `[3, 0]` and `[4]` have norm 5. With max_norm = 1 they become `[0.6, 0]` and
# `[0.8]`; with max_norm = 10 they stay.


# %%
def clip_gradient_norm(gradients: list[torch.Tensor], max_norm: float) -> tuple[list[torch.Tensor], torch.Tensor]:
    """`g' = g min(1, max_norm / (n + 1e-6))`, n the norm of all gradients together   (Pascanu et al. 2013).

    Args:
        gradients: at least one tensor, of any shapes.
        max_norm: how long all together may be.

    Returns:
        New tensors in the same order, and the norm `[]` from before the clipping.
    """
    # The length of all gradients as one vector: [].
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()  # FINISH ME
    # The factor that all are multiplied by: [].
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)  # FINISH ME
    return [gradient * factor for gradient in gradients], norm


# %% [markdown]
# ## Step 5: a large batch from small ones
#
# The memory for a batch of a million tokens is not there. But the gradient of a mean is a mean of gradients: go through
# the batch in *micro-batches*, let PyTorch add up their gradients, and step once.
#
# Mind the weights. The loss of a micro-batch is the mean over *its* tokens, and micro-batches differ in size.
#
# $$L = \frac{1}{N} \sum_i n_i L_i \qquad N = \sum_i n_i$$
#
# **A worked example.** A micro-batch of 30 tokens has a mean loss of 1, one of 10 tokens has 3. All 40 tokens have the
# mean (30 · 1 + 10 · 3) / 40 = 1.5. The mean of the two means is 2: there a token of the small one counts three times
# as much. (Many training programs had this very mistake until 2024.)
#
# It saves memory only if no two graphs are there at once. So `losses` is a generator: a loss is computed when you ask
# for it, and you ask for the next one when the backward pass of the last is done, which frees its graph.


# %%
def accumulate_gradients(losses: Iterable[torch.Tensor], counts: list[int]) -> float:
    """Leaves in `.grad` the gradients of L = sum_i n_i L_i / sum_i n_i, one micro-batch at a time.

    Args:
        losses: yields for each micro-batch its mean loss `[]`, made when it is asked for. One graph at a time: run its
            backward pass, once and without retaining the graph, before you ask for the next loss.
        counts: n_i, the number of tokens of each, at least 1.

    Returns:
        L, the mean over all tokens, as a float. Gradients are added to those that are there.
    """
    # Yours to design: the gradients of the mean over all tokens, with only one graph in memory at any time.
    # BEGIN SOLUTION
    total = sum(counts)
    mean = 0.0
    for count, loss in zip(counts, losses, strict=False):  # counts first: no loss is made that is not needed
        weighted = loss * (count / total)
        weighted.backward()
        mean += weighted.item()
    return mean
    # END SOLUTION


# %% [markdown]
# ## What you have built
#
# On the left, a valley a hundred times as steep across as along: plain descent goes to and fro between its walls, AdamW
# walks down. In the middle the learning rate. On the right, the gradients of a training that now and then meets a
# terrible batch, before and after clipping.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    STEEPNESS = torch.tensor([1.0, 100.0])  # along, across

    def descend(length: int, rate: float) -> torch.Tensor:
        """The way `[length, 2]` of plain gradient descent."""
        place, way = torch.tensor([-4.0, 1.5]), []
        for _ in range(length):
            way.append(place)
            place = place - rate * STEEPNESS * place
        return torch.stack(way)

    def walk(length: int) -> torch.Tensor:
        """The way `[length, 2]` of your AdamW, with your schedule."""
        place, way = torch.tensor([-4.0, 1.5], requires_grad=True), []
        optimizer = AdamW([place], weight_decay=0.0)
        for step in range(length):
            way.append(place.detach().clone())
            optimizer.zero_grad()
            (STEEPNESS * place**2 / 2).sum().backward()
            optimizer.lr = warmup_cosine(step, 0.3, 5, length)
            optimizer.step()
        return torch.stack(way)

    def draw() -> plt.Figure:
        """Two ways down a valley, the schedule, and gradients before and after clipping."""
        figure, (valley, schedule, clipping) = plt.subplots(1, 3, figsize=(16, 4.6), layout="constrained")
        blue, red, gray = "#2a6f97", "#c1443c", "#8a8a8a"

        x, y = torch.meshgrid(torch.linspace(-4.5, 1, 120), torch.linspace(-2, 2, 120), indexing="xy")
        valley.contour(x, y, (STEEPNESS[0] * x**2 + STEEPNESS[1] * y**2) / 2, levels=14, colors="0.8", linewidths=0.8)
        valley.plot(*descend(40, 0.0195).T, "o-", color=red, markersize=3, linewidth=1, label="plain descent")
        valley.plot(*walk(40).T, "o-", color=blue, markersize=3, linewidth=2, label="your AdamW")
        valley.plot(0, 0, "*", color="black", markersize=12)
        valley.set_title("Forty steps down a narrow valley")
        valley.legend(frameon=False, loc="upper right")

        for warmup, color in ((0, gray), (50, blue), (200, red)):
            rates = [warmup_cosine(step, 3e-3, warmup, 1000, 3e-4) for step in range(1101)]
            schedule.plot(rates, color=color, linewidth=2, label=f"{warmup} steps of warm-up")
        schedule.axvline(1000, color="0.8", linestyle="--", linewidth=1)
        schedule.set(xlabel="step", ylabel="learning rate", ylim=(0, None), title="Up, and down to the floor")
        schedule.legend(frameon=False)

        generator = torch.Generator().manual_seed(1)
        lengths = torch.exp(torch.randn(120, generator=generator))  # [120]: most are tame, some are not
        before, after = [], []
        for length in lengths:
            gradients = [torch.randn(20, generator=generator) * length / 8, torch.randn(9, 5, generator=generator) / 8]
            clipped, norm = clip_gradient_norm(gradients, 1.0)
            before.append(norm)
            after.append(clip_gradient_norm(clipped, 1.0)[1])
        clipping.plot(before, color=red, linewidth=1, label="before")
        clipping.plot(after, color=blue, linewidth=2, label="clipped to 1")
        clipping.set(xlabel="batch", ylabel="norm of all gradients", yscale="log", title="The tame ones are left alone")
        clipping.legend(frameon=False)

        for axes in (valley, schedule, clipping):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
