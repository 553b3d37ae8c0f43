# %% [markdown]
# # Group relative policy optimization
#
# PPO needs a value function to say what to expect, and for a language model that is a second network as large as the
# first. Group relative policy optimization (GRPO, Shao et al. 2024) does without. It lets the model answer the same
# question several times, and an answer is good when it is better than its siblings: the group is its own yardstick.
# This suits tasks where an answer can simply be checked, such as mathematics and programs, and it is the method behind
# many of today's reasoning models.
#
# **1. Advantages without a value function.** For the rewards $r_1 \dots r_G$ of the G answers to one question,
#
# $$A_i = \frac{r_i - \mathrm{mean}(r)}{\mathrm{std}(r) + \mathrm{eps}}$$
#
# and every token of answer i gets the same advantage $A_i$.
#
# **2. The loss.** Each token has PPO's clipped objective, and pays for leaving the *reference* model, the one from
# before the training:
#
# $$\ell_{i,t} = -\Bigl(\min\bigl(\rho A_i,\; \mathrm{clip}(\rho, 1-\varepsilon, 1+\varepsilon)\, A_i\bigr)
# - \beta\, \mathrm{KL}_{i,t}\Bigr)$$
#
# $$\rho = \frac{\pi_{\mathrm{new}}}{\pi_{\mathrm{old}}} \qquad\qquad \mathrm{KL}_{i,t} =
# \frac{\pi_{\mathrm{ref}}}{\pi_{\mathrm{new}}} - \log\frac{\pi_{\mathrm{ref}}}{\pi_{\mathrm{new}}} - 1$$
#
# **3. Two means.** The loss of an answer is the mean over its tokens, and the loss of the batch is the mean over its
# answers.
#
# There are three policies here, so do not mix them up. *New* is learning. *Old* is the same model a few updates ago,
# when it wrote the answers; it changes with every batch. *Reference* is the model from before all this, and never
# changes.
#
# **Shapes.** Rewards are `[P, G]`: P questions (prompts), G answers to each. The loss sees them as one batch of B = P
# · G answers with T tokens: log-probabilities `[B, T]`, advantages `[B]`.

# %%
import torch

# %% [markdown]
# ## Step 1: advantages within a group
#
# **A worked example.** Two questions with four answers each, 1 for right and 0 for wrong: `[[1, 0, 0, 1], [0, 0, 0,
# 1]]`. The means are 0.5 and 0.25. The standard deviations, with G − 1 = 3 in the denominator, are $\sqrt{4 \cdot
# 0.5^2 / 3} = 0.577$ and $\sqrt{(3 \cdot 0.25^2 + 0.75^2) / 3} = 0.5$. So the advantages are `[[0.866, -0.866, -0.866,
# 0.866], [-0.5, -0.5, -0.5, 1.5]]`: the only right answer to the harder question counts most.
#
# If all answers to a question earn the same, right or wrong, their advantages are 0: the group teaches nothing. Then
# the standard deviation is 0 as well, and `eps` keeps the division from 0 / 0.


# %%
def group_relative_advantages(rewards: torch.Tensor, eps: float = 1e-4) -> torch.Tensor:
    """A = (r - mean(r)) / (std(r) + eps), within each group   (Shao et al. 2024).

    Args:
        rewards: `[P, G]`, the rewards of G answers (at least two) to each of P questions.
        eps: keeps the division finite where all answers of a group earn the same.

    Returns:
        Advantages `[P, G]`. Floating dtypes are kept; integers are computed as floats.
    """
    rewards = 1.0 * rewards  # [P, G]: whole numbers become floats, and the caller's tensor stays as it is
    # [P, G]: how much better each answer is than the mean of its own group.
    centered = rewards - rewards.mean(dim=1, keepdim=True)  # FINISH ME
    # [P, G]: the same in units of the group's standard deviation.
    return centered / (rewards.std(dim=1, keepdim=True) + eps)  # FINISH ME


