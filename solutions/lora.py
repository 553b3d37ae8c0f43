# %% [markdown]
# # Low-rank adaptation
#
# To fine-tune a model of seven billion weights with Adam takes more than 80 GB: for every weight there are a gradient
# and two moments beside it. *Low-rank adaptation* (LoRA, Hu et al. 2021) freezes the model, and learns only how each
# weight matrix should change. The change is written as a product of two thin matrices, which have a hundredth of the
# numbers or less. What comes out is a small file, the *adapter*, and one model can have many.
#
# **The formula.** A linear layer with the weight $W$ `[out, in]` becomes
#
# $$y = W x + b + \frac{\alpha}{r}\, B A\, x$$
#
# $W$ and $b$ are frozen; $A$ `[r, in]` and $B$ `[out, r]` learn. The *rank* $r$ is how many directions the change has.
# $\alpha$ sets how strongly it counts, and is divided by $r$, so that another rank needs no other learning rate. $A$
# begins with random numbers, $B$ with zeros: so at first the change is 0, and training starts from the very model that
# was there. (If both were zero, neither would ever have a gradient.)
#
# **Shapes.**
#
# | | shape | numbers for in = out = 576, r = 8 |
# | --- | --- | --- |
# | `x` | `[..., in]` | |
# | base weight $W$ | `[out, in]` | 331,776, frozen |
# | `lora_A` | `[r, in]` | 4,608 |
# | `lora_B` | `[out, r]` | 4,608 |
# | result | `[..., out]` | |

# %%
import math
from collections.abc import Collection

import torch
from torch import nn

# %% [markdown]
# ## Step 1: a linear layer with an adapter
#
# **A worked example.** in = 3, out = 2, r = 1, α = 2. The base has the weight `[[1, 0, 0], [0, 1, 0]]` and no bias,
# A = `[[1, 2, 3]]` and B = `[[1], [-1]]`. For x = `[1, 1, 1]` the base gives `[1, 1]`. A takes x to 1 + 2 + 3 = 6, B
# takes that to `[6, -6]`, and α / r = 2 makes it `[12, -12]`: the result is `[13, -11]`.
#
# In PyTorch `x` comes as rows, so that both matrices are transposed: x Aᵀ Bᵀ. From left to right it costs r · (in +
# out) multiplications for each row; the product B A, made first, would cost out · r · in.
#
# **Merging.** After training, nobody needs two paths. W + (α / r) B A is a plain matrix: put into a plain `nn.Linear`,
# it gives the same, as fast as the base ever was. In the example it is `[[1, 0, 0], [0, 1, 0]]` + 2 · `[[1, 2, 3],
# [-1, -2, -3]]` = `[[3, 4, 6], [-2, -3, -6]]`, and `[1, 1, 1]` becomes `[13, -11]` again.


