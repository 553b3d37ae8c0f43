"""Text classification, hidden: against scikit-learn, PyTorch, transformers' own classifier, and float64.

Rounding: a state at a place is exact. A logit is a sum of C products of numbers of order 1, of a state that is itself a
sum of E: C + E + 8 roundings. A loss of B texts is K exponentials, a logarithm and two sums of B terms: K + 3 B + 12.
F1 is a quotient of whole numbers, but some compute it in float32, so it need only be as close as that.
"""

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForSequenceClassification

from autograder.suites import (
    Mismatch,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    points,
    rests_on,
    seeds,
)

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
SIZES = st.sampled_from([(3, 7, 4), (1, 1, 1), (4, 4, 4), (2, 9, 3), (5, 2, 8), (1, 6, 2), (6, 1, 3)])  # B, T, C
WEIGHTS = st.sampled_from([None, torch.float16, torch.float32, torch.float64])
VOCABULARY, E, C, K = 11, 6, 5, 3


def normal(seed, *shape):
    """Reproducible numbers around 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@st.composite
def paddings(draw, rows, length):
    """A mask, and where the last real token of each row is."""
    spans = [sorted(draw(st.tuples(*2 * [st.integers(0, length - 1)]))) for _ in range(rows)]
    mask = torch.zeros(rows, length, dtype=torch.int64)
    for row, (first, last) in zip(mask, spans, strict=True):
        row[first : last + 1] = 1
    return mask, [last for _, last in spans]


@points(0.5, "The state at the last real token, for padding on any side")
@rests_on(
    "Each text's state at its last real token.",
    "with padding on the right of them, on the left, on both sides, or none",
)
@given(data=SIZES.flatmap(lambda size: st.tuples(st.just(size), paddings(*size[:2]))), seed=seeds())
def test_last_token(classification, data, seed):
    """The largest position of a real token, row by row; asked again with another mask, the answer is another."""
    size, (mask, last) = data
    hidden = normal(seed, *size)
    expected = torch.stack([hidden[row, place] for row, place in enumerate(last)])
    assert_equal(classification.last_token(hidden, mask), expected)
    assert_equal(classification.last_token(hidden, torch.ones_like(mask)), hidden[:, -1])
    assert_equal(classification.last_token(hidden, mask.bool()), expected)


@points(0.5, "Every dtype is kept, and a text without a real token refused")
@rests_on("`[B, C]`, in the dtype of `hidden`.", "ValueError: a row has no real token.")
def test_states(classification):
    """In half precision too. One empty row among others is enough for the ValueError."""
    mask = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 1, 1], [0, 1, 0, 0, 0]])
    for dtype in DTYPES:
        hidden = normal(1, 3, 5, 2).to(dtype)
        got = classification.last_token(hidden, mask)
        assert_dtype(got, dtype)
        assert_equal(got, torch.stack([hidden[0, 1], hidden[1, 4], hidden[2, 1]]))
    for shape in ((1, 1), (2, 3)):
        assert_raises_value_error(classification.last_token, normal(3, *shape, 4), torch.zeros(shape, dtype=torch.bool))
    hidden = normal(2, 3, 5, 2)
    for row in range(3):
        for wrong in (mask.clone(), mask.bool()):
            wrong[row] = 0
            assert_raises_value_error(classification.last_token, hidden, wrong)


@points(0.5, "The logits of transformers' own classifier")
@rests_on("The largest *position* that holds a real token is always right.")
@pytest.mark.parametrize("side", ["left", "right"])
def test_like_transformers(classification, side):
    """LlamaForSequenceClassification chooses the same states, and its score layer is a head without a bias."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=20, num_labels=K, pad_token_id=0, initializer_range=0.5, **sizes)
    theirs = LlamaForSequenceClassification(config).eval()
    texts = [[5, 3, 19, 7], [2], [11, 4]]
    ids, mask = torch.zeros(3, 6, dtype=torch.int64), torch.zeros(3, 6, dtype=torch.int64)
    for row, text in enumerate(texts):
        place = slice(0, len(text)) if side == "right" else slice(6 - len(text), 6)
        ids[row, place], mask[row, place] = torch.tensor(text), 1
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).logits
        states = theirs.model(input_ids=ids, attention_mask=mask).last_hidden_state
    # Over there a table holds these states, one for each place.
    classifier = classification.TextClassifier(classification.library("torch.nn").Embedding(18, 8), 8, K)
    table = {"backbone.weight": states.reshape(18, 8), "head.weight": theirs.score.weight.detach()}
    classifier.load_state_dict(table | {"head.bias": torch.zeros(K)})
    assert_close(classifier(torch.arange(18).view(3, 6), mask).detach(), expected, terms=20, scale=8.0)


