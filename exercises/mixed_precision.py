# %% [markdown]
# # Mixed precision
#
# Half the bits are half the memory, and on a graphics card many times the speed. But a number of 16 bits is coarse.
# Training in *mixed precision* (Micikevicius et al. 2018) does the large products in half precision, and keeps in
# float32 what half precision would ruin. Here you build the four parts of it.
#
# | dtype | bits: exponent + fraction | largest | smallest normal | next after 1 | loses |
# | --- | --- | --- | --- | --- | --- |
# | float32 | 8 + 23 | 3.4e38 | 1.2e−38 | 1.0000001 | nearly nothing |
# | float16 | 5 + 10 | 65504 | 6.1e−5 | 1.00098 | 70000 is inf, 1e−8 is 0, 2049 is 2048 |
# | bfloat16 | 8 + 7 | 3.4e38 | 1.2e−38 | 1.0078 | 257 is 256, and 1.003 is 1 |
#
# Three things go wrong in float16, and each has its remedy:
#
# 1. Sums of squares overflow, so norms (and softmax, and losses) are computed in float32.
# 2. A weight of 1 and a step of 0.0001 make 1 again, so a *master* copy of the weights is kept in float32.
# 3. Gradients are so small that they become 0, so the loss is *scaled up* first, and the gradients down afterwards.

# %%
import torch
from torch.nn.functional import linear

# %% [markdown]
# ## Step 1: products in half precision
#
# $$y = x W^T + b \qquad \text{all in the narrow dtype}$$
#
# **A worked example.** x = [1.0002, −1] and a row of weights [1024, 1024]. In float32 that is 0.2. In float16, x is [1,
# −1], and the product 0. This loss is the price; the sums of a training are large enough to bear it.


# %%
def mixed_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, dtype: torch.dtype = torch.float16
) -> torch.Tensor:
    """`y = x W^T + b`, where x, W and b are cast to `dtype` first   (Micikevicius et al. 2018).

    Args:
        x: `[..., in]`.
        weight: `[out, in]`.
        bias: `[out]`, or None.
        dtype: float16 or bfloat16.

    Returns:
        `[..., out]` in `dtype`. Gradients flow through the casts: they come back in the dtype of each argument.
    """
    # The inputs in the narrow dtype.
    x, weight = ...  # FINISH ME
    if bias is not None:
        bias = ...  # FINISH ME
    return linear(x, weight, bias)


# %% [markdown]
# ## Step 2: norms in single precision
#
# $$y_i = w_i \cdot \frac{x_i}{\sqrt{\frac1C \sum_j x_j^2 + \epsilon}}$$
#
# **A worked example.** x = [300, 400] in float16. The square of 300 is 90000, which float16 does not have: it is inf,
# and the result would be 0. In float32 the root of the mean square is 353.55, and y = [0.8485, 1.1314] fits float16
# well.
#
# Only the end is cast, and once: the weight is applied before that. Otherwise the result is rounded twice.


