"""DPO, hidden: sequences against a loop in float64, the loss against NumPy's `logaddexp`, each idea in its own test.

Rounding, in units of half an eps. A token's log-probability takes its logit, the largest one and the logarithm of a
sum of V numbers that are at most 1: fewer than V + 6 roundings of numbers below 2·|logit| + log V. A sequence adds T
of them, and all have the same sign. A margin takes three differences and a product of numbers below the largest
log-probability, the loss changes no faster than the margin, and log(sigmoid) taken in two steps is off by an eps of 1.

Sequences are in float64, so that tolerances lie many digits below any wrong answer. Losses are in float32: there, a
softplus that is a straight line beyond 20, or a sigmoid with something tiny added, costs no test but the extremes.
"""

import math

import numpy as np
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, assert_equal, points, rests_on, seeds

# Sequences, places, words: mostly no two alike, and places enough to see a shift in any direction; and the smallest.
SIZES = st.tuples(st.integers(1, 3), st.integers(4, 7), st.integers(8, 11)) | st.sampled_from([(1, 2, 2), (3, 3, 3)])


def draw(seed, sizes, dtype=torch.float64):
    """Logits, labels and a mask that keeps at least one label after the first in every row."""
    generator = torch.Generator().manual_seed(seed)
    batch, length, vocabulary = sizes
    logits = 3 * torch.randn(sizes, generator=generator, dtype=dtype)
    labels = torch.randint(vocabulary, (batch, length), generator=generator)
    mask = torch.rand((batch, length), generator=generator) < 0.5
    kept = torch.randint(1, length, (batch,), generator=generator)
    mask[torch.arange(batch), kept] = True
    return logits, labels, mask


def expected_log_probs(logits, labels, mask):
    """Label by label, in float64."""
    batch, length = labels.shape
    sums = np.zeros(batch)
    for row in range(batch):
        for place in range(1, length):
            if mask[row, place]:
                log_probs = scipy.special.log_softmax(logits[row, place - 1].double().numpy())
                sums[row] += log_probs[labels[row, place]]
    return torch.from_numpy(sums)