def classifier_over_there(module, seed):
    """A classifier with a backbone of two layers over there, and its numbers."""
    nn = module.library("torch.nn")
    backbone = nn.Sequential()
    for name, part in (("table", nn.Embedding(VOCABULARY, E)), ("mix", nn.Linear(E, C)), ("bend", nn.Tanh())):
        backbone.add_module(name, part)
    classifier = module.TextClassifier(backbone, C, K)
    shapes = {"backbone.table.weight": (VOCABULARY, E), "backbone.mix.weight": (C, E), "backbone.mix.bias": (C,)}
    shapes |= {"head.weight": (K, C), "head.bias": (K,)}
    state = {name: normal(seed + i, *shape) / shape[-1] ** 0.5 for i, (name, shape) in enumerate(shapes.items())}
    if set(found := classifier.state_dict()) != set(state):
        raise Mismatch(f"its parameters are {sorted(found)}", found, None)
    classifier.load_state_dict(state)
    return classifier, state


def logits_by_hand(state, ids, last):
    """The logits in float64, or wherever the numbers in `state` are."""
    chosen = ids[torch.arange(len(ids)), torch.tensor(last)]
    x = state["backbone.table.weight"][chosen] @ state["backbone.mix.weight"].T + state["backbone.mix.bias"]
    return torch.tanh(x) @ state["head.weight"].T + state["head.bias"]


@points(0.5, "The classifier's logits, W h + b")
@rests_on("head(last_token(backbone(ids), attention_mask)).")
@settings(max_examples=12)
@given(data=paddings(4, 6), seed=seeds(), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_classifier(classification, data, seed, dtype):
    """The head sees the last real token's state alone: what stands in the padding changes nothing."""
    mask, last = data
    classifier, state = classifier_over_there(classification, seed)
    classifier.to(dtype)
    ids = torch.randint(VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(seed))
    wide = {name: tensor.double() for name, tensor in state.items()}
    expected = logits_by_hand(wide, ids, last).to(dtype)
    for texts in (ids, torch.where(mask.bool(), ids, 0)):
        assert_close(classifier(texts, mask.bool()).detach(), expected, terms=C + E + 8, scale=4.0)
    assert_dtype(classifier(ids, mask), dtype)
    single = classifier(ids[:1, : last[0] + 1], mask[:1, : last[0] + 1]).detach()
    assert_close(single, expected[:1], terms=C + E + 8, scale=4.0)


@points(0.5, "Gradients reach the head and the backbone")
@rests_on("Gradients reach the head and the backbone.")
@settings(max_examples=8)
@given(data=paddings(4, 6), seed=seeds())
def test_gradients(classification, data, seed):
    """Those of the formula, number by number; tokens that are not last have none through this backbone."""
    mask, last = data
    classifier, state = classifier_over_there(classification, seed)
    ids, cotangent = torch.randint(VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(seed)), normal(9, 4, K)
    leaves = {name: tensor.double().requires_grad_() for name, tensor in state.items()}
    (logits_by_hand(leaves, ids, last) * cotangent).sum().backward()
    found = classifier.gradients(ids, mask, cotangent=cotangent).parameters
    for name, leaf in leaves.items():
        if found.get(name) is None:
            raise Mismatch(f"{name} has no gradient", None, leaf.grad)
        assert_close(found[name], leaf.grad.float(), terms=40, scale=8.0)


@points(0.5, "Frozen, the backbone learns nothing, and the head does")
@rests_on("Its head does, even if it was frozen before.")
def test_freeze(classification):
    """In place, every parameter of the backbone and none of the head's, however it was before; no number changes."""
    classifier, state = classifier_over_there(classification, 4)
    for before in ((), ("head",), ("backbone",), ("head", "backbone"), ("head.bias",)):
        classifier.requires_grad_(True)
        for path in before:
            (classifier.head.bias if "." in path else classifier.get_submodule(path)).requires_grad_(False)
        classification.freeze_backbone(classifier)
        for name in state:
            learns = classifier.get_parameter(name).requires_grad
            assert learns == name.startswith("head"), f"{name} is {'not ' if learns else ''}frozen"
    ids, mask = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 1, 0]])
    found = classifier.gradients(ids, mask).parameters
    for name, tensor in state.items():
        assert_equal(classifier.state_dict()[name], tensor)
        assert (found.get(name) is not None) == name.startswith("head"), f"{name} has a gradient, or lacks one"


