# %% [markdown]
# # Evaluation
#
# A loss that falls says that a model learns. It does not say how good it is, nor whether it knows when it is wrong.
# Here you build the measures that papers and leaderboards report, each with its trap.
#
# | question | measure | trap |
# | --- | --- | --- |
# | how surprised is it by a text? | perplexity | depends on the tokenizer: see bits per byte |
# | which of four answers does it choose? | the most probable | long answers are improbable |
# | is the answer right? | exact match, F1 of the words | "The cat." is "cat" |
# | does one of k programs pass? | pass@k | the obvious estimate is wrong on average |
# | does 80 % mean 80 %? | expected calibration error | the edges of the bins |

# %%
import math
import re
import string
from collections import Counter

import torch

# %% [markdown]
# ## Step 1: perplexity
#
# $$\text{perplexity} = \exp\Bigl(-\frac1N \sum \log p(x_{t+1} \mid x_1 \dots x_t)\Bigr)$$
#
# It is the number of equally probable tokens between which the model might as well hesitate. The sum is over the N
# tokens that count: padding, or a prompt, does not, and the first token never does, for nothing predicts it.
#
# **A worked example.** V = 2 and `ids = [[0, 1, 1]]`. The model gives the second token the probability 3/4, and the
# third 1/2. The perplexity is the geometric mean of 4/3 and 2, √(8/3) = 1.633.


# %%
def perplexity(logits: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor | None = None) -> float:
    """The exponential of the mean of -log p(ids[:, t + 1]), where logits[:, t] are the scores.

    Args:
        logits: `[B, T, V]`, in any floating dtype. It is computed in float32 at least: half precision has three digits.
        ids: `[B, T]`, the tokens that the logits came from; the shift by one happens in here.
        mask: `[B, T]`, bool, True for the ids that count; None for all. Whether the first is marked does not matter.

    Raises:
        ValueError: no token counts.
    """
    # Which of the T - 1 predicted tokens count: [B, T - 1].
    counts = torch.ones_like(ids[:, 1:], dtype=torch.bool) if mask is None else mask[:, 1:]  # FINISH ME
    if not counts.any():
        raise ValueError("no token counts: the mask leaves none, or the text has only one")
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))  # [B, T, V]
    # log p of every token that could come next, at the places that predict one: [B, T - 1, V].
    log_p = torch.log_softmax(wide[:, :-1], dim=-1)  # FINISH ME
    # log p of the token that came: [B, T - 1].
    chosen = log_p.gather(-1, ids[:, 1:, None]).squeeze(-1)  # FINISH ME
    return torch.exp(-chosen[counts].mean()).item()


# %% [markdown]
# ## Step 2: bits per byte
#
# A tokenizer with longer tokens has fewer of them in a text, and each is a greater surprise. So perplexities of models
# with different tokenizers cannot be compared. The whole surprise of a text can, divided by something that no tokenizer
# changes: its bytes.
#
# **A worked example.** A text has a −log p of 8.3178 nats in all. A nat is 1 / ln 2 bits, so that is 12 bits. The text
# is "naïve": five characters, but six bytes in UTF-8. That makes 2 bits per byte.


# %%
def bits_per_byte(total_nats: float, text: str) -> float:
    """total_nats / ln 2 / number of bytes.

    Args:
        total_nats: -log p of the whole text, a sum and not a mean.
        text: the text, of which the UTF-8 bytes count.

    Raises:
        ValueError: the text is empty.
    """
    if not text:
        raise ValueError("an empty text has no bytes")
    # Nats to bits, and over the bytes.
    return total_nats / math.log(2) / len(text.encode("utf-8"))  # FINISH ME


# %% [markdown]
# ## Step 3: multiple choice
#
# Each choice is scored by the log-probability of its tokens after the question. Their sum is the log-probability of the
# choice. But every further token can only lower it, so the sum prefers short answers. Per unit of length (tokens, or
# bytes, or characters, as the benchmark says) the long ones have a chance.
#
# **A worked example.** "yes" has the log-probabilities [−1], "it depends on" has [−0.6, −0.6, −0.6]. By the sum, −1
# against −1.8, the choice is number 0; per token, −1 against −0.6, it is number 1.


# %%
def choose(choice_log_probs: list[torch.Tensor], lengths: list[int] | None = None) -> int:
    """The number of the choice with the largest log-probability, in all or per unit of length.

    Args:
        choice_log_probs: for each choice `[L_i]`, the log-probabilities of its tokens.
        lengths: the length of each choice, > 0, in any unit; None for the plain sum.

    Returns:
        The number of the best choice, counted from 0; of several that are equally good, the first.
    """
    # One score for each choice.
    scores = [log_probs.sum().item() for log_probs in choice_log_probs]  # FINISH ME
    if lengths is not None:
        # The same per unit of length.
        scores = [score / length for score, length in zip(scores, lengths, strict=True)]  # FINISH ME
    return max(range(len(scores)), key=scores.__getitem__)


