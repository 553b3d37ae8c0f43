# %% [markdown]
# # Flash attention
#
# Plain attention makes a matrix of scores, a row for each query and a column for each key. For a text of 100,000
# tokens that are ten billion scores in every head, only to be turned into weights, used once and thrown away. The
# output is small. What stands in the way is the softmax: before the first weight is known, all scores of its row must
# be there, for it divides by their sum.
#
# Or so it seems. The softmax can be computed *online*, a block of keys at a time, with three things kept for each
# query: the largest score so far, the sum of exponentials so far, and the output so far (Milakov & Gimelshein 2018).
# *Flash attention* (Dao et al. 2022) is built on that. It made long texts possible, and it is what runs today wherever
# a transformer does. It is no approximation: the result is that of plain attention.
#
# **The formula.** Say the scores $s_1, s_2, \dots$ of one query come in blocks. After some blocks we know
#
# $$m = \max_j s_j, \qquad \ell = \sum_j e^{s_j - m}$$
#
# and now comes a block with the scores $s'_1 \dots s'_S$. The maximum may grow, and what was summed up so far was
# measured from the old one. A single factor, the *correction*, puts that right, for
# $e^{s_j - m'} = e^{s_j - m} \cdot e^{m - m'}$:
#
# $$m' = \max(m, s'_1, \dots, s'_S), \qquad c = e^{m - m'}, \qquad \ell' = c\,\ell + \sum_j e^{s'_j - m'}$$
#
# The output is a sum of the same kind, with values in it, and takes the same correction. At the end, $o / \ell$ is the
# attention, and $m + \log \ell$ is the logarithm of the row's sum of exponentials, its *logsumexp*.
#
# **Shapes.** *B* texts, *H* heads; *S* is `block_size`, and the last block may be shorter.
#
# | | shape | |
# | --- | --- | --- |
# | `query` | `[B, H, T_q, D]` | |
# | `key` | `[B, H, T_k, D]` | |
# | `value` | `[B, H, T_k, D_v]` | |
# | scores | `[B, H, T_q, S]` | of one block, the only ones that are there at a time |
# | running maximum and sum | `[B, H, T_q]` | one of each for every query |
# | output | `[B, H, T_q, D_v]` | |
# | logsumexp | `[B, H, T_q]` | |

# %%
import math

import torch

# %% [markdown]
# ## Step 1: the softmax's sum, a block at a time
#
# **A worked example.** The scores 1, 3, 2, 5 come in two blocks, `[1, 3]` and `[2, 5]`.
#
# | | maximum | correction | sum |
# | --- | --- | --- | --- |
# | at first | −∞ | | 0 |
# | after `[1, 3]` | 3 | 0 | 0 · 0 + e⁻² + e⁰ = 1.135 |
# | after `[2, 5]` | 5 | e³⁻⁵ = 0.135 | 0.135 · 1.135 + e⁻³ + e⁰ = 1.203 |
#
# All at once it is the same: e⁻⁴ + e⁻² + e⁻³ + e⁰ = 1.203. The logsumexp is 5 + log 1.203 = 5.185.
#
# **The trap** is −∞. It is the maximum before the first block, and a masked key has the score −∞, so that a whole
# block may have nothing else. But −∞ − (−∞) is no number (`nan`), and a single nan spoils all that follows. Where the
# maximum itself is −∞ there is nothing to measure from: measure from 0 instead. Then e^(−∞ − 0) = 0, which is right.