# %%
def rms_norm_safe(x: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    """`y = w x / sqrt(mean(x^2) + eps)` over the last axis, computed in float32   (Zhang & Sennrich 2019).

    Args:
        x: `[..., C]`, float32, float16 or bfloat16.
        weight: `[C]`, in any of these dtypes.
        eps: added to the mean of the squares.

    Returns:
        `[..., C]` in the dtype of x, rounded once, at the end. Gradients flow to x and weight, in the dtype of each.
    """
    # x in float32: [..., C].
    wide = ...  # FINISH ME
    # x over the root of the mean square, and times the weight, all in float32: [..., C].
    normed = ...  # FINISH ME
    return normed.to(x.dtype)


# %% [markdown]
# ## Step 3: the bill
#
# While it is trained with Adam, a weight has a gradient, two moments and perhaps a master beside it. The moments are
# always float32. A master is only needed where the weights are narrower than float32.
#
# **A worked example.** For each weight: float32 takes 4 + 4 + 8 = 16 bytes. float16 with master weights takes 2 + 2 + 8
# + 4 = 16 as well: mixed precision saves no memory here, but in the activations, and it saves time. Without a master it
# is 12.

# %%
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def training_bytes(num_parameters: int, dtype: str, master_weights: bool = True) -> int:
    """Parameters and gradients in `dtype`, two moments in float32, and a float32 master where there is one.

    Args:
        num_parameters: how many weights there are.
        dtype: "float32", "float16" or "bfloat16".
        master_weights: whether narrower weights have a master; float32 weights never need one.

    Raises:
        ValueError: another dtype.
    """
    if dtype not in BYTES:
        raise ValueError(f"dtype is {dtype!r}, and should be one of {', '.join(BYTES)}")
    # The bytes of the master of one weight, or 0.
    master = ...  # FINISH ME
    return ...  # FINISH ME


# %% [markdown]
# ## Step 4: master weights
#
# $$\theta \leftarrow \theta - \eta g \quad \text{in float32} \qquad \theta_{\text{half}} = \text{cast}(\theta)$$
#
# **A worked example.** A weight of 1, a gradient of 1 and lr = 0.0001. In float16 the neighbors of 1 are 0.9995 and
# 1.001, so 0.9999 is 1 again: after 1,000 such steps the weight is still 1. The float32 master is 0.9 by then, and its
# float16 copy is 0.9 as well.


# %%
def master_step(
    master: torch.Tensor, gradient: torch.Tensor, lr: float, dtype: torch.dtype = torch.float16
) -> tuple[torch.Tensor, torch.Tensor]:
    """`master' = master - lr gradient` in float32, and its copy in `dtype`   (Micikevicius et al. 2018, section 3.1).

    Args:
        master: `[...]`, float32.
        gradient: `[...]`, in any floating dtype.
        lr: the learning rate.
        dtype: that of the copy.

    Returns:
        The new master `[...]` in float32, and its copy `[...]` in `dtype`, with memory of its own also when `dtype` is
        float32: what is done to one does not touch the other.
    """
    # The new master, computed in float32: [...].
    updated = ...  # FINISH ME
    # Its copy in the narrow dtype, which shares no memory with it: [...].
    narrow = ...  # FINISH ME
    return updated, narrow


# %% [markdown]
# ## Step 5: loss scaling
#
# A gradient of 1e−8 is 0 in float16. But gradients are linear: multiply the loss by 65536, and every gradient is 65536
# times as large. In float32 they are divided by it again. Too large a scale makes gradients inf; then the step is
# skipped.
#
# Which scale is right changes during training, so it is found by trying. It begins high. When a gradient is not finite,
# the scale is multiplied by the *backoff factor*, and the count of good steps begins anew. After `growth_interval` good
# steps in a row it is multiplied by the *growth factor*, and the count begins anew, too.
#
# **A worked example.** scale = 8, growth_interval = 2, the default factors 2 and 0.5:
#
# | step | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
# | --- | --- | --- | --- | --- | --- | --- | --- |
# | finite? | yes | yes | no | yes | no | yes | yes |
# | scale afterwards | 8 | 16 | 8 | 8 | 4 | 4 | 8 |


# %%
class LossScaler:
    """The schedule of `torch.amp.GradScaler`, without its upper bound.

    Args:
        scale: the scale at first; the float attribute `scale` always holds the present one.
        growth_factor: what the scale is multiplied by after `growth_interval` finite steps in a row.
        backoff_factor: what it is multiplied by after a step that was not finite.
        growth_interval: see there.
    """

    def __init__(
        self,
        scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
    ) -> None:
        self.scale = float(scale)
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval = growth_interval
        self.good_steps = 0  # finite ones in a row

    def scale_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """The float32 loss `[]` times the scale: its `backward()` gives the loss's gradients times the scale."""
        return ...  # FINISH ME

    def unscale(self, gradients: list[torch.Tensor]) -> tuple[list[torch.Tensor], bool]:
        """Gradients of the scaled loss, back at their own size.

        Args:
            gradients: tensors of any shapes and floating dtypes.

        Returns:
            New float32 tensors, the gradients over the scale; and whether every number in all of them is finite.
        """
        # What the gradients would be without the scale, in a dtype that holds them.
        unscaled = ...  # FINISH ME
        # Whether all numbers of all of them are finite, as a plain bool.
        finite = ...  # FINISH ME
        return unscaled, finite

    def update(self, finite: bool) -> None:
        """Adapts the scale after a step.

        Args:
            finite: whether the gradients of the step were.
        """
        return ...  # FINISH ME: the whole function


# %% [markdown]
# ## What you have built
#
# On the left, how far numbers are off after rounding, by their size: float16 is better than bfloat16 in its range, and
# outside it has nothing. In the middle, the same small regression in float32 and in float16. With weights in float16
# alone it soon gets stuck; with your master weights and your scaler it gets a hundred times further, until the rounding
# of the products stops it, too. On the right, the scale that finds its way.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    BLUE, RED, GRAY = "#2a6f97", "#c1443c", "#8a8a8a"

    def data(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs `[64, 8]` and what a linear layer should make of them `[64, 1]`: small numbers, small gradients."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(64, 8, generator=generator)
        return x, 1e-4 * x @ torch.linspace(-1, 2, 8)[:, None]

    def learn(kind: str, steps: int = 300) -> tuple[list[float], list[float]]:
        """The losses, and the scales, of a training in float32, in float16 alone, or mixed."""
        master, losses, scales = torch.zeros(1, 8), [], []
        scaler = LossScaler(2.0**40, growth_interval=40) if kind == "mixed" else LossScaler(1.0)
        for step in range(steps):
            x, target = data(step)
            weight = master.clone().requires_grad_() if kind == "float32" else master.half().requires_grad_()
            made = linear(x, weight) if kind == "float32" else mixed_linear(x, weight).float()
            loss = (made - target).square().mean()
            (gradient,) = torch.autograd.grad(scaler.scale_loss(loss), weight)
            (gradient,), finite = scaler.unscale([gradient])
            losses.append(loss.item())
            scales.append(scaler.scale)
            if kind == "mixed":
                scaler.update(finite)
            if finite:
                updated, narrow = master_step(master, gradient, lr=0.02)
                master = narrow.float() if kind == "float16 alone" else updated
        return losses, scales

    def draw() -> plt.Figure:
        """What rounding costs, three trainings, and the scale."""
        figure, (rounding, training, scale) = plt.subplots(1, 3, figsize=(16, 4.6), layout="constrained")
        sizes = torch.logspace(-10, 7, 4001, dtype=torch.float64)
        for dtype, color in ((torch.float16, RED), (torch.bfloat16, BLUE), (torch.float32, GRAY)):
            error = ((sizes.to(dtype).double() - sizes).abs() / sizes).clamp(max=1)
            error = torch.nn.functional.max_pool1d(error[None], 40, 10)[0]
            rounding.plot(sizes[:: len(sizes) // len(error)][: len(error)], error, color=color, label=str(dtype)[6:])
        rounding.set(xscale="log", yscale="log", xlabel="number", ylabel="relative error", title="What rounding costs")
        rounding.legend(frameon=False)
        for kind, style in (("float32", GRAY), ("float16 alone", RED), ("mixed", BLUE)):
            losses, scales = learn(kind)
            wide = 6 if kind == "float32" else 2
            training.plot(losses, color=style, linewidth=wide, alpha=0.5 if wide == 6 else 1, label=kind)
        training.set(xlabel="step", ylabel="loss", yscale="log", title="Small gradients")
        training.legend(frameon=False)
        scale.plot(scales, color=BLUE, linewidth=2)
        scale.set(xlabel="step", ylabel="scale", yscale="log", title="Down at every inf, up after 40 good steps")
        scale.set_yscale("log", base=2)
        for axes in (rounding, training, scale):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
