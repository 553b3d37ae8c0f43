# %% [markdown]
# # Proximal policy optimization
#
# A reward model can tell a good answer from a bad one, but no gradient flows through "the model chose this word". So
# the model learns by trying: it writes answers, they are scored, and every token that turned out better than expected
# is made more probable, every other one less. Proximal policy optimization (PPO, Schulman et al. 2017) is the method
# that made this stable, and it is how the first chat models learned from human feedback. In its language the model is
# the *policy*, a token is an *action*, and an answer is an *episode*. It rests on two ideas, and you will build both.
#
# **1. What does "better than expected" mean?** A second network, the *value* function, guesses at each token how much
# reward is still to come: $V_t$. Comparing each step with that guess gives its *advantage* (generalized advantage
# estimation, Schulman et al. 2016):
#
# $$\delta_t = r_t + \gamma V_{t+1} - V_t \qquad\qquad A_t = \delta_t + \gamma\lambda\, A_{t+1}$$
#
# **2. How far may one batch carry us?** The answers were written by the *old* policy, the model as it was at that
# time. After a few updates it is a different model, and what the batch says about it is less and less true. PPO
# measures the distance by the ratio of a token's two probabilities, and stops caring once that ratio has left a narrow
# band:
#
# $$r_t = \frac{\pi_{\mathrm{new}}(a_t)}{\pi_{\mathrm{old}}(a_t)} \qquad\qquad
# L = -\,\mathrm{mean}_t\; \min\bigl(r_t A_t,\; \mathrm{clip}(r_t,\, 1-\varepsilon,\, 1+\varepsilon)\, A_t\bigr)$$
#
# (The papers call two things *r*: the reward in the first line, the ratio in the second.)
#
# **Shapes.** An answer of T tokens has `rewards` `[T]` and `values` `[T + 1]`: one guess before each token, and one
# for what comes after the last. The loss takes log-probabilities and advantages of any shape, usually `[B, T]`, and is
# one number.

# %%
import torch

# %% [markdown]
# ## Step 1: advantages
#
# **A worked example.** An answer of three tokens earns its only reward at the end: rewards `[0, 0, 1]`. The value
# function guessed `[0.5, 0.6, 0.8]`, and after the end there is nothing to come: values `[0.5, 0.6, 0.8, 0]`. Take
# γ = 1 and λ = 0.5. Each δ says how much one token changed the outlook:
#
# | t | reward + next value − value | δ |
# | --- | --- | --- |
# | 0 | 0 + 0.6 − 0.5 | 0.1 |
# | 1 | 0 + 0.8 − 0.6 | 0.2 |
# | 2 | 1 + 0.0 − 0.8 | 0.2 |
#
# A token also deserves some credit for what it made possible. So walk from the end to the start, and let each step
# hand a share γλ = 0.5 of its advantage to the step before it: 0.2, then 0.2 + 0.5 · 0.2 = 0.3, then 0.1 + 0.5 · 0.3 =
# 0.25. The advantages are `[0.25, 0.3, 0.2]`.
#
# Two special cases show what λ does. With λ = 0 an advantage is δ alone: little noise, but all trust is in the value
# function. With λ = 1 the guesses in between cancel out, and $A_t + V_t$ is what really came, the discounted sum of
# the rewards: no guess can mislead it, but every accident in the rest of the answer counts. 0.95 lies in between.


# %%
def generalized_advantage_estimate(
    rewards: torch.Tensor, values: torch.Tensor, gamma: float = 0.99, lam: float = 0.95
) -> torch.Tensor:
    """A_t = delta_t + gamma lam A_{t+1},  delta_t = r_t + gamma V_{t+1} - V_t   (Schulman et al. 2016, eq. 16).

    Args:
        rewards: `[T]`, what each step earned.
        values: `[T + 1]`, what was expected before each step. The last one is the bootstrap value, the expectation
            after the last step: 0 where the episode ended, the next state's value where it was only cut off.
        gamma: the discount, what is left of a reward for each step that it lies ahead.
        lam: how much of the surprises after it a step is credited with, from 0 to 1.

    Returns:
        Advantages `[T]`. Floating dtypes are kept; integers are computed as floats.
    """
    values = 1.0 * values  # [T + 1]: whole numbers become floats, and the caller's tensor stays as it is
    # [T]: each step's surprise.
    deltas = ...  # FINISH ME
    advantages = torch.zeros_like(deltas)  # [T]
    advantage = 0.0  # after the last step nothing is left to be credited with
    for t in reversed(range(len(deltas))):
        # A_t; `advantage` still holds that of the step after it.
        advantage = ...  # FINISH ME
        advantages[t] = advantage
    return advantages


