"""Text classification, visible: the worked examples, padding on every side, and a class that never occurs.

Rounding: a logit is a sum of up to 5 products, a loss one of 3 quotients and logarithms, of numbers of order 1.
"""

import math

import torch

from autograder.suites import Mismatch, assert_close, assert_dtype, assert_equal, assert_raises_value_error, points

MASK = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]])


def normal(seed, *shape):
    """Reproducible numbers around 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@points(0.75, "The state at the last real token, wherever the padding stands")
def test_last_token(classification):
    """Not the number of real tokens says where the last one is, but the largest position that holds one."""
    hidden = normal(0, 5, 4, 3)
    expected = torch.stack([hidden[row, place] for row, place in enumerate((1, 3, 2, 3, 0))])
    for mask in (MASK, MASK.bool()):
        assert_equal(classification.last_token(hidden, mask), expected)
    assert_equal(classification.last_token(hidden[:3].double(), MASK[:3]), expected[:3].double())
    assert_dtype(classification.last_token(hidden.double(), MASK), torch.float64)
    assert_raises_value_error(classification.last_token, hidden[:2], torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0]]))


@points(0.75, "The classifier: a backbone, the last state, a head")
def test_classifier(classification):
    """W h + b for the last real token's state h, with no softmax; gradients reach the backbone as well."""
    table, weight, bias = normal(1, 9, 5), normal(2, 3, 5), normal(3, 3)
    backbone = classification.library("torch.nn").Embedding(9, 5)
    classifier = classification.TextClassifier(backbone, 5, 3)
    state = {"backbone.weight": table, "head.weight": weight, "head.bias": bias}
    if set(classifier.state_dict()) != set(state):
        raise Mismatch(f"its parameters are {sorted(classifier.state_dict())}", classifier.state_dict(), None)
    classifier.load_state_dict(state)
    ids = torch.tensor([[4, 1, 0, 0], [0, 0, 7, 8], [0, 2, 3, 0]])
    last = [1, 8, 3]
    assert_close(classifier(ids, MASK[:3]).detach(), table[last] @ weight.T + bias, terms=8, scale=4.0)
    parameters = classifier.gradients(ids, MASK[:3]).parameters
    expected = torch.zeros(9, 5)
    expected[last] = weight.sum(dim=0)
    assert_close(parameters.get("backbone.weight"), expected, terms=8, scale=4.0)
    classifier.head.requires_grad_(False)
    classification.freeze_backbone(classifier)
    for name in state:
        learns = classifier.get_parameter(name).requires_grad
        assert learns == name.startswith("head"), f"{name} is {'not ' if learns else ''}frozen"


@points(0.75, "The weighted loss, by the worked example")
def test_loss(classification):
    """A mean in which each text counts with its class's weight, whatever the weights add up to; and no overflow."""
    loss, logits, labels = classification.weighted_cross_entropy, torch.tensor([[2.0, 0.0], [0.0, 0.0]]), [0, 1]
    labels = torch.tensor(labels)
    first, second = math.log1p(math.exp(-2)), math.log(2)
    assert_close(loss(logits, labels), torch.tensor((first + second) / 2), terms=12)
    for weights in ([1.0, 3.0], [2.0, 6.0], [0.25, 0.75]):
        got = loss(logits, labels, torch.tensor(weights))
        assert_close(got, torch.tensor((first + 3 * second) / 4), terms=12)
    three, labels = torch.tensor([[1.0, 0.0, -1e4], [0.0, 1e4, 0.0], [1e4, 0.0, 0.0]]), torch.tensor([0, 1, 1])
    wide = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    expected = (math.log1p(math.exp(-1)) + 2e4) / 5
    got = loss(three, labels, wide)
    assert_dtype(got, torch.float32)
    assert_close(got, torch.tensor(expected), terms=12)
    assert_close(loss.gradients(logits, labels[:2]).args[0].sum(dim=1), torch.zeros(2), terms=12, scale=1.0)


@points(0.25, "Balanced weights, by the worked example")
def test_balanced(classification):
    """N / (K · count) for each class, in float32, and 0 for a class that does not occur."""
    for labels, expected in (([0, 0, 0, 1], [4 / 9, 4 / 3, 0.0]), ([1, 2, 1, 2, 2], [0.0, 5 / 6, 5 / 9])):
        got = classification.balanced_weights(torch.tensor(labels), 3)
        assert_dtype(got, torch.float32)
        assert_close(got, torch.tensor(expected), terms=6)


@points(0.5, "The confusion matrix and macro F1, by the worked example")
def test_worked_example(classification):
    """Rows are labels and columns predictions; macro F1 is the mean of the F1 of all classes."""
    labels, predictions = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 0, 1, 1, 1])
    matrix = classification.confusion_matrix(predictions, labels, 3)
    assert_dtype(matrix, torch.int64)
    assert_equal(matrix, torch.tensor([[2, 1, 0], [0, 1, 0], [0, 1, 0]]))
    got = classification.macro_f1(predictions, labels, 3)
    assert_equal(type(got), float)
    assert_close(got, 1.3 / 3, digits=6)
    # One more class, which nobody has met, and one that is predicted alone: each has 0, and counts.
    assert_close(classification.macro_f1(predictions, labels, 4), 1.3 / 4, digits=6)
    assert_close(classification.macro_f1(predictions[:3], labels[:3], 2), 0.8 / 2, digits=6)
    # The first class has precision 1 and recall 2/3, the second 1/3 and 1: F1 of their means would be another number.
    assert_close(classification.macro_f1(predictions[:4], labels[:4], 2), (0.8 + 2 / 3) / 2, digits=6)