# %%
def online_softmax_step(
    running_max: torch.Tensor, running_sum: torch.Tensor, scores: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Steps to m' = max(m, max s), c = exp(m - m'), l' = c l + sum exp(s - m')   (Milakov & Gimelshein 2018, alg. 3).

    Args:
        running_max: `[...]`, m: the largest score so far; -inf where there was none yet.
        running_sum: `[...]`, l: the sum of exp(score - running_max) so far; 0 where there was none yet.
        scores: `[..., S]`, the next S of them, at least one; -inf for a key that is masked.

    Returns:
        The new maximum, the new sum and the correction c, each `[...]` and in the dtype of what came in. Whatever was
        summed so far, times c, is right for the new maximum. None of them is nan: where all scores so far are -inf, the
        maximum is -inf, the sum 0, and the correction any finite number.
    """
    # [...]: the largest score so far, the block's among them.
    new_max = torch.maximum(running_max, scores.amax(dim=-1))  # FINISH ME
    # [...]: what the exponents are measured from, always finite.
    origin = torch.where(new_max == -math.inf, 0.0, new_max)  # FINISH ME
    # [...]: the factor that the old sum needs.
    correction = torch.exp(running_max - origin)  # FINISH ME
    # [...]: the old sum, corrected, and the block's own exponentials.
    new_sum = correction * running_sum + torch.exp(scores - origin[..., None]).sum(dim=-1)  # FINISH ME
    return new_max, new_sum, correction


# %% [markdown]
# ## Step 2: attention, a block at a time
#
# Plain attention is three lines: all scores, `softmax`, times the values. With T_q = T_k = 32,768 the first line alone
# takes 4 GiB for one head in float32. Yours walks along the keys instead, `block_size` of them at a time, and never has
# more than T_q × `block_size` scores. It is yours to design: you know what each block needs and what it must leave for
# the next.
#
# **A worked example.** One query of one number, 2, against the keys 0.5, 1.5, 1, 2.5: with D = 1, the scores are 1, 3,
# 2, 5. The values are 10, 20, 30, 40, and a block is 2 keys. After the first block the output so far is
# e⁻² · 10 + 1 · 20 = 21.353. The second multiplies it by the correction, 0.135, and adds e⁻³ · 30 + 1 · 40: it is
# 44.383. At the end, divide by the sum: 44.383 / 1.203 = 36.88.
#
# **Causal attention** hides from every query the keys that come after it. The last query stands at the last key, as
# with a key-value cache, where the new tokens are the last of all. So query *i* sees the keys 0, 1, ..., i + T_k −
# T_q. With more queries than keys, the first queries see none: for them the output is 0, and the logsumexp −∞. The
# mask, too, has T_q × `block_size` entries at most.


# %%
def flash_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, block_size: int = 64, causal: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(QKᵀ / √D) V without ever holding all of QKᵀ   (Dao et al. 2022, section 3.1).

    Args:
        query: `[B, H, T_q, D]`.
        key: `[B, H, T_k, D]`.
        value: `[B, H, T_k, D_v]`.
        block_size: how many keys are looked at at a time; it need not divide T_k. No more than T_q × block_size scores
            or mask entries of a head are there at once.
        causal: whether query i sees the keys up to i + T_k - T_q alone.

    Returns:
        The output `[B, H, T_q, D_v]`, which is that of plain attention, and the logsumexp of every query's scores
        `[B, H, T_q]`, both in the dtype of the query. A query that sees no key has the output 0 and the logsumexp -inf.

    Raises:
        ValueError: `block_size` is less than 1.
    """
    if block_size < 1:
        raise ValueError(f"a block holds at least one key, and block_size is {block_size}")
    # Block after block along the keys: scores, a step of the softmax, and the output so far. At the end, the division.
    # BEGIN SOLUTION
    queries, keys = query.shape[2], key.shape[2]
    running_max = torch.full_like(query[..., 0], -math.inf)  # [B, H, T_q]
    running_sum = torch.zeros_like(running_max)
    output = query.new_zeros(*query.shape[:3], value.shape[-1])  # [B, H, T_q, D_v]
    last_seen = torch.arange(keys - queries, keys, device=query.device)[:, None]  # [T_q, 1], a key for each query
    for start in range(0, keys, block_size):
        block = slice(start, start + block_size)
        scores = query @ key[:, :, block].transpose(-2, -1) / math.sqrt(query.shape[-1])  # [B, H, T_q, S]
        if causal:
            place = start + torch.arange(scores.shape[-1], device=query.device)  # [S], the block's keys
            scores = scores.masked_fill(place > last_seen, -math.inf)
        running_max, running_sum, correction = online_softmax_step(running_max, running_sum, scores)
        origin = torch.where(running_max == -math.inf, 0.0, running_max)
        output = output * correction[..., None] + torch.exp(scores - origin[..., None]) @ value[:, :, block]
    output = output / torch.where(running_sum == 0, 1.0, running_sum)[..., None]
    return output, running_max + torch.log(running_sum)
    # END SOLUTION


