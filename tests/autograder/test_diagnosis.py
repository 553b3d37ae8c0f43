"""Which mistakes are named: those that were made, two at once too, and no other."""

import numpy as np
import pytest
import torch

from autograder.diagnosis.diagnose import Diagnosis, Suspect
from autograder.diagnosis.evidence import keyed, signature
from autograder.diagnosis.reach import affected
from autograder.diagnosis.replay import Variant
from autograder.diagnosis.traced import Key
from autograder.grades import Hint
from autograder.isolation.near.remote import RemoteModule, Session

HEAD = "import numpy as np\n"
SOFTMAX = """
def softmax(scores, axis=-1):
    scores = np.asarray(scores) * 1.0
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)
"""
LOG_SOFTMAX = """
def log_softmax(scores, axis=-1):
    scores = np.asarray(scores) * 1.0
    scores = scores - scores.max(axis, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis, keepdims=True))
"""


def named(grade):
    """The ids of the mistakes that a grade names."""
    return [hint.mistake for hint in grade.hints]


def test_two_mistakes_in_two_functions(grade_softmax):
    """Each function has its own."""
    source = HEAD + SOFTMAX.replace("np.exp(", "np.exp2(") + LOG_SOFTMAX.replace("- np.log", "+ np.log")
    assert named(grade_softmax(source)) == ["base-two", "sign-of-the-logarithm"]


def test_two_mistakes_in_one_function(grade_softmax):
    """The one shows in large scores alone, the other where no axis is named."""
    source = SOFTMAX.replace("scores.max(axis, keepdims=True)", "np.maximum(0, scores.max(axis, keepdims=True))")
    source = source.replace("axis=-1", "axis=0")
    assert named(grade_softmax(HEAD + source + LOG_SOFTMAX)) == ["max-with-zero", "first-axis-by-default"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("np.exp(scores - ", "np.exp(1.01 * scores - "),
        ("powers.sum(axis, keepdims=True)", "(powers.sum(axis, keepdims=True) + 1)"),
        ("return powers", "return 0.5 * powers"),
        ("np.exp(", "np.cosh("),
        ("return powers /", "return np.round(powers, 3) /"),
        ("return powers / powers.sum(axis, keepdims=True)", "return np.full(scores.shape, 1 / scores.shape[axis])"),
        ("scores = np.asarray(scores) * 1.0", "scores = np.asarray(scores)[..., ::-1] * 1.0"),
        ("scores = np.asarray(scores) * 1.0", "scores = np.sort(np.asarray(scores) * 1.0)"),
    ],
)
def test_a_mistake_that_is_not_in_the_catalogue(grade_softmax, right, wrong):
    """It costs points, and nothing is named that was not done."""
    assert right in SOFTMAX
    grade = grade_softmax(HEAD + SOFTMAX.replace(right, wrong) + LOG_SOFTMAX)
    assert grade.status == "failed"
    assert named(grade) == []


def test_nothing_is_said_of_what_stands_on_an_unknown_mistake(grade_softmax):
    """A logarithm of a softmax that is wrong in its own way: the catalogue's log-of-softmax is no longer all of it."""
    wrong = SOFTMAX.replace("return powers /", "return 0.9 * powers /")
    source = HEAD + wrong + "\ndef log_softmax(scores, axis=-1):\n    return np.log(softmax(scores, axis) / 0.9)\n"
    assert named(grade_softmax(source)) == []


def test_a_difference_is_described_where_no_mistake_matches(grade_softmax):
    """The constant factor, in a hidden test too."""
    grade = grade_softmax(HEAD + SOFTMAX.replace("return powers", "return 0.5 * powers") + LOG_SOFTMAX)
    told = [test.feedback for test in grade.tests if test.visibility == "hidden" and test.status == "failed"]
    assert any("Every number is a constant times what it should be." in feedback for feedback in told)
    assert np.all(["softmax(" not in feedback for feedback in told])


SCALE = """
import torch
from torch import nn

class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return FACTOR * self.weight * x

    def own(self):
        return Weight(self.weight)

class Weight:
    def __init__(self, weight):
        self.weight = weight

    def times(self, factor):
        with torch.no_grad():
            self.weight.mul_(factor)

def unrelated(x):
    return x + 1
"""