# %%
class LoRALinear(nn.Module):
    """y = base(x) + (alpha / rank) x Aᵀ Bᵀ   (Hu et al. 2021, equation 3).

    Args:
        base: the layer to adapt. It is kept as the part `base`, and frozen.
        rank: r, how many rows A and columns B has.
        alpha: how strongly the change counts.

    Attributes:
        lora_A: `[rank, in]`, at first from `nn.init.kaiming_uniform_` with a = √5.
        lora_B: `[out, rank]`, at first zeros. Both have the base's dtype and device, and learn.

    Raises:
        ValueError: `rank` is less than 1.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"a change has at least one direction, and the rank is {rank}")
        self.base = base
        self.scale = alpha / rank
        # The base learns nothing.
        base.requires_grad_(False)  # FINISH ME
        like = {"dtype": base.weight.dtype, "device": base.weight.device}
        # Both matrices, zeros for now.
        # BEGIN SOLUTION
        self.lora_A = nn.Parameter(torch.zeros(rank, base.in_features, **like))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, **like))
        # END SOLUTION
        # One of the two does not stay zero.
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # FINISH ME

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """base(x) + (alpha / rank) x Aᵀ Bᵀ.

        Args:
            x: `[..., in]`.

        Returns:
            `[..., out]`.
        """
        return self.base(x) + self.scale * (x @ self.lora_A.T @ self.lora_B.T)  # FINISH ME

    def merge(self) -> nn.Linear:
        """W + (alpha / rank) B A in one plain layer.

        Returns:
            A new `nn.Linear` that computes what this layer computes, with the base's bias if there is one, in its dtype
            and on its device. The base itself stays as it is.
        """
        weight, bias = self.base.weight, self.base.bias
        merged = nn.Linear(
            self.base.in_features,
            self.base.out_features,
            bias=bias is not None,
            dtype=weight.dtype,
            device=weight.device,
        )
        with torch.no_grad():
            # [out, in]: the base's weight and the change.
            merged.weight.copy_(weight + self.scale * (self.lora_B @ self.lora_A))  # FINISH ME
            if bias is not None:
                merged.bias.copy_(bias)
        return merged


# %% [markdown]
# ## Step 2: adapters for a whole model
#
# A model is a tree of modules. `model.named_modules()` walks through all of it, and gives each module's path, such as
# `layers.3.self_attn.q_proj`: the last part is its own name, and what comes before is the path of its parent.
# `model.get_submodule(path)` finds a module again, and `setattr(parent, name, module)` puts another one in its place.
#
# Two traps. Once a layer is replaced, its base is a linear layer inside the model, and a walk that still goes on may
# meet it: find all places first, then replace. And the rest of the model must be frozen too, embeddings and norms and
# all, but not the new adapters: mind the order.


# %%
def add_lora(model: nn.Module, names: Collection[str], rank: int, alpha: float) -> int:
    """Gives an adapter to every `nn.Linear` of these names, in place, and freezes all other parameters of the model.

    Args:
        model: any model, to which this is done once. It is no `nn.Linear` itself, and has no layer under two paths.
        names: own names of layers, the last parts of their paths, as `{"q_proj", "v_proj"}`. Modules of such a name
            that are no `nn.Linear` are left as they are, and so is whatever only sounds alike.
        rank: the rank of every adapter.
        alpha: their strength.

    Returns:
        How many layers got one.

    Raises:
        ValueError: no layer fits. Then nothing is changed.
    """
    # The paths of all layers that fit, before anything is replaced.
    # BEGIN SOLUTION
    paths = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and path.rpartition(".")[2] in names
    ]
    # END SOLUTION
    if not paths:
        raise ValueError(f"the model has no nn.Linear called {' or '.join(names)}")
    # Freeze, then replace.
    # BEGIN SOLUTION
    model.requires_grad_(False)
    for path in paths:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, LoRALinear(model.get_submodule(path), rank, alpha))
    # END SOLUTION
    return len(paths)


def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """How many numbers learn, and how many there are.

    Args:
        model: any model.

    Returns:
        The number of elements of all parameters that require a gradient, and of all parameters.
    """
    # Both numbers.
    # BEGIN SOLUTION
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return trainable, sum(parameter.numel() for parameter in model.parameters())
    # END SOLUTION


# %% [markdown]
# ## Step 3: out again
#
# What is worth keeping is in the adapters. `lora_state_dict` takes out just these, under the names that they have in
# the model's own `state_dict`, such as `layers.3.self_attn.q_proj.lora_A`, so that `model.load_state_dict(adapter,
# strict=False)` puts them back. `merge_lora` turns the whole model plain again.
#
# Both walk as `add_lora` does, and are yours to design.


# %%
def lora_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """The adapters' tensors alone.

    Args:
        model: a model with adapters.

    Returns:
        `lora_A` and `lora_B` of every `LoRALinear`, detached, by their full names in the model. Nothing else, whatever
        its name: a module of the model may have `lora` in its name by chance.
    """
    # BEGIN SOLUTION
    return {
        f"{path}.{part}": getattr(module, part).detach()
        for path, module in model.named_modules()
        if isinstance(module, LoRALinear)
        for part in ("lora_A", "lora_B")
    }
    # END SOLUTION


def merge_lora(model: nn.Module) -> int:
    """Puts in the place of every `LoRALinear` the plain layer that computes the same.

    Args:
        model: a model with adapters, which is changed in place. It is no `LoRALinear` itself.

    Returns:
        How many were merged; 0 for a model without adapters.
    """
    # BEGIN SOLUTION
    adapted = [(path, module) for path, module in model.named_modules() if isinstance(module, LoRALinear)]
    for path, module in adapted:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, module.merge())
    return len(adapted)
    # END SOLUTION


# %% [markdown]
# ## What you have built
#
# A layer of 48 × 48 numbers learns to act as another one that differs from it in six directions. The first panel shows
# how the error falls for your adapters of several ranks. From rank 6 on it vanishes: no rank below can write that
# change down. The second is the change that the adapter of rank 6 has found, B A, and the third the true one. The
# last: how many numbers each rank trains, and what remained of the error.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    WIDTH, DIRECTIONS, RANKS = 48, 6, (1, 2, 4, 6, 12)

    def learn(base: nn.Linear, target: torch.Tensor, rank: int, steps: int = 400) -> tuple[LoRALinear, list[float]]:
        """An adapter that learns the weight `target`, and its error after each step."""
        model = nn.ModuleDict({"layer": base})
        add_lora(model, {"layer"}, rank, alpha=2 * rank)
        layer, errors = model["layer"], []
        optimizer = torch.optim.Adam([p for p in layer.parameters() if p.requires_grad], lr=0.02)
        for _ in range(steps):
            x = torch.randn(64, WIDTH)
            loss = (layer(x) - x @ target.T).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            errors.append(loss.item())
        return layer, errors

    def draw() -> plt.Figure:
        """How fast adapters of several ranks learn a change of rank 6, and what they find."""
        torch.manual_seed(0)
        figure, (curves, found, true, price) = plt.subplots(1, 4, figsize=(17, 4.2), layout="constrained")
        weight = torch.randn(WIDTH, WIDTH) / WIDTH**0.5
        change = torch.randn(WIDTH, DIRECTIONS) @ torch.randn(DIRECTIONS, WIDTH) / WIDTH**0.5 / 3
        colors = plt.get_cmap("viridis")
        for number, rank in enumerate(RANKS):
            base = nn.Linear(WIDTH, WIDTH, bias=False)
            base.weight.data.copy_(weight)
            layer, errors = learn(base, weight + change, rank)
            color = colors(number / len(RANKS))
            curves.semilogy(errors, color=color, linewidth=2, label=f"rank {rank}")
            trainable, _ = trainable_parameters(layer)
            price.loglog(trainable, errors[-1], "o", color=color, markersize=11)
            price.annotate(f" rank {rank}", (trainable, errors[-1]), color=color)
            if rank == DIRECTIONS:
                learned = layer.merge().weight.detach() - weight
        for axes, matrix, title in ((found, learned, "Your B A, of rank 6"), (true, change, "The true change")):
            axes.imshow(matrix, cmap="RdBu", vmin=-0.8, vmax=0.8)
            axes.set(title=title, xticks=[], yticks=[])
        curves.set(xlabel="steps", ylabel="mean squared error", title="Learning a change of rank 6")
        curves.legend(frameon=False)
        price.axvline(WIDTH**2, color="0.6", linestyle="--")
        price.annotate("all weights", (WIDTH**2, 1e-2), rotation=90, color="0.5", ha="right")
        price.set(xlabel="numbers that learn", ylabel="error at the end", title="What a rank costs")
        for axes in (curves, price):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
