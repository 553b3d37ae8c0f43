# %% [markdown]
# # Reward models
#
# Reinforcement learning needs a *reward*: a number that says how good an answer is. People are bad at giving such
# numbers (is this poem a 7 or an 8?) and good at comparing (this one is better). So a network learns the numbers from
# comparisons. In InstructGPT (Ouyang et al. 2022) that is the second step of three; the third trains the language model
# to earn as much reward as it can, and needs a leash while it does.
#
# You build both: the loss that makes a reward out of comparisons, and the leash.
#
# **Shapes.** `B` pairs or sequences, `T` tokens. A reward is one number per answer, `[B]`; what a language model is
# trained with is one number per token, `[B, T]`.

# %%
import torch
import torch.nn.functional as F

# %% [markdown]
# ## Step 1: rewards from comparisons
#
# How strong are chess players of whom you only know who beat whom? Zermelo (1929) asked that, and Bradley and Terry
# (1952) asked it about anything that is compared in pairs. The answer: give everyone a strength, such that the
# difference of two strengths says how probably the one beats the other,
#
# $$p(\text{chosen beats rejected}) = \sigma(r_\mathrm{chosen} - r_\mathrm{rejected}),
# \qquad \sigma(z) = \frac{1}{1 + e^{-z}}$$
#
# The network gives each answer its strength *r*, the reward. It is good if it finds the choices that people really made
# probable, so the loss of a pair is minus the logarithm of that probability, and a batch has the mean of its pairs:
#
# $$\mathcal{L} = \mathrm{mean}\left[ -\log \sigma(r_\mathrm{chosen} - r_\mathrm{rejected}) \right]$$
#
# **A worked example.** Two pairs: the chosen answers have the rewards `[2, 0]`, the rejected ones `[1.5, 1]`. The
# margins are `[0.5, -1]`: the first pair is in the right order, the second is not. Their losses are −log σ(0.5) = 0.474
# and −log σ(−1) = 1.313, and the mean is 0.894.
#
# **The catch.** σ(−1000) is 0 as a float, and log 0 is −∞. `F.logsigmoid` takes both in one go, and is right at both
# ends.


# %%
def bradley_terry_loss(chosen_rewards: torch.Tensor, rejected_rewards: torch.Tensor) -> torch.Tensor:
    """The mean of -log sigmoid(chosen - rejected) (Bradley and Terry 1952; Ouyang et al. 2022, equation 1).

    Args:
        chosen_rewards: `[B]`, the rewards of the answers that people preferred.
        rejected_rewards: `[B]`, the rewards of the other answers to the same prompts.

    Returns:
        A scalar in the dtype of the rewards, finite also for large differences; whole numbers are computed as floats.
    """
    # How much better the chosen answers are, [B], in floats.
    margins = ...  # FINISH ME
    # The mean of the pairs' losses.
    return ...  # FINISH ME


# %% [markdown]
# ## Step 2: the leash
#
# A reward model is only right about answers like those it has seen. A language model that hunts for reward finds the
# others: gibberish that the reward model happens to love. So it must pay for every step away from the *reference*, the
# model that it was before (Ziegler et al. 2019). At every token of its answer it pays β times
#
# $$\log \pi(y_t \mid y_{<t}) - \log \pi_\mathrm{ref}(y_t \mid y_{<t})$$
#
# which, on average, is the Kullback–Leibler divergence between the two. A token that the policy likes more than the
# reference does costs something; one that it likes less gives something back. The reward itself is about the whole
# answer, so it is paid out once, with the answer's last token:
#
# $$R_t = -\beta \left( \log \pi(y_t) - \log \pi_\mathrm{ref}(y_t) \right)
# + \begin{cases} r & t \text{ is the last kept token} \\ 0 & \text{otherwise} \end{cases}$$
#
# A mask says which tokens are kept: those of the answer, not the prompt's, and not the padding. All others get 0.
#
# **A worked example.** β = 0.1 and the reward is 1.
#
# | token | `Sky:` | `blue` | `.` | padding |
# | --- | --- | --- | --- | --- |
# | `mask` | False | True | True | False |
# | `policy_logps` | −1.00 | −0.50 | −2.00 | −3.00 |
# | `reference_logps` | −1.50 | −0.75 | −1.00 | −4.00 |
# | difference | | 0.25 | −1.00 | |
# | result | 0 | −0.025 | 0.1 + 1 = 1.1 | 0 |


# %%
def kl_penalized_rewards(
    rewards: torch.Tensor, policy_logps: torch.Tensor, reference_logps: torch.Tensor, mask: torch.Tensor, beta: float
) -> torch.Tensor:
    """R_t = -beta * (policy_t - reference_t) at kept tokens, plus the reward at the last of them (Ouyang et al. 2022).

    Args:
        rewards: `[B]`, one for each sequence.
        policy_logps: `[B, T]`, the log-probability of each token by the model that learns.
        reference_logps: `[B, T]`, by the frozen model.
        mask: `[B, T]`, bool, True for the tokens that are kept: at least one in each sequence, not always side by side.
        beta: the price of moving away from the reference.

    Returns:
        `[B, T]` in the dtype of the log-probabilities, 0 at tokens that are not kept.
    """
    return ...  # FINISH ME: the whole function