def test_what_is_done_to_a_part_is_done_to_the_whole(worker):
    """A part of an object is changed, and the object gives something else: replays know, whatever they are asked."""
    session = Session(worker, "scale", {"scale": SCALE.replace("FACTOR", "2")})
    module = RemoteModule(session.perform, "scale")
    whole, x = module.Scale(), torch.ones(2)
    first = whole.forward(x)
    whole.own().times(3.0)
    assert torch.equal(whole.forward(x), 3 * first)
    session.end()
    calls = keyed(session.calls)
    before, after = (call for call in calls if call.call.name == "Scale.forward")
    assert before.key != after.key
    assert "Weight" in after.through
    assert "Weight" not in before.through
    alone = dict(Variant("scale", {"scale": SCALE.replace("FACTOR", "5")}).answers(calls, only={after.key}))
    among_all = dict(Variant("scale", {"scale": SCALE.replace("FACTOR", "5")}).answers(calls))
    assert alone[after.key].agrees(among_all[after.key])
    assert alone[after.key].size == 2 * 5 * 3


def test_what_a_change_can_reach():
    """The function that is changed and those that name it; everything, when something outside functions is changed."""
    functions = [f"def {name}:\n    return {what}\n" for name, what in (("low(x)", "x + N"), ("high(x)", "low(x)"))]
    source = "\n".join(["N = 2\n", *functions, "def other(x):\n    return x\n"])
    assert affected(source, source.replace("x + N", "x - N")) == {"low", "high"}
    assert affected(source, source.replace("return low(x)", "return 2 * low(x)")) == {"high"}
    assert affected(source, source.replace("N = 2", "N = 3")) is None


def test_random_numbers_are_a_matter_of_the_call(worker):
    """A call replayed alone draws what it draws among others; with another salt it draws something else."""
    source = "import torch\n\ndef f(x):\n    return x * torch.rand(3)\n"
    session = Session(worker, "draws", {"draws": source})
    module = RemoteModule(session.perform, "draws")
    for number in range(3):
        module.f(torch.full((3,), 1.0 + number))
    session.end()
    calls = keyed(session.calls)
    last = calls[-1].key
    among_all, alone, salted = (
        dict(Variant("draws", {"draws": source}).answers(calls, only=only, salt=salt))[last]
        for only, salt in ((None, 0), ({last}, 0), ({last}, 1))
    )
    assert alone.agrees(among_all)
    assert not salted.agrees(alone)


def test_a_mistake_can_be_taken_for_unknown():
    """Then it is not named, and another only if it explains as much."""
    gave = signature(np.array([2.0, 3.0]), None, ())
    first, second = (Suspect(Hint(name, "Look."), {"call": gave, name: gave}) for name in ("first", "second"))
    diagnosis = Diagnosis({"f": {"call", "first"}}, [first, second], {})
    assert diagnosis.hints() == [first.hint]
    assert diagnosis.hints(without="first") == []
    assert Diagnosis({"f": {"call"}}, [first], {}).hints(without="first") == []


def test_the_place_tells_which_of_two_mistakes_was_made():
    """Two that explain as much silence each other, but for the one at the place; one elsewhere is none."""
    gave = signature(np.array([2.0, 3.0]), None, ())
    steps = [Key("f", name, "value") for name in ("first", "second", "third")]
    suspects = [Suspect(Hint(step.name, "Look."), {"call": gave}, frozenset([step])) for step in steps[:2]]
    diagnosis = Diagnosis({"f": {"call"}}, suspects, {})
    assert diagnosis.hints() == []
    assert diagnosis.hints({steps[0]}) == [suspects[0].hint]
    assert diagnosis.hints({steps[2]}) == []
    alone = Diagnosis({"f": {"call"}}, suspects[:1], {})
    assert alone.hints() == [suspects[0].hint]
    assert alone.hints({steps[2]}) == []
    assert alone.hints({Key("g", "third", "value")}) == [suspects[0].hint]