# %% [markdown]
# ## Step 2: the loss
#
# **The penalty.** How far has the new model come from the reference? The exact answer, the KL divergence, is a sum
# over the whole vocabulary. But one token, sampled from the new model, gives an estimate that is right on average
# (Schulman 2020): with $x = \log\pi_{\mathrm{ref}} - \log\pi_{\mathrm{new}}$ it is $e^x - x - 1$. It is 0 where the
# models agree, and positive everywhere else. The naive estimate, $-x$ alone, is right on average too, but it is often
# negative, and then it would reward a token for leaving the reference.
#
# **Quotients.** ρ and the penalty are made of quotients of probabilities. A log-probability of −200 is one, too, but
# its probability is 0 in float32: subtract first, and take the exponential of the difference.
#
# **A worked example.** ε = 0.2 and β = 0.04. One answer with three tokens and A = 1.5, another with a single token and
# A = −0.5:
#
# | answer | new | old | ref | ρ | clipped objective | x | KL | ℓ |
# | --- | --- | --- | --- | --- | --- | --- | --- | --- |
# | 1 | −1.0 | −1.0 | −1.5 | 1 | 1.5 | −0.5 | 0.107 | −1.496 |
# | 1 | −0.5 | −1.0 | −1.5 | 1.649 | 1.2 · 1.5 = 1.8 | −1 | 0.368 | −1.785 |
# | 1 | −2.0 | −2.0 | −1.0 | 1 | 1.5 | 1 | 0.718 | −1.471 |
# | 2 | −1.5 | −1.0 | −1.5 | 0.607 | 0.8 · (−0.5) = −0.4 | 0 | 0 | 0.4 |
#
# The first answer's mean is −1.584, the second's is 0.4, and the loss is the mean of the two: −0.592. The mean of all
# four tokens together would be −1.088, for there the longer answer has three votes.