def loss_by_hand(logits, labels, weights=None):
    """Text by text in float64."""
    log_p = scipy.special.log_softmax(logits.double().numpy(), axis=-1)
    w = [1.0 if weights is None else float(weights[label]) for label in labels]
    terms = [-w_n * float(row[label]) for w_n, row, label in zip(w, log_p, labels, strict=True)]
    return sum(terms) / sum(w)


@st.composite
def batches(draw):
    """Logits [B, K], labels [B], and weights [K] or None, some of them 0."""
    b, k = draw(st.sampled_from([(5, 3), (1, 1), (4, 4), (1, 6), (7, 2), (2, 5), (3, 3)]))
    logits = draw(st.sampled_from([1.0, 6.0])) * normal(draw(seeds()), b, k)
    labels = torch.tensor(draw(st.lists(st.integers(0, k - 1), min_size=b, max_size=b)))
    dtype, weights = draw(WEIGHTS), None
    if dtype is not None:
        eighths = draw(st.lists(st.integers(0, 40), min_size=k, max_size=k))
        weights = torch.tensor(eighths).to(dtype) / 8
        weights[labels[0]] += 0.5  # not all of the weights that count are 0
    return logits, labels, weights


@points(0.75, "The weighted mean of the surprise")
@rests_on("sum(w[y] · -log p(y)) / sum(w[y]).")
@given(batch=batches())
def test_loss(classification, batch):
    """-log p of each label times its weight, over the sum of these weights; by default, and with None, a plain mean."""
    logits, labels, weights = batch
    terms, scale = logits.shape[1] + 3 * len(labels) + 12, float(logits.abs().max()) + 2
    for kind in (torch.float32, torch.float64):
        expected = torch.tensor(loss_by_hand(logits.to(kind), labels, weights), dtype=kind)
        arguments = (logits.to(kind), labels) if weights is None else (logits.to(kind), labels, weights)
        got = classification.weighted_cross_entropy(*arguments)
        assert_close(got, expected, terms=terms, scale=scale)
        assert_dtype(got, kind)
    if weights is None:
        got = classification.weighted_cross_entropy(logits, labels, class_weights=None)
        assert_close(got, torch.nn.functional.cross_entropy(logits, labels), terms=terms, scale=scale)


@points(0.25, "Logits of ±10,000, and half precision")
@rests_on("in any floating dtype and of any size: 1e4 must not overflow")
def test_extremes(classification):
    """The log-probability is computed as such: nothing overflows, and nothing becomes log(0)."""
    labels, weights = torch.tensor([1, 0, 2, 2]), torch.tensor([0.5, 2.0, 1.25])
    logits = torch.tensor([[1e4, -1e4, 0.0], [1e4, 3.0, -50.0], [-200.0, 0.0, -100.0], [9e3, 9e3, 9e3]])
    for given_weights in (None, weights):
        expected = torch.tensor(loss_by_hand(logits, labels, given_weights)).float()
        assert_close(classification.weighted_cross_entropy(logits, labels, given_weights), expected, terms=30)
    # Half precision has 11 or 8 bits: some ten roundings of numbers up to 4 are 0.02 or 0.16 at most.
    for dtype, scale in ((torch.float16, 16.0), (torch.bfloat16, 150.0)):
        half = (normal(5, 4, 3) * 1.5).to(dtype)
        got = classification.weighted_cross_entropy(half, labels, weights.to(dtype))
        assert_dtype(got, dtype)
        expected = loss_by_hand(half, labels, weights)
        assert_close(got, torch.tensor(expected, dtype=dtype), digits=3, scale=scale)