# %% [markdown]
# ## Step 2: the clipped loss
#
# **A worked example.** Four tokens and ε = 0.2, so the band is 0.8 to 1.2. The ratio comes from the log-probabilities,
# $r = e^{\mathrm{new} - \mathrm{old}}$:
#
# | new | old | r | A | r · A | clip(r) · A | the smaller | |
# | --- | --- | --- | --- | --- | --- | --- | --- |
# | −0.8 | −1.0 | 1.221 | +1 | 1.221 | 1.2 | 1.2 | good, and already more probable: enough |
# | −0.8 | −1.0 | 1.221 | −1 | −1.221 | −1.2 | −1.221 | bad, yet more probable: push it down |
# | −1.5 | −1.0 | 0.607 | +1 | 0.607 | 0.8 | 0.607 | good, yet less probable: push it up |
# | −1.5 | −1.0 | 0.607 | −1 | −0.607 | −0.8 | −0.8 | bad, and already less probable: enough |
#
# In the first and the last row the clipped number wins. It does not depend on the new policy, so its gradient is zero:
# the batch has nothing more to say about this token. In the other two the step went the wrong way, and must stay free
# to be undone. That is why PPO takes the *smaller* of the two: it is a pessimist, who believes good news up to the
# edge of the band, and bad news without limit. The mean of the four is −0.054, and the loss is minus that, 0.054: an
# optimizer goes down, and we want to go up.
#
# **The mask.** Answers in a batch differ in length. Padding is nothing that the policy chose, so it belongs neither in
# the sum nor in the count that the sum is divided by.