# %% [markdown]
# ## Step 4: is the answer right?
#
# The benchmark SQuAD (Rajpurkar et al. 2016) compares answers after cleaning both, in this order: lower case; all of
# `string.punctuation` out, with nothing in its place; the articles (the regular expression `\b(a|an|the)\b`) become a
# space; all whitespace becomes single spaces, and none is left at the ends.
#
# *Exact match* asks whether the two are then the same. *F1* asks how many words they share, each as often as it stands
# in both:
#
# $$P = \frac{\text{shared}}{\text{words of the prediction}} \qquad
# R = \frac{\text{shared}}{\text{words of the reference}} \qquad F_1 = \frac{2 P R}{P + R}$$
#
# **A worked example.** "The cat sat on a mat!" becomes "cat sat on mat", and "a cat on the mat" becomes "cat on mat".
# They share three words: P = 3/4, R = 1, F1 = 6/7.
#
# Two answers that are empty after cleaning match, with F1 1. If one of them is, F1 is 0.


# %%
def normalize(answer: str) -> str:
    """The cleaned answer: lower case, no punctuation, no articles, single spaces   (Rajpurkar et al. 2016)."""
    # Four steps, in the order of the text.
    # BEGIN SOLUTION
    without_punctuation = answer.lower().translate(str.maketrans("", "", string.punctuation))
    without_articles = re.sub(r"\b(a|an|the)\b", " ", without_punctuation)
    return " ".join(without_articles.split())
    # END SOLUTION


def exact_match(prediction: str, reference: str) -> bool:
    """Whether both are the same once they are cleaned."""
    return normalize(prediction) == normalize(reference)


def token_f1(prediction: str, reference: str) -> float:
    """F1 = 2 P R / (P + R) of the cleaned answers' words, each counted as often as it stands in both.

    Returns:
        From 0.0 to 1.0; 1.0 for two empty answers, 0.0 for one.
    """
    predicted, wanted = normalize(prediction).split(), normalize(reference).split()
    if not predicted and not wanted:
        return 1.0
    # How many words they share: a word that stands twice in one and once in the other is shared once.
    shared = sum((Counter(predicted) & Counter(wanted)).values())  # FINISH ME
    # The formula, which also holds where nothing is shared.
    return 2 * shared / (len(predicted) + len(wanted))  # FINISH ME


# %% [markdown]
# ## Step 5: pass@k
#
# A model writes n programs for a task, and c of them pass the tests. What is the chance that among k programs one
# passes?
#
# The naive answer: one passes with probability c / n, so $1 - (1 - c/n)^k$. It is too small on average. Better: of all
# ways to pick k of the n programs, how many contain none that passes (Chen et al. 2021)?
#
# $$\text{pass@}k = 1 - \binom{n - c}{k} \Big/ \binom{n}{k} = 1 - \prod_{i=n-c+1}^{n} \Bigl(1 - \frac{k}{i}\Bigr)$$
#
# The binomial coefficients of 10,000 programs have thousands of digits, far more than a float holds; the product never
# leaves [0, 1]. If fewer than k fail, every pick contains one that passes; then i = k is among the factors, and it is
# 0.
#
# **A worked example.** n = 5, c = 2, k = 2: of 10 pairs, 3 contain no program that passes. So it is 0.7; the naive
# answer is 0.64.


# %%
def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k)   (Chen et al. 2021, equation 1).

    Args:
        num_samples: n; 10,000 of them are no trouble.
        num_correct: c.
        k: how many are picked.

    Returns:
        A float from 0.0 to 1.0.

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= num_correct <= num_samples and 1 <= k <= num_samples):
        raise ValueError(f"{num_correct} right ones and picks of {k} make no sense among {num_samples} programs")
    # The factors of the product above: the chance that none of the k passes.
    factors = (1 - k / i for i in range(num_samples - num_correct + 1, num_samples + 1))  # FINISH ME
    return 1.0 - math.prod(factors)


# %% [markdown]
# ## Step 6: calibration
#
# A model that says "80 %" should be right in 80 of 100 such cases. To see whether it is, sort its answers into bins of
# equal width by confidence, and compare in each how sure it was with how often it was right (Guo et al. 2017):
#
# $$\text{ECE} = \sum_b \frac{n_b}{N} \, \bigl|\text{accuracy}_b - \text{mean confidence}_b\bigr|$$
#
# Bin b of M goes from (b − 1) / M, which is not in it, to b / M, which is. A confidence of 0 goes into the first bin.
# Empty bins count nothing.
#
# **A worked example.** Four bins; confidences [0.2, 0.5, 0.7, 0.9, 1], of which the second and fourth are right.
# The 0.5 lies on an edge and belongs to the second bin. The gaps are |0 − 0.2|, |1 − 0.5|, |0 − 0.7| for one answer
# each, and |0.5 − 0.95| for two: (0.2 + 0.5 + 0.7 + 2 · 0.45) / 5 = 0.46.