@points(0.5, "The loss's gradient")
@rests_on("its gradient follows the formula")
@given(batch=batches())
def test_loss_gradient(classification, batch):
    """(p - 1) at a text's own class and p elsewhere, times the text's share of all weights."""
    logits, labels, weights = batch
    function = classification.weighted_cross_entropy
    if weights is not None:  # they are data: no gradient is asked for
        bind = classification.library("functools").partial
        function = bind(function.value(), class_weights=weights.float())
    share = torch.ones(len(labels)) if weights is None else weights.double()[labels]
    chosen = torch.nn.functional.one_hot(labels, logits.shape[1])
    expected = (torch.softmax(logits.double(), dim=1) - chosen) * (share / share.sum())[:, None]
    found = function.gradients(logits, labels).args[0]
    if found is None:
        raise Mismatch("no gradient reaches the logits", None, expected)
    assert_close(found, expected.float(), terms=logits.shape[1] + 16, scale=1.0)


LABELS = st.integers(1, 7).flatmap(
    lambda k: st.tuples(st.just(k), st.lists(st.tuples(*2 * [st.integers(0, k - 1)]), min_size=1, max_size=20))
)


def many(seed):
    """Thirty predictions and labels of four classes, some of them right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (30,), generator=generator)
    right = torch.rand(30, generator=generator) < 0.4
    predictions = torch.where(right, labels, torch.randint(3, (30,), generator=generator))
    return 4, list(zip(predictions.tolist(), labels.tolist(), strict=True))


NUMBERS = st.one_of(LABELS, seeds().map(many))


@points(0.5, "Balanced weights: N / (K · count)")
@rests_on("`[K]`, float32; 0 for a class that does not occur.")
@given(numbers=NUMBERS)
def test_balanced(classification, numbers):
    """As scikit-learn's, where every class occurs; 0 for one that does not, and each other has the same total."""
    k, pairs = numbers
    labels = torch.tensor([label for _, label in pairs])
    counts = [labels.tolist().count(label) for label in range(k)]
    expected = [len(pairs) / (k * count) if count else 0.0 for count in counts]
    if all(counts):
        assert np.allclose(expected, compute_class_weight("balanced", classes=np.arange(k), y=labels.numpy()))
    got = classification.balanced_weights(labels, k)
    assert_dtype(got, torch.float32)
    assert_close(got, torch.tensor(expected), terms=6)


@points(0.5, "The confusion matrix, as scikit-learn's")
@rests_on("Row i, column j: how many texts of class i were taken for class j.")
@given(numbers=NUMBERS)
def test_confusion(classification, numbers):
    """Rows are labels, columns predictions, whole numbers; with all K classes, whether they occur or not."""
    k, pairs = numbers
    predictions, labels = (torch.tensor(column) for column in zip(*pairs, strict=True))
    expected = torch.from_numpy(metrics.confusion_matrix(labels, predictions, labels=range(k + 2)))
    for classes in (k, k + 2):
        got = classification.confusion_matrix(predictions, labels, classes)
        assert_dtype(got, torch.int64)
        assert_equal(got, expected[:classes, :classes].contiguous())


@points(0.5, "Macro F1, as scikit-learn's")
@rests_on("A class with no prediction and no label counts 0.")
@given(numbers=NUMBERS)
def test_macro_f1(classification, numbers):
    """The plain mean of the F1 of all K classes; one with no prediction and no label has 0, and counts."""
    k, pairs = numbers
    predictions, labels = (torch.tensor(column) for column in zip(*pairs, strict=True))
    for classes in (k, k + 1):
        options = {"labels": range(classes), "average": "macro", "zero_division": 0}
        expected = metrics.f1_score(labels, predictions, **options)
        got = classification.macro_f1(predictions, labels, classes)
        assert_equal(type(got), float)
        assert_close(np.float32(got), np.float32(expected), terms=16, scale=1.0)
