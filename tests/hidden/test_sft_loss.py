"""Supervised fine-tuning, hidden: against PyTorch's `cross_entropy`, with each idea in its own test.

Rounding, in units of half an eps. A token's loss takes its logit, the largest one and the logarithm of a sum of V
numbers that are at most 1: fewer than V + 6 roundings of numbers below 2·|logit| + log V. The mean of N losses, all
positive, adds N more. A gradient is a probability, at most 1, divided by N. Losses are in float64, so that tolerances
lie many digits below any wrong answer; where a submission computes in float32, they are as wide as float32 asks for.
"""

import math

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, assert_equal, points, rests_on, seeds

IDS = st.lists(st.integers(0, 300), min_size=0, max_size=6)
# Sequences, places, words: mostly no two alike, and places enough to see a shift in any direction; and the smallest.
SIZES = st.tuples(st.integers(1, 3), st.integers(4, 7), st.integers(8, 11)) | st.sampled_from([(1, 2, 2), (3, 3, 3)])


def draw(seed, sizes, ignore_index=-100, dtype=torch.float64):
    """Logits, and labels of which about half are ignored, but not all after the first place."""
    generator = torch.Generator().manual_seed(seed)
    batch, length, vocabulary = sizes
    logits = 3 * torch.randn(sizes, generator=generator, dtype=dtype)
    labels = torch.randint(vocabulary, (batch, length), generator=generator)
    labels[torch.rand((batch, length), generator=generator) < 0.5] = ignore_index
    labels[0, 1 + seed % (length - 1)] = (ignore_index + 1) % vocabulary
    return logits, labels


def expected_loss(logits, labels, ignore_index=-100):
    """PyTorch's own cross-entropy, on logits and labels that are moved against each other by one place."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=ignore_index)


def size(logits):
    """The size of the numbers that a loss is made of."""
    return 2 * float(logits.abs().max()) + math.log(logits.shape[-1])


def scalar(number):
    """A float64 tensor without axes."""
    return torch.tensor(float(number), dtype=torch.float64)


def constant_rows(rows):
    """Logits `[B, 6, 8]` that are the same at every place of a sequence: the logit of word 0 as given, the others 0."""
    logits = torch.zeros(len(rows), 6, 8, dtype=torch.float64)
    logits[:, :, 0] = torch.tensor(rows, dtype=torch.float64)[:, None]
    return logits


@points(0.5, "The model reads the prompt, then the completion")
@rests_on("the prompt and then the completion, and the same with every label of the prompt ignored")
@given(prompt=IDS, completion=IDS)
def test_input_ids(sft_loss, prompt, completion):
    """`input_ids` holds every id of the prompt and after them every id of the completion, and nothing else."""
    input_ids, _ = sft_loss.build_labels(prompt, completion)
    assert_equal(input_ids, [*prompt, *completion])


@points(0.5, "A label for every token: the prompt's ignored, the completion's its own ids")
@rests_on("The labels are the ids that the model reads, at the same places.")
@given(prompt=IDS, completion=IDS)
def test_labels(sft_loss, prompt, completion):
    """Each label stands at its token's place. Prompts of any length are ignored, also none at all."""
    _, labels = sft_loss.build_labels(prompt, completion)
    assert_equal(labels, [-100 for _ in prompt] + completion)


@points(0.25, "Labels are ignored by the number that is asked for")
@rests_on("ignore_index: the label of a token that does not count.")
@given(prompt=IDS, completion=IDS, ignore_index=st.sampled_from([-1, 0, 301]))
def test_labels_ignore_index(sft_loss, prompt, completion, ignore_index):
    """`build_labels` writes `ignore_index` where a label does not count, whatever number that is."""
    _, labels = sft_loss.build_labels(prompt, completion, ignore_index=ignore_index)
    assert_equal(labels, [ignore_index for _ in prompt] + completion)


@points(0.75, "The loss of any batch")
@rests_on("The mean of -log p(label_t | tokens before t) over all labels that count")
@given(seed=seeds(), sizes=SIZES)
def test_loss_values(sft_loss, seed, sizes):
    """The mean of -log p over all labels that count, each predicted by the logits one place earlier."""
    logits, labels = draw(seed, sizes)
    expected = expected_loss(logits, labels)
    assert_close(sft_loss.sft_loss(logits, labels), expected, terms=sizes[0] * sizes[1] + sizes[2], scale=size(logits))


@points(0.5, "Logits predict the next label")
@rests_on("where `logits[:, t]` predict `labels[:, t + 1]`")
@given(score=st.floats(0.5, 6), seed=seeds())
def test_shift(sft_loss, score, seed):
    """The logits at a place are made after reading its token: they say what comes next, not the token itself."""
    batch, vocabulary = 2, 9
    generator = torch.Generator().manual_seed(seed)
    labels = torch.stack([torch.randperm(vocabulary, generator=generator) for _ in range(batch)])
    # Each place gives a high logit to the label that follows it, and all other words the logit 0.
    logits = score * F.one_hot(labels.roll(-1, dims=1), vocabulary).double()
    labels[:, 0] = -100
    expected = math.log(math.exp(score) + vocabulary - 1) - score
    assert_close(sft_loss.sft_loss(logits, labels), scalar(expected), terms=24, scale=12.0)