# %%
def expected_calibration_error(confidences: torch.Tensor, correct: torch.Tensor, num_bins: int = 10) -> float:
    """Sum over bins of n_b / N |accuracy_b - mean confidence_b|   (Guo et al. 2017, equation 3).

    Args:
        confidences: `[N]`, from 0 to 1, float32 or float64.
        correct: `[N]`, bool.
        num_bins: M, how many bins of equal width there are.

    Returns:
        From 0.0, where confidence and accuracy agree, to 1.0.
    """
    # Yours to design: into which bin does each answer go, and what does each bin contribute?
    # BEGIN SOLUTION
    bins = (torch.ceil(confidences * num_bins) - 1).clamp(min=0)  # [N]
    gaps = correct.to(confidences.dtype) - confidences  # [N]; a bin's sum of these is n_b (accuracy - confidence)
    return sum(gaps[bins == number].sum().abs().item() for number in range(num_bins)) / len(confidences)
    # END SOLUTION


# %% [markdown]
# ## What you have built
#
# On the left, a model that is too sure of itself: its bars stay below the diagonal. Divided by a temperature of about
# 2, the same model knows what it does not know. In the middle, what two estimates of pass@5 say on average about tasks
# that the model solves with probability p: yours is right, the naive one is not. On the right, how much answers share
# by F1.

# %%
if __name__ == "__main__":
    from itertools import pairwise

    import matplotlib.pyplot as plt

    from autograder.pictures import show

    ANSWERS = ("Paris", "in Paris", "The city of Paris.", "Paris, the capital", "the city of London", "I do not know")

    def draw_calibration(axes: plt.Axes, count: int = 4000) -> None:
        """How often an answer is right, by how sure the model is, at two temperatures."""
        generator = torch.Generator().manual_seed(0)
        logits = 2 * torch.randn(count, 4, generator=generator)
        right = torch.multinomial(torch.softmax(logits / 2, dim=-1), 1, generator=generator)[:, 0]
        axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
        for temperature, color in ((1.0, "#c1443c"), (2.0, "#2a6f97")):
            confidence, answer = torch.softmax(logits / temperature, dim=-1).max(dim=-1)
            correct = answer == right
            edges = torch.linspace(0, 1, 11)
            shown = [(confidence > low) & (confidence <= high) for low, high in pairwise(edges)]
            points = [(confidence[b].mean(), correct[b].float().mean()) for b in shown if b.sum() > 20]
            error = expected_calibration_error(confidence, correct)
            label = f"temperature {temperature:g}: ECE {error:.3f}"
            axes.plot(*zip(*points, strict=True), "o-", color=color, label=label)
        axes.set(xlabel="confidence", ylabel="right", title="Does 80 % mean 80 %?", xlim=(0, 1), ylim=(0, 1))
        axes.legend(frameon=False)

    def draw_passing(axes: plt.Axes, samples: int = 10, k: int = 5) -> None:
        """The mean of two estimates over all outcomes of ten programs, beside the truth."""
        chances = torch.linspace(0, 1, 51).tolist()
        truth, yours, naive = [], [], []
        for p in chances:
            odds = [math.comb(samples, c) * p**c * (1 - p) ** (samples - c) for c in range(samples + 1)]
            truth.append(1 - (1 - p) ** k)
            yours.append(sum(odd * pass_at_k(samples, c, k) for c, odd in enumerate(odds)))
            naive.append(sum(odd * (1 - (1 - c / samples) ** k) for c, odd in enumerate(odds)))
        axes.plot(chances, truth, color="0.7", linewidth=6, label="the truth")
        axes.plot(chances, yours, color="#2a6f97", linewidth=2, label="yours, on average")
        axes.plot(chances, naive, color="#c1443c", linestyle="--", linewidth=2, label="naive, on average")
        axes.set(xlabel="p, the chance of one program", ylabel=f"pass@{k}", title=f"From {samples} programs")
        axes.legend(frameon=False, loc="lower right")

    def draw() -> plt.Figure:
        """Calibration, pass@k, and the words that answers share."""
        figure, (calibration, passing, words) = plt.subplots(1, 3, figsize=(16, 4.8), layout="constrained")
        draw_calibration(calibration)
        draw_passing(passing)
        table = [[token_f1(one, other) for other in ANSWERS] for one in ANSWERS]
        words.imshow(table, cmap="Blues", vmin=0, vmax=1.4)
        for row, scores in enumerate(table):
            for column, score in enumerate(scores):
                words.text(column, row, f"{score:.2f}", ha="center", va="center")
        words.set_yticks(range(len(ANSWERS)), ANSWERS)
        words.set_xticks(range(len(ANSWERS)), ANSWERS, rotation=30, ha="right")
        words.set_title("F1 of every answer with every other")
        for axes in (calibration, passing):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    show(draw)
