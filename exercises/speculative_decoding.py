# %% [markdown]
# # Speculative decoding
#
# A large model takes as long to judge ten tokens as to write one: most of the time goes into moving its weights from
# memory. So let a small model, the *draft*, write a few tokens ahead, and let the large one, the *target*, judge them
# all in one go. What it accepts costs next to nothing. The surprise is that nothing is lost: what comes out has exactly
# the target's distribution, however bad the draft is (Leviathan et al. 2023). A bad draft only saves no time.
#
# **The rule.** Say the draft gives the next token the probabilities $q$, the target $p$, and the draft has drawn the
# token $x$. It is accepted with the probability
#
# $$a(x) = \min\Bigl(1, \frac{p(x)}{q(x)}\Bigr)$$
#
# and if it is refused, another is drawn from the *residual distribution*, where the target wants more than the draft:
#
# $$r(x) = \frac{\max(p(x) - q(x),\, 0)}{\sum_y \max(p(y) - q(y),\, 0)}$$
#
# **Why it is exact.** A token x comes out as an accepted draft with the probability $q(x)\,a(x) = \min(p(x), q(x))$. A
# draft is refused with the probability $1 - \sum_y \min(p(y), q(y)) = \sum_y \max(p(y) - q(y), 0)$, which is just the
# residual's denominator, so that x comes out as a replacement with the probability $\max(p(x) - q(x), 0)$. The two
# together are p(x).
#
# **Shapes.** *V* tokens in the vocabulary, *K* drafted tokens.
#
# | | shape | |
# | --- | --- | --- |
# | `draft_tokens` | `[K]` | drawn from the draft, one after the other |
# | `draft_probs` | `[K, V]` | row k: the distribution that token k was drawn from |
# | `target_probs` | `[K + 1, V]` | row k: the target's distribution in the same place; the last one follows them |

# %%
import torch

# %% [markdown]
# ## Step 1: accepting, and what is left
#
# **A worked example.** V = 3, p = `[0.5, 0.3, 0.2]` and q = `[0.2, 0.2, 0.6]`. The tokens 0 and 1 are always accepted:
# the target wants them more often than the draft writes them. Token 2 is accepted with probability 0.2 / 0.6 = 1/3.
# What the target wants more of is `[0.3, 0.1, 0]`, 0.4 together, so that the residual is `[0.75, 0.25, 0]`.
#
# Check token 0: drafted and accepted in 0.2 of all cases; a draft is refused in 0.6 · 2/3 = 0.4, and then 0 comes in
# 0.75 of these: 0.2 + 0.3 = 0.5 = p(0).
#
# Where p and q are equal, nothing is left over, and the residual would be 0 / 0. It is never needed then, but for
# rounding. So that it is a distribution all the same, it is the target's own row.


# %%
def acceptance_probability(target: torch.Tensor, draft: torch.Tensor, token: int) -> torch.Tensor:
    """min(1, p(token) / q(token))   (Leviathan et al. 2023, section 2.3).

    Args:
        target: `[V]`, p.
        draft: `[V]`, q, with q(token) > 0: the token was drawn from it.
        token: the id of the token.

    Returns:
        The probability `[]`.
    """
    return ...  # FINISH ME


def residual_distribution(target: torch.Tensor, draft: torch.Tensor) -> torch.Tensor:
    """max(p - q, 0), divided by its sum   (Leviathan et al. 2023, section 2.3).

    Args:
        target: `[..., V]`, p in each row.
        draft: `[..., V]`, q in each row.

    Returns:
        `[..., V]`, each row a distribution, in the dtype of the target; the target's own row where max(p - q, 0) sums
        to 0.
    """
    # [..., V]: what the target wants more of than the draft.
    more = ...  # FINISH ME
    # [..., 1]: all of it together, in each row.
    total = ...  # FINISH ME
    # [..., V]: the shares; mind the rows in which there is nothing to share.
    return ...  # FINISH ME


# %% [markdown]
# ## Step 2: what it brings
#
# If each drafted token is accepted with probability α, independently of the others, then the first is accepted with
# probability α, the first two with α², and so on; and one more token, a replacement or the one after all of them,
# always comes. So a step gives on average
#
# $$1 + \alpha + \alpha^2 + \dots + \alpha^K = \frac{1 - \alpha^{K+1}}{1 - \alpha}$$
#
# tokens. For α = 0.8 and K = 4 it is 3.3616: the target runs less than a third as often.


# %%
def expected_tokens(acceptance_rate: float, num_draft: int) -> float:
    """(1 - alpha^(K + 1)) / (1 - alpha)   (Leviathan et al. 2023, equation 1).

    Args:
        acceptance_rate: alpha, from 0 to 1.
        num_draft: K, how many tokens are drafted, 0 or more.

    Returns:
        How many tokens a step gives on average; K + 1 for alpha = 1.

    Raises:
        ValueError: alpha is outside [0, 1], or K is negative.
    """
    if not 0 <= acceptance_rate <= 1:
        raise ValueError(f"an acceptance rate is a probability, and {acceptance_rate} is none")
    if num_draft < 0:
        raise ValueError(f"the draft cannot write {num_draft} tokens")
    # The quotient, and what it tends to where it is 0 / 0.
    ...  # FINISH ME