@points(0.5, "What is ignored is not in the number that the sum is divided by")
@rests_on("neither prompts nor padding are in the sum, nor in the number that it is divided by")
@given(seed=seeds(), vocabulary=st.integers(2, 20))
def test_divisor(sft_loss, seed, vocabulary):
    """Where all words are equally probable, every loss is log V, and so is the mean, however many are ignored."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(vocabulary, (3, 6), generator=generator)
    labels[:, 0], labels[0, 2:], labels[1, 3:], labels[2, :2] = -100, -100, -100, -100
    logits = torch.full((3, 6, vocabulary), -0.75, dtype=torch.float64)
    assert_close(sft_loss.sft_loss(logits, labels), scalar(math.log(vocabulary)), terms=24 + vocabulary, scale=4.0)


@points(0.5, "Every token weighs the same, in a short answer and in a long one")
@rests_on("it is one mean for the whole batch: each *token* weighs the same")
@given(scores=st.lists(st.floats(1, 6), min_size=3, max_size=3))
def test_tokens_weigh_the_same(sft_loss, scores):
    """There is one mean for all tokens of the batch. A mean of the sequences' means favors short answers."""
    logits = constant_rows([scores[0], -scores[1], 2 + scores[2]])
    labels = torch.full((3, 6), -100)
    labels[0, 2:3], labels[1, 1:5], labels[2, 2:4] = 0, 0, 0
    each = torch.logsumexp(logits[:, 0], dim=-1) - logits[:, 0, 0]
    assert_close(sft_loss.sft_loss(logits, labels), (each * torch.tensor([1, 4, 2])).sum() / 7, terms=24, scale=20.0)


@points(0.5, "Only what predicts a label that counts learns")
@rests_on("only the tokens of the answer count")
@given(seed=seeds(), sizes=SIZES)
def test_what_learns(sft_loss, seed, sizes):
    """The gradient is 0 at logits that predict the prompt, padding or nothing at all, and at no others."""
    logits, labels = draw(seed, sizes)
    gradient = sft_loss.sft_loss.gradients(logits, labels).args[0]
    assert gradient is not None, "no gradient reaches the logits"
    learns = torch.zeros(labels.shape, dtype=torch.bool)
    learns[:, :-1] = labels[:, 1:] != -100
    assert_equal((gradient != 0).any(dim=-1), learns)


@points(0.5, "The loss ignores the number that it is asked to ignore")
@rests_on("It may be the id of a word, say of one that fills up sequences.")
@given(seed=seeds(), sizes=SIZES, ignore_index=st.sampled_from([-1, 0, 5, 50]))
def test_loss_ignore_index(sft_loss, seed, sizes, ignore_index):
    """`ignore_index` may be any number, also a word's id: then that word's labels do not count, and all others do."""
    logits, labels = draw(seed, sizes, ignore_index)
    loss = sft_loss.sft_loss(logits, labels, ignore_index=ignore_index)
    expected = expected_loss(logits, labels, ignore_index)
    assert_close(loss, expected, terms=sizes[0] * sizes[1] + sizes[2], scale=size(logits))


@points(0.25, "The first label never counts")
@rests_on("nothing predicts the first label")
@given(seed=seeds(), sizes=SIZES)
def test_first_label(sft_loss, seed, sizes):
    """Nothing comes before the first label, so nothing predicts it. Whether it is ignored or not changes nothing."""
    logits, labels = draw(seed, sizes)
    marked, ignored = labels.clone(), labels.clone()
    marked[:, 0], ignored[:, 0] = 3, -100
    expected = sft_loss.sft_loss(logits, ignored)
    assert_close(sft_loss.sft_loss(logits, marked), expected, terms=24, scale=30.0)


@points(0.5, "The gradient is probability minus truth, shared among the tokens")
@rests_on("The mean of -log p(label_t | tokens before t) over all labels that count")
@given(seed=seeds())
def test_gradient(sft_loss, seed):
    """The loss falls when the right word's logit rises and the others fall; and no place pulls harder than another."""
    logits, labels = draw(seed, (2, 5, 9), dtype=torch.float32)
    gradient = sft_loss.sft_loss.gradients(logits, labels).args[0]
    assert gradient is not None, "no gradient reaches the logits"
    leaf = logits.clone().requires_grad_()
    expected_loss(leaf, labels).backward()
    assert_close(gradient, leaf.grad, terms=24, scale=4.0)


@points(0.25, "Logits of ±10000 do not overflow")
@rests_on("finite for logits up to ±1e4")
def test_large_logits(sft_loss):
    """exp(10000) is infinite and exp(-10000) is 0, but the logarithm of a softmax is finite: take it by hand."""
    logits = torch.tensor([1e4, 0.0, 1e4, -1e4, 1e4]).expand(2, 6, 5)
    for label, distance in ((2, 0.0), (1, 1e4), (3, 2e4)):
        labels = torch.tensor([[-100, label, label, label, -100, -100], [-100, -100, label, label, -100, -100]])
        result = sft_loss.sft_loss.gradients(logits, labels)
        assert_close(result.value, torch.tensor(distance + math.log(3)), terms=8, scale=2e4)
        assert result.args[0] is not None, "no gradient reaches the logits"
        assert_equal(result.args[0].isfinite().all().item(), True)


@points(0.5, "Floats keep their dtype")
@rests_on("A scalar in the dtype of `logits`")
def test_dtypes_are_kept(sft_loss):
    """The loss has the dtype of the logits, and is one number without axes."""
    for dtype in (torch.float16, torch.float32, torch.float64):
        logits, labels = draw(0, (2, 4, 8), dtype=dtype)
        assert_dtype(sft_loss.sft_loss(logits, labels), dtype)