def permutations(batch, vocabulary, seed=0):
    """Rows of labels that hold every word once, so that no two places have the same."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(vocabulary, generator=generator) for _ in range(batch)])


def draw_logps(seed, batch):
    """Four rows of log-probabilities between -4 and 0: policy chosen and rejected, reference chosen and rejected."""
    return -4 * torch.rand((4, batch), generator=torch.Generator().manual_seed(seed))


def expected_losses(logps, beta):
    """The loss of each pair: log(1 + exp(-beta · margin))."""
    policy_chosen, policy_rejected, reference_chosen, reference_rejected = logps.double().numpy()
    margins = (policy_chosen - reference_chosen) - (policy_rejected - reference_rejected)
    return np.logaddexp(0, -beta * margins)


def scalar(number):
    """A tensor without axes."""
    return torch.tensor(float(number))


@points(0.5, "The log-probability of any completion, in batches of any size")
@rests_on("log p(completion) = sum over its tokens t of log p(label_t | labels before t)")
@given(seed=seeds(), sizes=SIZES)
def test_log_prob_values(dpo_loss, seed, sizes):
    """Each kept label adds the log of its probability under the logits one place earlier; each row has its own sum."""
    logits, labels, mask = draw(seed, sizes)
    largest = 2 * float(logits.abs().max()) + math.log(sizes[2])
    result = dpo_loss.sequence_log_probs(logits, labels, mask)
    assert_close(result, expected_log_probs(logits, labels, mask), terms=sizes[1] + sizes[2], scale=largest)


@points(0.5, "Logits predict the next label")
@rests_on("where `logits[:, t]` predict `labels[:, t + 1]`")
@given(score=st.floats(0.5, 4), place=st.integers(2, 6))
def test_shift(dpo_loss, score, place):
    """The logits at a place are made after reading its token: they say what comes next, not the token itself."""
    batch, vocabulary = 3, 9
    labels = permutations(batch, vocabulary)
    scores = torch.tensor([score, score + 1, score + 2], dtype=torch.float64)
    # Each place gives a high logit to the label that follows it, and all other words the logit 0.
    logits = scores[:, None, None] * torch.nn.functional.one_hot(labels.roll(-1, dims=1), vocabulary)
    mask = torch.zeros(batch, vocabulary, dtype=torch.bool)
    mask[:, place] = True
    expected = scores - torch.log(scores.exp() + vocabulary - 1)
    assert_close(dpo_loss.sequence_log_probs(logits, labels, mask), expected, terms=16, scale=12.0)


@points(0.5, "The mask marks labels, not the places that predict them")
@rests_on("marks *labels*, so it moves along with them")
@given(seed=seeds(), place=st.integers(1, 7))
def test_mask_marks_labels(dpo_loss, seed, place):
    """`completion_mask[:, t]` is about `labels[:, t]`. When the labels move by one, the mask must move with them."""
    batch, vocabulary = 2, 8
    labels = permutations(batch, vocabulary, seed)
    # The same logits at every place: only which label counts makes a difference.
    logits = torch.linspace(-2, 3, vocabulary, dtype=torch.float64).expand(batch, vocabulary, vocabulary)
    mask = torch.zeros(batch, vocabulary, dtype=torch.bool)
    mask[:, place] = True
    expected = torch.from_numpy(scipy.special.log_softmax(logits[0, 0].numpy()))[labels[:, place]]
    assert_close(dpo_loss.sequence_log_probs(logits, labels, mask), expected, terms=16, scale=8.0)


@points(0.25, "The first label never counts")
@rests_on("The first label never counts.")
@given(seed=seeds(), sizes=SIZES)
def test_first_label(dpo_loss, seed, sizes):
    """Nothing comes before the first label, so nothing predicts it. It adds nothing, whatever its mask says."""
    logits, labels, mask = draw(seed, sizes)
    marked, unmarked = mask.clone(), mask.clone()
    marked[:, 0], unmarked[:, 0] = True, False
    expected = dpo_loss.sequence_log_probs(logits, labels, unmarked)
    assert_close(dpo_loss.sequence_log_probs(logits, labels, marked), expected, terms=sizes[1], scale=30.0)


@points(0.5, "A sum over exactly the tokens of each completion")
@rests_on("It is a sum, not a mean")
@given(seed=seeds(), vocabulary=st.integers(2, 40))
def test_sum_of_what_counts(dpo_loss, seed, vocabulary):
    """Where all V words are equally probable, n tokens have log-probability -n · log V: no mean, no prompt."""
    rows = [[0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 1, 0], [0, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 0]]
    mask = torch.tensor(rows, dtype=torch.bool)
    labels = torch.randint(vocabulary, (4, 7), generator=torch.Generator().manual_seed(seed))
    logits = torch.full((4, 7, vocabulary), 1.5, dtype=torch.float64)
    expected = -mask.sum(dim=1).double() * math.log(vocabulary)
    assert_close(dpo_loss.sequence_log_probs(logits, labels, mask), expected, terms=7 + vocabulary, scale=4.0)


@points(0.5, "Only what predicts the completion learns")
@rests_on("only the answer's tokens count")
@given(seed=seeds(), sizes=SIZES)
def test_what_learns(dpo_loss, seed, sizes):
    """The gradient is 0 at logits that predict the prompt, padding or nothing at all, and at no others."""
    logits, labels, mask = draw(seed, sizes)
    gradient = dpo_loss.sequence_log_probs.gradients(logits, labels, mask).args[0]
    assert gradient is not None, "no gradient reaches the logits"
    learns = torch.zeros_like(mask)
    learns[:, :-1] = mask[:, 1:]
    assert_equal((gradient != 0).any(dim=-1), learns)


@points(0.25, "Logits of ±10000 do not overflow")
@rests_on("finite for logits up to ±1e4")
def test_large_logits(dpo_loss):
    """exp(10000) is infinite and exp(-10000) is 0, but the logarithm of a softmax is finite: take it by hand."""
    # The same logits at every place; in the last row, small ones.
    logits = torch.tensor([1e4, 0.0, 1e4, -1e4, 1e4]).repeat(4, 6, 1)
    logits[3] = 1
    labels = torch.tensor([[0], [1], [3], [2]]).expand(4, 6)
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[:, 2] = True
    expected = torch.tensor([0, -1e4, -2e4, 0]) - torch.tensor([3.0, 3.0, 3.0, 5.0]).log()
    assert_close(dpo_loss.sequence_log_probs(logits, labels, mask), expected, terms=4)


@points(0.5, "The loss of any batch")
@rests_on("The mean of -log sigmoid(beta * ((policy_c - reference_c) - (policy_r - reference_r)))")
@given(seed=seeds(), batch=st.integers(1, 6), beta=st.sampled_from([0.05, 0.3, 1.0, 1.5]))
def test_loss_values(dpo_loss, seed, batch, beta):
    """The improvement of the chosen minus that of the rejected answer, times beta, through -log sigmoid.

    Answers of hundreds of tokens have log-probabilities far below -100.
    """
    for longer in (1, 60):
        logps = longer * draw_logps(seed, batch)
        loss = dpo_loss.dpo_loss(*logps, beta=beta)
        assert_close(loss, scalar(expected_losses(logps, beta).mean()), terms=6 + batch, scale=20.0 * longer)


@points(0.5, "β multiplies the margin once, and is 0.1 if not given")
@rests_on("beta: float = 0.1")
@given(
    margin=st.floats(-6, 6).filter(lambda margin: abs(margin) > 0.1),
    beta=st.sampled_from([None, 0.01, 0.2, 0.5, 1, 3.0]),
)
def test_beta_scales_margins(dpo_loss, margin, beta):
    """The loss of a pair is log(1 + exp(-beta · margin)): beta is a factor inside the sigmoid, and nowhere else."""
    nothing = torch.zeros(1)
    arguments = {} if beta is None else {"beta": beta}
    loss = dpo_loss.dpo_loss(nothing + margin, nothing, nothing, nothing, **arguments)
    exponent = -(0.1 if beta is None else beta) * margin
    assert_close(loss, scalar(np.logaddexp(0, exponent)), terms=4, scale=1 + abs(exponent))


@points(0.5, "Only the difference from the reference counts")
@rests_on("how much more probable the policy makes an answer than the reference did")
@given(seed=seeds())
def test_reference(dpo_loss, seed):
    """What policy and reference agree on cancels. Where they agree on all, each margin is 0 and the loss is log 2."""
    policy_chosen, policy_rejected = draw_logps(seed, 4)[:2] - 1
    loss = dpo_loss.dpo_loss(policy_chosen, policy_rejected, policy_chosen, policy_rejected, beta=1.0)
    assert_close(loss, scalar(math.log(2)), terms=8, scale=8.0)


@points(0.5, "Every pair has its own loss, and the batch their mean")
@rests_on("a batch has the mean of its pairs")
@given(margins=st.lists(st.floats(1, 8), min_size=1, max_size=4))
def test_mean_of_losses(dpo_loss, margins):
    """The sigmoid comes before the mean: a pair in the right order by far must not hide one in the wrong order."""
    margins = torch.tensor([sign * margin for margin in margins for sign in (1, -1)])
    nothing = torch.zeros_like(margins)
    loss = dpo_loss.dpo_loss(margins, nothing, nothing, nothing, beta=1.0)
    assert_close(loss, scalar(np.logaddexp(0, -margins.double().numpy()).mean()), terms=6 + len(margins), scale=15.0)


@points(0.5, "Learning raises the chosen answer and lowers the rejected one")
@rests_on("Its slope with respect to the margin *m* is")
@given(seed=seeds(), batch=st.integers(2, 5), beta=st.sampled_from([0.1, 0.7, 1.5]))
def test_gradients(dpo_loss, seed, batch, beta):
    """The slope of a loss is -beta · sigmoid(-beta · margin) by the chosen answer; by the rejected, its opposite."""
    logps = draw_logps(seed, batch)
    chosen, rejected = dpo_loss.dpo_loss.gradients(*logps, beta=beta).args[:2]
    assert chosen is not None, "no gradient reaches the chosen answers"
    assert rejected is not None, "no gradient reaches the rejected answers"
    # exp(-loss) is the sigmoid of beta · margin, and 1 minus it the sigmoid of -beta · margin.
    slopes = -beta * np.expm1(-expected_losses(logps, beta)) / batch
    assert_close(chosen, torch.from_numpy(-slopes), terms=16, scale=20 * beta)
    assert_close(rejected, torch.from_numpy(slopes), terms=16, scale=20 * beta)


@points(0.25, "Margins of ±10000 give a finite loss and a finite gradient")
@rests_on("finite and with a finite gradient for any margin up to ±1e4")
def test_extreme_margins(dpo_loss):
    """A pair in the wrong order by far teaches most: its loss is large, its gradient neither 0 nor nan."""
    margins, nothing = torch.tensor([-1e4, 1e4]), torch.zeros(2)
    result = dpo_loss.dpo_loss.gradients(margins, nothing, nothing, nothing, beta=1.0)
    assert_close(result.value, torch.tensor(5e3), terms=4)
    assert result.args[0] is not None, "no gradient reaches the policy"
    assert_close(result.args[0].abs().sum(), torch.tensor(0.5), terms=4)
    assert_close(result.args[1].abs().sum(), torch.tensor(0.5), terms=4)


@points(0.25, "Floats keep their dtype")
@rests_on("in the dtype of `logits`", "A scalar in the dtype of the log-probabilities")
def test_dtypes_are_kept(dpo_loss):
    """The results have the dtype of what came in, for log-probabilities of sequences and for the loss."""
    for dtype in (torch.float16, torch.float32, torch.float64):
        logits, labels, mask = draw(0, (2, 4, 8), dtype)
        assert_dtype(dpo_loss.sequence_log_probs(logits, labels, mask), dtype)
        assert_dtype(dpo_loss.dpo_loss(*draw_logps(0, 3).to(dtype)), dtype)