# %% [markdown]
# ## What you have built
#
# Left: 12 answers have a hidden quality. A reward model sees only who won 40 noisy comparisons of each pair, and finds
# the quality again, up to a constant: only differences matter. Middle: an answer's rewards, token by token. Right: what
# the leash does to a policy that moves ever further from its reference, towards what the reward model loves. Without a
# price there is no end to it; with β there is a best distance, and a larger β makes it shorter.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def learn_rewards(quality: torch.Tensor, times: int) -> torch.Tensor:
        """Rewards `[N]` that explain the outcome of comparing all pairs of answers many times."""
        a, b = torch.combinations(torch.arange(len(quality))).repeat(times, 1).T
        a_wins = torch.rand(len(a)) < torch.sigmoid(quality[a] - quality[b])
        chosen, rejected = torch.where(a_wins, a, b), torch.where(a_wins, b, a)
        rewards = torch.zeros_like(quality).requires_grad_()
        optimizer = torch.optim.Adam([rewards], lr=0.1)
        for _ in range(150):
            loss = bradley_terry_loss(rewards[chosen], rewards[rejected])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return rewards.detach()

    def draw_learned(axes: plt.Axes) -> None:
        """Hidden quality against learned reward."""
        quality = torch.linspace(-2.5, 2.5, 12)
        axes.axline((0, 0), slope=1, color="0.7", lw=1, zorder=0)
        for times, color in [(2, "#c6dbef"), (40, "#08519c")]:
            rewards = learn_rewards(quality, times)
            axes.plot(quality, rewards - rewards.mean(), "o", color=color, ms=8, label=f"{times} comparisons per pair")
        axes.set(xlabel="hidden quality", ylabel="learned reward", title="Rewards from comparisons")
        axes.legend()

    def draw_tokens(axes: plt.Axes) -> None:
        """The penalized rewards of one answer."""
        words = ["Sky:", "blue", "as", "the", "sea", ".", "pad"]
        mask = torch.tensor([[False, True, True, True, True, True, False]])
        policy = torch.tensor([[-1.0, -0.3, -1.2, -0.4, -0.8, -0.2, -2.0]])
        reference = torch.tensor([[-1.2, -1.1, -2.4, -0.3, -2.6, -0.9, -3.0]])
        where = torch.arange(len(words))
        for beta, color, offset in [(0.1, "#fdae6b", -0.2), (0.3, "#d94801", 0.2)]:
            values = kl_penalized_rewards(torch.ones(1), policy, reference, mask, beta)[0]
            axes.bar(
                where + offset,
                values,
                0.4,
                color=color,
                label=f"β = {beta}: {values.sum():.2f} in all".replace("-", "−"),
            )
        axes.axhline(0, color="black", lw=0.8)
        axes.set_xticks(where, words)
        for label, kept in zip(axes.get_xticklabels(), mask[0], strict=True):
            label.set_color("black" if kept else "0.65")
        axes.set(ylabel="reward of the token", title="Pay at every token, earn at the last")
        axes.legend(loc="upper left")

    def draw_leash(axes: plt.Axes) -> None:
        """The expected penalized reward of policies that are ever further from the reference."""
        generator = torch.Generator().manual_seed(3)
        rewards = torch.randn(200, generator=generator)  # one answer of one token each
        reference = torch.zeros(200).log_softmax(-1)
        pulls = torch.linspace(0, 6, 121)
        everything = torch.ones(200, 1, dtype=torch.bool)
        for beta, color in [(0.0, "0.6"), (0.25, "#a1d99b"), (0.5, "#41ab5d"), (1.0, "#00441b")]:
            earned, distances = [], []
            for pull in pulls:
                policy = (reference + pull * rewards).log_softmax(-1)
                values = kl_penalized_rewards(rewards, policy[:, None], reference[:, None], everything, beta)
                earned.append(policy.exp() @ values.sum(-1))
                distances.append(policy.exp() @ (policy - reference))
            axes.plot(distances, earned, color=color, lw=2, label="no leash" if beta == 0 else f"β = {beta}")
            if beta:
                best = int(torch.stack(earned).argmax())
                axes.plot(distances[best], earned[best], "o", color=color, ms=8)
        axes.set(xlabel="KL divergence from the reference", ylabel="expected reward minus price", ylim=(-1.2, None))
        axes.set_title("A best distance for every β")
        axes.legend(loc="lower left")

    def draw() -> plt.Figure:
        """Learned rewards, one answer's rewards, and what the penalty is good for."""
        torch.manual_seed(1)
        figure, (learned, tokens, leash) = plt.subplots(1, 3, figsize=(15.5, 4.4), layout="constrained")
        draw_learned(learned)
        draw_tokens(tokens)
        draw_leash(leash)
        return figure

    show(draw)
