"""What a suite is written with: points, comparisons that explain themselves, and strategies.

A suite is an ordinary pytest file, `tests/visible/test_NAME.py` or `tests/hidden/test_NAME.py`. Each test asks for the
submission's module by the exercise's name, as a fixture, and is worth points:

    @points(2, "Large scores do not overflow")
    def test_large_scores_do_not_overflow(softmax):
        \"\"\"exp(1000) is infinite: subtract each slice's largest score first.\"\"\"
        assert_close(softmax.softmax(np.array([0.0, 1000.0, 1000.0])), np.array([0.0, 0.5, 0.5]))

The title is what the student reads in the table; the docstring is what a failure means.
"""

from autograder.suites.compare import (
    Mismatch,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    assert_shape,
)
from autograder.suites.marks import points, rests_on
from autograder.suites.strategies import arrays, seeds, tensors

__all__ = [
    "Mismatch",
    "arrays",
    "assert_close",
    "assert_dtype",
    "assert_equal",
    "assert_raises_value_error",
    "assert_shape",
    "points",
    "rests_on",
    "seeds",
    "tensors",
]
