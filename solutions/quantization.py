# %% [markdown]
# # Quantization
#
# A language model is a list of numbers, and a long one: 7 billion of them in a model of middling size. In float32 each
# takes 4 bytes, 28 GB together, more than most graphics cards have. But a weight needs no seven digits. *Quantization*
# keeps each as a whole number from −127 to 127, which is one byte, and one *scale* for many weights, which says how
# much a step of 1 is worth:
#
# $$s = \frac{\max_{ij} |w_{ij}|}{127} \qquad q_{ij} = \mathrm{round}\left(\frac{w_{ij}}{s}\right) \qquad
# \hat w_{ij} = s \cdot q_{ij}$$
#
# This is *absmax* quantization to int8, as in Dettmers et al., *LLM.int8()*, 2022. Rounding to the nearest whole number
# is off by at most a half, so no weight is off by more than half a step: $|\hat w_{ij} - w_{ij}| \le s / 2$.
#
# **A worked example.** The weights `[0.5, -1.27, 0.034, 1.0]`: the largest is 1.27 in size, so the scale is 0.01. In
# steps of 0.01 they are `[50, -127, 3.4, 100]`, rounded `[50, -127, 3, 100]`, and that means `[0.5, -1.27, 0.03, 1.0]`.
# Only 0.034 has changed, by 0.004; half a step is 0.005.
#
# **The catch.** The largest weight sets the scale for all. If one weight in a million is 100 times as large as the
# rest, the rest share two or three steps. So give each row its own scale: an outlier then spoils one row only.
#
# **Shapes.** `weights` `[out, in]`, as an `nn.Linear` has them: one row makes one output feature. The scale is `[]`, a
# single number, or `[out, 1]`, a column that broadcasts along each row.

# %%
import numpy as np

# %% [markdown]
# ## Step 1: from weights to int8
#
# A matrix or a row of zeros has a largest size of 0, and 0 / 0 is not a number. Any positive scale is right for it,
# because all its weights are 0 steps; take 1.


