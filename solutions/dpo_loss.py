# %% [markdown]
# # Direct preference optimization
#
# A model that can answer does not yet answer *well*. What is good is hard to write down, but easy to point at: shown
# two answers to the same prompt, a person can say which one is better. A data set of such pairs holds prompts, each
# with a *chosen* and a *rejected* answer. DPO (Rafailov et al. 2023) learns from them directly: no reward model, no
# sampling, only a loss that you can compute like any other.
#
# It needs two models. The *policy* $\pi_\theta$ is the one that learns. The *reference* $\pi_\mathrm{ref}$ is a frozen
# copy of it from before the training. For a prompt $x$ with chosen answer $y_w$ (it wins) and rejected answer $y_l$
# (it loses),
#
# $$\mathcal{L} = -\log \sigma\left(\beta \left[ \log \frac{\pi_\theta(y_w \mid x)}{\pi_\mathrm{ref}(y_w \mid x)}
# - \log \frac{\pi_\theta(y_l \mid x)}{\pi_\mathrm{ref}(y_l \mid x)} \right]\right)$$
#
# is the loss of the pair (equation 7 of the paper), and a batch has the mean of its pairs. Read it from the inside out:
#
# - $\log \pi_\theta(y \mid x)$ is how probable the policy finds an answer. You compute it in step 1.
# - Each fraction is an *improvement*: how much more probable the policy makes an answer than the reference did.
# - The bracket is the *margin*: the chosen answer should have improved by more than the rejected one.
# - $\sigma(z) = 1 / (1 + e^{-z})$ makes a probability of it, and $-\log$ of a probability is a loss.
#
# **Shapes.** `B` pairs, `T` tokens in a sequence, `V` words in the vocabulary. `logits [B, T, V]` and `labels [B, T]`
# become log-probabilities `[B]`; four of those become one number.
#
# **A worked example.** A policy gives the chosen answer the log-probability −1 and the rejected one −2; the reference
# gave them −1.5 and −1.75. So the chosen one has improved by 0.5 and the rejected one by −0.25: the margin is 0.75.
# With β = 0.1, σ(0.075) is 0.519 and the loss 0.656. A policy that has learned nothing yet has margin 0 and loss
# log 2 = 0.693.

# %%
import torch
import torch.nn.functional as F

# %% [markdown]
# ## Step 1: how probable is an answer?
#
# An answer is a sequence, and its probability is the product of the probabilities of its tokens, each one given all the
# tokens before it. In logarithms, a sum:
#
# $$\log \pi(y \mid x) = \sum_{t\ \in\ \mathrm{answer}} \log \pi(y_t \mid x, y_{<t}),
# \qquad \log \pi(y_t \mid \ldots) = z_{y_t} - \log \sum_j e^{z_j}$$
#
# Two things go wrong easily.
#
# **The shift.** The logits at place *t* are made *after* reading token *t*: they predict token *t + 1*. So the last
# logits predict nothing that we know, and the first label is predicted by nothing.
#
# **The mask.** A sequence is prompt, answer and perhaps padding. The prompt is not ours to judge, so only the answer's
# tokens count. `completion_mask` marks *labels*, so it moves along with them.
#
# | place | 0 | 1 | 2 | 3 |
# | --- | --- | --- | --- | --- |
# | label | `Sky:` | `blue` | `.` | padding |
# | `completion_mask` | False | True | True | False |
# | predicted by the logits at place | none | 0 | 1 | 2 |
#
# Say the model finds `blue` after `Sky:` with probability 0.5, and `.` after `Sky: blue` with probability 0.6. Then the
# answer has log-probability log 0.5 + log 0.6 = −0.693 − 0.511 = −1.204. It is a sum, not a mean: the mean is the
# logarithm of no answer's probability, and the loss is about probabilities of answers.