# %% [markdown]
# ## Step 3: one step
#
# The drafted tokens are judged in their order. An accepted one is kept, and the next is looked at. The first one that
# is refused is replaced, by a token from the residual of its place, and ends the step: all drafts after it were written
# for a text that is no more. If all K are accepted, the target's last row gives one more token for free.
#
# **A worked example.** With p and q as above in the places 0 and 1, and the drafts 0, 2: token 0 is accepted for
# certain. Token 2 is accepted in one case of three; then comes a third token, from the last row of the target. In
# the other two cases it is replaced: the step gives `[0, 0]` or `[0, 1]`, three times as often the former.
#
# Every draw takes the generator, so that the same state gives the same tokens, and every draw is new: a number that
# has decided about a token must not also choose its replacement. `torch.rand((), generator=generator)` is uniform in
# [0, 1); `torch.multinomial(probabilities, 1, generator=generator)` draws a token.


# %%
def speculative_step(
    target_probs: torch.Tensor, draft_probs: torch.Tensor, draft_tokens: torch.Tensor, generator: torch.Generator
) -> list[int]:
    """Accepts drafted tokens, so that what comes out is distributed as the target's   (Leviathan et al. 2023, alg. 1).

    Args:
        target_probs: `[K + 1, V]`, the target's distribution in each place.
        draft_probs: `[K, V]`, the draft's; K = 0 is allowed.
        draft_tokens: `[K]`, the tokens that were drawn from `draft_probs`.
        generator: where all random numbers come from.

    Returns:
        1 to K + 1 tokens: the drafts up to the first that is refused, and one more, its replacement or the token after
        all of them.
    """
    return ...  # FINISH ME: the whole function


# %% [markdown]
# ## What you have built
#
# On the left, twelve words with their probabilities by target and draft, and how often each came out of 4,000 of your
# steps that drafted from the draft: as the target says. In the middle, tokens per step by the draft's quality, counted
# in your steps, on the curves of `expected_tokens`. On the right, the same as speed, if the draft takes a tenth of the
# target's time: drafting more helps a good draft, and hurts with a bad one.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def mean_length(acceptance: float, num_draft: int, generator: torch.Generator, steps: int = 400) -> float:
        """Tokens per step, where each draft is accepted with this probability."""
        draft = torch.tensor([1.0, 0.0]).expand(num_draft, 2)
        target = torch.tensor([acceptance, 1 - acceptance]).expand(num_draft + 1, 2)
        tokens = torch.zeros(num_draft, dtype=torch.long)
        return sum(len(speculative_step(target, draft, tokens, generator)) for _ in range(steps)) / steps

    def draw() -> plt.Figure:
        """What comes out is the target's; how many tokens a step gives, and what that is worth."""
        generator = torch.Generator().manual_seed(0)
        figure, (exact, lengths, speed) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
        target, draft = (torch.randn(2, 12, generator=generator) * 1.2).softmax(dim=-1)
        counts = torch.zeros(12)
        for token in torch.multinomial(draft, 4000, replacement=True, generator=generator):
            counts[speculative_step(torch.stack([target, target]), draft[None], token[None], generator)[0]] += 1
        places = torch.arange(12)
        exact.bar(places - 0.2, target, 0.4, color="#2a6f97", label="target")
        exact.bar(places + 0.2, draft, 0.4, color="#e9c46a", label="draft")
        exact.plot(places - 0.2, counts / 4000, "o", color="black", markersize=6, label="what came out")
        exact.set(xlabel="token", ylabel="probability", title="As the target says, whatever the draft")
        exact.legend(frameon=False)
        rates = torch.linspace(0, 1, 101).tolist()
        for number, num_draft in enumerate((1, 2, 4, 8)):
            color = plt.get_cmap("viridis")(number / 4)
            curve = [expected_tokens(rate, num_draft) for rate in rates]
            lengths.plot(rates, curve, color=color, linewidth=2, label=f"K = {num_draft}")
            some = [0.2, 0.5, 0.7, 0.9]
            lengths.plot(some, [mean_length(rate, num_draft, generator) for rate in some], "o", color=color)
            speed.plot(rates, [n / (1 + 0.1 * num_draft) for n in curve], color=color, linewidth=2)
        lengths.set(xlabel="acceptance rate α", title="Tokens per step: yours, on the curves")
        lengths.legend(frameon=False)
        speed.axhline(1, color="0.6", linestyle="--")
        speed.set(xlabel="acceptance rate α", title="Times as fast, with a draft of a tenth of the cost")
        for axes in (exact, lengths, speed):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