# %%
def ppo_loss(
    new_log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    advantages: torch.Tensor,
    epsilon: float = 0.2,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """L = -mean min(r A, clip(r, 1 - epsilon, 1 + epsilon) A),  r = exp(new - old)   (Schulman et al. 2017, eq. 7).

    Args:
        new_log_probs: `[...]`, log-probabilities of the actions under the policy that learns.
        old_log_probs: `[...]`, the same under the policy that acted: numbers, not something to learn.
        advantages: `[...]`, how much better each action was than expected: numbers as well.
        epsilon: how far the ratio may leave 1 before it stops counting.
        mask: `[...]`, bool, True for the entries that count, at least one; None for all.

    Returns:
        The loss `[]`, a mean over all entries that count, in the dtype of the log-probabilities; whole numbers are
        computed as floats. Gradients reach `new_log_probs` alone.
    """
    return ...  # FINISH ME: the whole function


# %% [markdown]
# ## What you have built
#
# On the left is your loss, turned over, as a function of the ratio. Where a curve is flat its gradient is zero, and
# the policy is left alone. In the middle an answer of twelve tokens, in which token 6 improved the outlook from 0.3 to
# 0.8, earns a reward of 1 at the end: λ = 0 credits only the tokens that brought a surprise, λ = 1 all that led up to
# it. On the right a policy learns from one batch again and again. Without the clip it soon bets everything on a single
# word, for no better reason than one lucky batch; with it, it moves to the edge of the band and waits for new data.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def learn(advantages: torch.Tensor, epsilon: float, steps: int = 60) -> torch.Tensor:
        """The ratios `[steps, V]` of V words while a policy learns from a batch in which each occurs once."""
        old = torch.log_softmax(torch.zeros(len(advantages)), dim=0)  # [V], all words alike
        logits, ratios = torch.zeros(len(advantages), requires_grad=True), []
        for _ in range(steps):
            new = torch.log_softmax(logits, dim=0)
            ratios.append(torch.exp(new - old).detach())
            (gradient,) = torch.autograd.grad(ppo_loss(new, old, advantages, epsilon=epsilon), logits)
            logits = (logits - 0.25 * gradient).detach().requires_grad_()
        return torch.stack(ratios)

    def draw() -> plt.Figure:
        """The clipped objective, the share of credit for each λ, and a policy that learns with and without the clip."""
        figure, (clip, credit, learning) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
        blue, red, band, arrow = "#2a6f97", "#c1443c", "#f3ead0", {"arrowstyle": "->", "color": "#555555"}

        ratios = torch.linspace(0.4, 1.6, 241)  # [241]
        clip.axvspan(0.8, 1.2, color=band, zorder=0)
        for advantage, color in ((1.0, blue), (-1.0, red)):
            curve = [-ppo_loss(r.log().view(1), torch.zeros(1), torch.tensor([advantage])).item() for r in ratios]
            clip.plot(ratios, advantage * ratios, color=color, linestyle=":")
            clip.plot(ratios, curve, color=color, linewidth=2.8)
            clip.plot(1, advantage, "o", color="black", markersize=5)
        clip.text(0.43, 0.66, "A = +1", color=blue, fontsize=12)
        clip.text(1.4, -1.22, "A = −1", color=red, fontsize=12)
        clip.annotate("good, and\nfrequent enough", (1.4, 1.18), (1.4, 0.55), ha="center", arrowprops=arrow)
        clip.annotate("bad, and\nrare enough", (0.6, -0.78), (0.6, -0.2), ha="center", arrowprops=arrow)
        clip.text(1.0, 0.05, "every update\nstarts at r = 1", ha="center", va="center", color="#555555")
        clip.set(xlabel="ratio of the new to the old probability", ylabel="objective (minus the loss)", xlim=(0.4, 1.6))
        clip.set_title("Flat outside the band, where the news is good")

        rewards = torch.tensor([0.0] * 11 + [1.0])  # [12]
        values = torch.tensor([0.3] * 7 + [0.8] * 5 + [0.0])  # [13]
        credit.fill_between(range(12), values[:-1], step="mid", color="#ececec", label="value V")
        shades = ("#e9c46a", "#7fb069", "#2a9d8f", "#264653")
        for lam, color in zip((0.0, 0.6, 0.9, 1.0), shades, strict=True):
            advantages = generalized_advantage_estimate(rewards, values, gamma=1.0, lam=lam)
            credit.plot(advantages, "o-", color=color, markersize=5, linewidth=2, label=f"λ = {lam:g}")
        credit.set(xlabel="token", ylabel="advantage", xticks=range(12), ylim=(-0.03, 1.05))
        credit.set_title("Who gets the credit")
        credit.legend(frameon=False, ncols=5, loc="upper center", columnspacing=0.9, handlelength=1.2)

        words = torch.tensor([1.5, 0.6, 0.2, -0.3, -0.8, -1.2])  # [6], the advantage of each
        colors = plt.get_cmap("coolwarm")(torch.linspace(0, 1, 6).numpy())
        learning.axhspan(0.8, 1.2, color=band, zorder=0)
        for epsilon, style, width in ((1e9, ":", 1.8), (0.2, "-", 2.4)):
            for path, color in zip(learn(words, epsilon).T, colors, strict=True):
                learning.plot(path, color=color, linestyle=style, linewidth=width)
        for advantage, color in zip(words, colors, strict=True):
            learning.plot([], [], color=color, linewidth=2.4, label=f"A = {advantage:+.1f}".replace("-", "−"))
        learning.plot([], [], color="black", linewidth=2.4, label="clipped")
        learning.plot([], [], color="black", linestyle=":", linewidth=1.8, label="not clipped")
        learning.set(xlabel="steps on the same batch", ylabel="ratio", yscale="log", ylim=(0.015, 7))
        learning.set_yticks([0.1, 0.2, 0.5, 0.8, 1.2, 2, 5], ["0.1", "0.2", "0.5", "0.8", "1.2", "2", "5"])
        learning.minorticks_off()
        learning.set_title("Six words, one batch, sixty steps")
        learning.legend(frameon=False, ncols=2, loc="lower left")

        for axes in (clip, credit, learning):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