# %%
def sequence_log_probs(logits: torch.Tensor, labels: torch.Tensor, completion_mask: torch.Tensor) -> torch.Tensor:
    """How probable each completion is: log p(completion) = sum over its tokens t of log p(label_t | labels before t).

    Args:
        logits: `[B, T, V]`, where `logits[:, t]` predict `labels[:, t + 1]`.
        labels: `[B, T]`, token ids from 0 to V - 1.
        completion_mask: `[B, T]`, bool, True for the labels that count. The first label never counts.

    Returns:
        `[B]`, one log-probability for each sequence, in the dtype of `logits`; 0 where no label counts, and finite for
        logits up to ±1e4.
    """
    # The logits that predict a label, [B, T-1, V].
    predictions = logits[:, :-1]  # FINISH ME
    # The labels that they predict, [B, T-1].
    targets = labels[:, 1:]  # FINISH ME
    # Which of these labels count, [B, T-1].
    counts = completion_mask[:, 1:]  # FINISH ME
    # The logit of each target, [B, T-1].
    target_logits = predictions.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # FINISH ME
    # Its log-probability, for logits of any size, [B, T-1].
    token_log_probs = target_logits - predictions.logsumexp(dim=-1)  # FINISH ME
    # The sum of what counts, for each sequence, [B].
    return torch.where(counts, token_log_probs, 0.0).sum(dim=-1)  # FINISH ME


# %% [markdown]
# ## Step 2: the loss
#
# What does the loss do to the policy? Its slope with respect to the margin *m* is
#
# $$\frac{d\mathcal{L}}{dm} = -\beta\, \sigma(-\beta m)$$
#
# A pair that the policy still has in the wrong order (*m* far below 0) pulls with nearly full weight β. A pair that it
# has in the right order by far pulls with nearly none: there is nothing left to learn from it. And β says when "by far"
# begins: with a small β, the policy may move far away from the reference; with a large one, it soon has enough.
#
# **The catch.** σ(−1000) is too small for a float: it becomes 0, its logarithm −∞ and the gradient nan, for exactly
# the pair that should teach most. As with log-softmax, take the logarithm by hand: $-\log \sigma(z) =
# \log(1 + e^{-z})$, which is nearly $-z$ for such a *z*. PyTorch's `F.logsigmoid` does it well at both ends.
#
# The reference is frozen: its log-probabilities are computed under `torch.no_grad()`, and come in as plain numbers.


# %%
def dpo_loss(
    policy_chosen_logps: torch.Tensor,
    policy_rejected_logps: torch.Tensor,
    reference_chosen_logps: torch.Tensor,
    reference_rejected_logps: torch.Tensor,
    beta: float = 0.1,
) -> torch.Tensor:
    """The mean of -log sigmoid(beta * ((policy_c - reference_c) - (policy_r - reference_r))) (Rafailov et al. 2023).

    Args:
        policy_chosen_logps: `[B]`, log-probabilities of the chosen answers by the model that learns.
        policy_rejected_logps: `[B]`, of the rejected answers.
        reference_chosen_logps: `[B]`, of the chosen answers by the frozen model.
        reference_rejected_logps: `[B]`, of the rejected answers.
        beta: how soon the policy is far enough from the reference; larger keeps it nearer.

    Returns:
        A scalar in the dtype of the log-probabilities, finite and with a finite gradient for any margin up to ±1e4.
    """
    # How much more probable the policy makes the chosen answers than the reference does, as logarithms, [B].
    chosen_improvement = policy_chosen_logps - reference_chosen_logps  # FINISH ME
    # The same for the rejected answers, [B].
    rejected_improvement = policy_rejected_logps - reference_rejected_logps
    # The mean of the pairs' losses.
    return -F.logsigmoid(beta * (chosen_improvement - rejected_improvement)).mean()  # FINISH ME