# %%
def quantize_absmax(weights: np.ndarray, per_row: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """`s = max |w| / 127` and `q = round(w / s)`   (Dettmers et al. 2022)

    Args:
        weights: `[out, in]`, in any floating dtype, or whole numbers; computed in float32 at least.
        per_row: whether each row has a scale of its own, or all weights share one.

    Returns:
        The whole numbers, int8 `[out, in]`, from -127 to 127, and the scale, `[]` or `[out, 1]`, always positive.
    """
    # float16 is too coarse to divide in, and integers are no fractions: from here on it is float32 at least.
    weights = np.asarray(weights, dtype=np.result_type(weights, np.float32))
    # The largest size: of each row, [out, 1], or of all weights, [].
    largest = np.abs(weights).max(axis=1, keepdims=True) if per_row else np.abs(weights).max()  # FINISH ME
    # How much a step is worth, so that the largest weight is 127 steps.
    scale = largest / 127  # FINISH ME
    scale = np.where(scale > 0, scale, np.ones_like(scale))
    # Each weight in steps, to the nearest whole number, as int8.
    quantized = np.rint(weights / scale).astype(np.int8)  # FINISH ME
    return quantized, scale


# %% [markdown]
# ## Step 2: and back
#
# At each use the weights become floats again, a piece at a time, and only the bytes stay in memory.


# %%
def dequantize(quantized: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """`w' = s q`

    Args:
        quantized: int8 `[out, in]`.
        scale: `[]` or `[out, 1]`.

    Returns:
        float32 `[out, in]`: off by half a step at most from the weights that were quantized.
    """
    # The weights again, in float32.
    return (quantized * scale).astype(np.float32)  # FINISH ME


# %% [markdown]
# ## Step 3: what it saves
#
# Memory is the number of weights times the bits of each. Memory comes in bytes of 8 bits. An int4 takes half a byte, so
# two share one, and an odd one out has a byte to itself.

# %%
BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8, "int4": 4}


def memory_bytes(num_parameters: int, dtype: str) -> int:
    """`bytes = number · bits / 8`, rounded up

    Args:
        num_parameters: how many weights there are.
        dtype: "float32", "float16", "bfloat16", "int8" or "int4".

    Raises:
        ValueError: another dtype.
    """
    if dtype not in BITS:
        raise ValueError(f"dtype is {dtype!r}, and should be one of {', '.join(BITS)}")
    # The bytes, in whole numbers, rounded up.
    return (num_parameters * BITS[dtype] + 7) // 8  # FINISH ME


# %% [markdown]
# ## What you have built
#
# The arithmetic that lets a model of 7 billion weights run on a laptop. What runs there today often has 4 bits a weight
# and a scale for every 32 of them: the same idea, with shorter rows. The model of the next exercise may reach you so.
#
# The first picture shows what rounding does to a weight. The second has one row with weights 50 times as large as the
# others': with one scale for all, it spoils every row. The third is the bill.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def draw_steps(axes: plt.Axes) -> None:
        """Weights and what becomes of them, near zero, where single steps are to be seen."""
        weights = np.append(np.linspace(-0.045, 0.045, 1801), 1.27)[None]  # [1, 1802]; the last makes a step 0.01
        back = dequantize(*quantize_absmax(weights))
        axes.plot(weights[0, :-1], weights[0, :-1], color="#9aa5ad", linestyle="--", label="as it was")
        axes.plot(weights[0, :-1], back[0, :-1], color="#2a6f97", label="quantized and back")
        axes.fill_between(
            weights[0, :-1], weights[0, :-1], back[0, :-1], color="#e07a5f", alpha=0.35, linewidth=0, label="the error"
        )
        axes.set_xlabel("weight")
        axes.set_ylabel("after int8 with a scale of 0.01")
        axes.set_title("No weight is off by more than half a step")
        axes.legend(frameon=False)

    def draw_rows(axes: plt.Axes) -> None:
        """How far off each row is in relation to its own size, with one scale and with one for each row."""
        weights = np.random.default_rng(0).normal(0, 0.02, (12, 256))
        weights[7] *= 50
        for per_row, color, name in (
            (False, "#e07a5f", "one scale for all"),
            (True, "#2a6f97", "a scale for each row"),
        ):
            errors = dequantize(*quantize_absmax(weights, per_row)) - weights
            relative = np.sqrt((errors**2).mean(axis=1) / (weights**2).mean(axis=1))
            axes.bar(np.arange(12) + 0.2 * (2 * per_row - 1), relative, 0.4, color=color, label=name)
        axes.set_yscale("log")
        axes.set_yticks([0.003, 0.01, 0.03, 0.1, 0.3], ["0.3%", "1%", "3%", "10%", "30%"])
        axes.minorticks_off()
        axes.set_ylim(0.002, 2)
        axes.set_xticks(range(12), range(12))
        axes.set_xlabel("row (the weights of row 7 are 50 times as large)")
        axes.set_ylabel("typical error, in relation to the row's size")
        axes.set_title("One large row spoils all others")
        axes.legend(frameon=False, loc="upper left")

    def draw_memory(axes: plt.Axes) -> None:
        """What models of three sizes take in each dtype, and what common machines have."""
        models = {"SmolLM2 (135 million)": 134_515_008, "7 billion": 7 * 10**9, "70 billion": 70 * 10**9}
        colors = {"float32": "#1b4965", "float16": "#2a6f97", "int8": "#62b6cb", "int4": "#bee3ee"}
        for place, (dtype, color) in enumerate(colors.items()):
            gigabytes = [memory_bytes(number, dtype) / 1e9 for number in models.values()]
            bars = axes.bar(np.arange(3) + 0.2 * place - 0.3, gigabytes, 0.19, color=color, label=dtype)
            axes.bar_label(bars, [f"{size:.2g}" if size < 100 else f"{size:.0f}" for size in gigabytes], fontsize=8)
        for size, name in ((8, "a small graphics card: 8 GB"), (80, "a large one: 80 GB")):
            axes.axhline(size, color="#9aa5ad", linestyle="--", linewidth=1, zorder=0)
            axes.text(-0.45, size * 1.1, name, fontsize=8, color="#5c6770")
        axes.set_yscale("log")
        axes.set_ylim(0.03, 1500)
        axes.set_xticks(range(3), models)
        axes.set_ylabel("gigabytes")
        axes.set_title("What the weights weigh")
        axes.legend(frameon=False, ncols=2, loc="upper left")

    def draw() -> plt.Figure:
        """A step, a scale for each row, and the bill."""
        figure, (steps, rows, memory) = plt.subplots(1, 3, figsize=(16, 4.6), layout="constrained")
        draw_steps(steps)
        draw_rows(rows)
        draw_memory(memory)
        for axes in (steps, rows, memory):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