# %% [markdown]
# ## What you have built
#
# On the left, one query on its way along 512 keys, with a large score here and there. After each block the running
# maximum and the logsumexp so far are known. The sum is measured from the maximum, so that it jumps down whenever a new
# maximum is met: that is the correction at work. In the middle, the three outputs of the same query at every stop: they
# wander, and end where plain attention says. On the right, the largest tensor that is made on the way, counted while
# your code runs: it grows with the square of the length in plain attention, and with the length in yours.

# %%
if __name__ == "__main__":
    from collections.abc import Callable
    from typing import Any

    import matplotlib.pyplot as plt
    from torch.utils._python_dispatch import TorchDispatchMode

    from autograder.pictures import show

    class LargestTensor(TorchDispatchMode):
        """Notes the size of the largest tensor that any operation gives."""

        numbers = 0

        def __torch_dispatch__(
            self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            """Runs the operation as it is, and looks at what comes out."""
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                self.numbers = max(self.numbers, result.numel())
            return result

    def plain_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """All scores at once."""
        return (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(dim=-1) @ value

    def draw() -> plt.Figure:
        """One query on its way along the keys, and the largest tensor by the length of the text."""
        torch.manual_seed(4)
        figure, (stops, outputs, sizes) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
        blue, red, gray = "#2a6f97", "#c1443c", "#8a8a8a"

        scores = torch.randn(512)
        scores[[70, 200, 330]] = torch.tensor([5.0, 7.0, 8.5])
        running_max, running_sum, way = torch.tensor(-math.inf), torch.tensor(0.0), []
        for block in scores.split(16):
            running_max, running_sum, _ = online_softmax_step(running_max, running_sum, block)
            way.append([running_max, running_sum, running_max + running_sum.log()])
        maxima, sums, logsumexps = torch.tensor(way).T
        places = torch.arange(16, 513, 16)
        stops.plot(scores, ".", color=gray, markersize=3, alpha=0.7, label="scores")
        stops.step(places, maxima, where="post", color=red, linewidth=2, label="running maximum")
        stops.plot(places, logsumexps, color=blue, linewidth=2.5, label="logsumexp so far")
        stops.plot(places, sums.log(), color="#e9a23b", linewidth=1.5, label="log of the running sum")
        stops.set(xlabel="keys so far")
        stops.set_title("The sum, measured from a moving maximum")
        stops.legend(frameon=False, fontsize=9, loc="upper left", ncols=2)
        stops.set_ylim(-3.5, 13)

        query, key = torch.ones(1, 1, 1, 1), scores[None, None, :, None]
        value = torch.randn(1, 1, 512, 3).cumsum(dim=2) / 8
        so_far = torch.cat([flash_attention(query, key[:, :, :n], value[:, :, :n], 16)[0][0, 0] for n in places])
        final = plain_attention(query, key, value)[0, 0, 0]
        for feature, color in enumerate((blue, red, "#2a9d8f")):
            outputs.plot(places, so_far[:, feature], color=color, linewidth=2)
            outputs.plot(512, final[feature], "o", color=color, markersize=9)
        outputs.plot([], [], "o", color=gray, label="plain attention, all at once")
        outputs.set(xlabel="keys so far")
        outputs.set_title("The output so far")
        outputs.legend(frameon=False)

        lengths = [2**power for power in range(5, 12)]
        attentions: dict[str, tuple[str, Callable[..., Any]]] = {
            "plain attention": (red, plain_attention),
            "yours, 64 keys at a time": (blue, flash_attention),
        }
        for label, (color, attention) in attentions.items():
            counts = []
            for length in lengths:
                text = torch.randn(1, 1, length, 16)
                with LargestTensor() as largest:
                    attention(text, text, text)
                counts.append(largest.numbers)
            sizes.loglog(lengths, counts, "o-", color=color, linewidth=2.5, label=label)
        sizes.set(xlabel="length of the text")
        sizes.set_title("Numbers in the largest tensor")
        sizes.legend(frameon=False)
        sizes.grid(color="0.92")
        for axes in (stops, outputs, sizes):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