# %% [markdown]
# ## What you have built
#
# DPO has a theorem behind it. If preferences come from a hidden reward *r*, so that *a* beats *b* with probability
# σ(r(a) − r(b)), then the policy that minimizes the loss is
#
# $$\pi^*(y \mid x) \propto \pi_\mathrm{ref}(y \mid x)\; e^{r(x, y) / \beta}$$
#
# although nobody ever told it *r*. The picture puts that to the test: it trains a little policy on nothing but
# comparisons of six answers, with your loss, and compares it with the formula.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    ANSWERS = ["blue", "clear", "vast", "gray", "falling", "cheese"]
    REFERENCE = torch.tensor([0.20, 0.15, 0.10, 0.30, 0.15, 0.10]).log()  # [V], log-probabilities
    HIDDEN_REWARD = torch.tensor([1.2, 0.8, 0.6, 0.0, -0.9, -1.7])  # [V]
    MASK = torch.tensor([[False, True]])  # a prompt of one token, an answer of one token

    def log_probs(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """The log-probability of each answer after the prompt, where `logits [V]` predict it."""
        labels = torch.stack([torch.zeros_like(answers), answers], dim=1)  # [B, 2]
        return sequence_log_probs(logits.expand(len(answers), 2, -1), labels, MASK.expand(len(answers), 2))

    def comparisons(times: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The chosen and the rejected answers when every pair is compared many times."""
        a, b = torch.cartesian_prod(torch.arange(6), torch.arange(6)).T
        wins = (times * torch.sigmoid(HIDDEN_REWARD[a] - HIDDEN_REWARD[b])).round().long()
        return a.repeat_interleave(wins), b.repeat_interleave(wins)

    def train(beta: float, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The trained policy's log-probabilities `[V]`, and what they were after each step `[steps, V]`."""
        chosen, rejected = comparisons(20)
        reference = log_probs(REFERENCE, chosen), log_probs(REFERENCE, rejected)
        policy = REFERENCE.clone().requires_grad_()
        optimizer = torch.optim.Adam([policy], lr=0.03)
        history = []
        for _ in range(steps):
            history.append(policy.detach().log_softmax(-1))
            loss = dpo_loss(log_probs(policy, chosen), log_probs(policy, rejected), *reference, beta=beta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return policy.detach().log_softmax(-1), torch.stack(history)

    def draw() -> plt.Figure:
        """The loss and its slope, a training run, and the policies that it ends with."""
        figure, (curves, run, bars) = plt.subplots(1, 3, figsize=(15.5, 4.4), layout="constrained")
        colors = ["#4c78a8", "#f58518", "#54a24b"]

        margins = torch.linspace(-12, 12, 241)
        nothing = torch.zeros(1)
        for beta, color in zip([0.1, 0.5, 1.0], colors, strict=True):
            losses = [dpo_loss(m.view(1), nothing, nothing, nothing, beta=beta) for m in margins]
            curves.plot(margins, losses, color=color, lw=2, label=f"β = {beta}")
        curves.plot(0, torch.tensor(2.0).log(), "o", color="black", zorder=3)
        curves.annotate("untrained: log 2", (0, 0.693), (2.0, 3.2), arrowprops={"arrowstyle": "->"})
        curves.axvspan(-12, 0, color="0.94", zorder=0)
        curves.text(-11.5, 0.25, "wrong order", color="0.4")
        curves.text(11.5, 10.9, "right order", color="0.4", ha="right")
        curves.set(xlim=(-12, 12), xlabel="margin", ylabel="loss of the pair")
        curves.set_title("A larger β pulls harder, and is content sooner")
        curves.legend(loc="upper center", bbox_to_anchor=(0.62, 0.88))

        _, history = train(beta=1.0, steps=200)
        shades = plt.get_cmap("viridis_r")(torch.linspace(0.2, 1.0, 6).numpy())
        for word, answer, color in zip(ANSWERS, (history - REFERENCE).T, shades, strict=True):
            run.plot(answer, color=color, lw=2)
            run.text(203, answer[-1], word, color=color, va="center")
        run.axhline(0, color="0.6", lw=1, ls=":")
        run.set(xlim=(0, 250), xlabel="training step (β = 1)", ylabel=r"$\log\,\pi - \log\,\pi_\mathrm{ref}$")
        run.set_title("How much each answer to “The sky is” improves")

        where = torch.arange(6)
        bars.bar(where - 0.27, REFERENCE.exp(), 0.26, color="0.75", label="reference")
        for offset, beta, color in [(0.0, 1.0, colors[2]), (0.27, 0.5, colors[1])]:
            policy, _ = train(beta, steps=400)
            theory = (REFERENCE + HIDDEN_REWARD / beta).softmax(-1)
            bars.bar(where + offset, policy.exp(), 0.26, color=color, label=f"learned, β = {beta}")
            label = r"theory: $\pi_\mathrm{ref} \cdot e^{r / \beta}$, normalized" if offset else None
            bars.plot(where + offset, theory, "k_", ms=13, mew=2, label=label)
        bars.set_xticks(where, ANSWERS)
        bars.set(ylabel="probability", title="Comparisons alone lead to the best policy")
        bars.legend()
        return figure

    show(draw)