# %%
def grpo_loss(
    new_log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    reference_log_probs: torch.Tensor,
    advantages: torch.Tensor,
    epsilon: float = 0.2,
    beta: float = 0.04,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """L = mean_i mean_t -(min(rho A, clip(rho, 1 - epsilon, 1 + epsilon) A) - beta KL)   (Shao et al. 2024, eq. 3).

    Here rho = exp(new - old), and KL = exp(ref - new) - (ref - new) - 1 (their eq. 4).

    Args:
        new_log_probs: `[B, T]`, log-probabilities of the tokens under the model that learns.
        old_log_probs: `[B, T]`, the same under the model that wrote them.
        reference_log_probs: `[B, T]`, the same under the model from before the training.
        advantages: `[B]`, one for each answer.
        epsilon: how far rho may leave 1 before it stops counting.
        beta: the price of leaving the reference.
        mask: `[B, T]`, bool, True for the tokens that count, at least one in every answer; None for all.

    Returns:
        The loss `[]`, in the dtype of the log-probabilities; whole numbers are computed as floats. Gradients reach
        `new_log_probs` alone.
    """
    # All but the new log-probabilities are data: no gradient may reach the three.
    # BEGIN SOLUTION
    old_log_probs = old_log_probs.detach()
    reference_log_probs = reference_log_probs.detach()
    advantages = advantages.detach()
    # END SOLUTION
    # The advantages, so that each answer's meets all of its tokens.
    advantages = advantages[:, None]  # FINISH ME
    ratio = torch.exp(new_log_probs - old_log_probs)  # [B, T], rho
    clipped_ratio = torch.clamp(ratio, 1 - epsilon, 1 + epsilon)  # [B, T]
    # [B, T]: the clipped objective, as in PPO.
    objective = torch.minimum(ratio * advantages, clipped_ratio * advantages)  # FINISH ME
    log_ratio = reference_log_probs - new_log_probs  # [B, T], x: it looks from the new model to the reference
    # [B, T]: the penalty.
    kl = torch.exp(log_ratio) - log_ratio - 1  # FINISH ME
    # [B, T]: each token's loss: the objective should grow and the penalty shrink.
    loss = -(objective - beta * kl)  # FINISH ME
    if mask is None:
        mask = torch.ones_like(loss, dtype=torch.bool)  # [B, T]
    # [B]: each answer's mean over the tokens that count.
    answer_loss = (loss * mask).sum(dim=1) / mask.sum(dim=1)  # FINISH ME
    return answer_loss.mean()


# %% [markdown]
# ## What you have built
#
# On the left, what a right and a wrong answer are worth, by how many of sixteen were right. Success where nearly all
# fail is worth most, and so is failure where nearly all succeed; at both ends there is nothing to learn. In the middle
# the penalty, computed with your loss, beside the naive one. On the right a model of eight words learns to prefer the
# good ones. The further it goes from the reference, the more reward it finds; β is the price of the way, and decides
# where it stops.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def learn(beta: float, updates: int = 60, group: int = 200) -> torch.Tensor:
        """The way `[updates, 2]` of a policy over 8 words: divergence from the reference, and expected reward."""
        generator = torch.Generator().manual_seed(3)
        rewards = torch.linspace(0, 1, 8)  # [8], one for each word
        reference = torch.log_softmax(-rewards, dim=0)  # [8]: the better a word, the rarer it is at first
        logits, way = reference.clone().requires_grad_(), []
        for _ in range(updates):
            old = torch.log_softmax(logits, dim=0).detach()
            way.append([(old.exp() * (old - reference)).sum(), old.exp() @ rewards])
            words = torch.multinomial(old.exp(), group, replacement=True, generator=generator)  # [G]
            advantages = group_relative_advantages(rewards[words][None])[0]  # [G]
            for _ in range(3):
                new = torch.log_softmax(logits, dim=0)
                columns = [policy[words][:, None] for policy in (new, old, reference)]  # each [G, 1]
                (gradient,) = torch.autograd.grad(grpo_loss(*columns, advantages, beta=beta), logits)
                logits = (logits - 0.3 * gradient).detach().requires_grad_()
        return torch.tensor(way)

    def draw() -> plt.Figure:
        """What an answer is worth in its group, the penalty for leaving the reference, and where each β ends."""
        figure, (worth, penalty, learning) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
        blue, red, gray = "#2a6f97", "#c1443c", "#8a8a8a"

        counts = torch.arange(17)  # how many of 16 are right
        advantages = group_relative_advantages((torch.arange(16) < counts[:, None]).float())  # [17, 16]
        worth.axhline(0, color=gray, linewidth=0.8)
        worth.plot(counts[1:], advantages[1:, 0], "o-", color=blue, markersize=5, label="a right answer")
        worth.plot(counts[:-1], advantages[:-1, -1], "o-", color=red, markersize=5, label="a wrong answer")
        worth.set(xlabel="right answers among 16", ylabel="advantage", xticks=range(0, 17, 4))
        worth.set_title("The group is the yardstick")
        worth.legend(frameon=False, loc="lower left")

        x = torch.linspace(-2.2, 2.2, 221)  # [221], reference minus new
        zero = torch.zeros(1)
        paid = [grpo_loss(-1 - v.view(1, 1), -1 - v.view(1, 1), -torch.ones(1, 1), zero, beta=1.0).item() for v in x]
        penalty.axhline(0, color=gray, linewidth=0.8)
        penalty.plot(x, -x, color=red, linestyle=":", linewidth=2, label="naive: −x")
        penalty.plot(x, x**2 / 2, color=gray, linestyle="--", label="x² / 2")
        penalty.plot(x, paid, color=blue, linewidth=2.8, label="yours: eˣ − x − 1")
        penalty.fill_between(x, -x, 0, where=(x >= 0).numpy(), color=red, alpha=0.12, linewidth=0)
        penalty.text(1.5, -0.55, "a reward\nfor leaving", color=red, ha="center", va="center")
        penalty.set(xlabel="x = log reference − log new", ylabel="penalty", ylim=(-2.3, 6))
        penalty.set_title("What it costs to leave the reference")
        penalty.legend(frameon=False, loc="upper center")

        for beta, color in zip(
            (0.0, 0.3, 0.6, 1.0, 3.0), ("#264653", "#2a9d8f", "#7fb069", "#e9c46a", red), strict=True
        ):
            way = learn(beta)
            learning.plot(way[:, 0], way[:, 1], color=color, linewidth=2, zorder=2 + beta)
            learning.plot(*way[-1], "o", color=color, markersize=10, zorder=6)
            learning.annotate(f"β = {beta:g}", way[-1], (12, -14), textcoords="offset points", color=color)
        learning.plot(0, way[0, 1], "o", color="black", markersize=7)
        learning.annotate("reference", (0, way[0, 1]), (12, -4), textcoords="offset points")
        learning.set(xlabel="KL divergence from the reference", ylabel="expected reward", xlim=(-0.1, 3.1))
        learning.set_title("β decides how far to go")

        for axes in (worth, penalty, learning):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
