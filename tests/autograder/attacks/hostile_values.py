"""Answers calls with values that are hard to compare, explain, replay and show; which ones, a seed says."""

import random

import numpy as np
import torch

SEED = 0
draw = random.Random(SEED)


class Own:
    """A class that only this file knows."""

    shape, dtype = (3,), "float64"

    def __repr__(self):
        return "\x1b[31m::error::" * 1000


def value(depth=0):
    """One of them; now and then many in one."""
    plain = [
        lambda: None,
        lambda: -(2**63),
        lambda: 10**200,
        lambda: float("nan"),
        lambda: complex(1, float("inf")),
        lambda: "a" * 100_000,
        lambda: "\ud800\x1b[2J\n::error::x\n##[error]\u202e\u2028\x0c",
        lambda: b"\0" * 5000,
        lambda: ...,
        lambda: np.zeros((0, 2**20)),
        lambda: np.zeros((1,) * 16, np.int8),
        lambda: np.zeros((4,) * 9 + (3,), np.int8),
        lambda: np.full((3, 3), np.inf),
        lambda: np.zeros((2, 0, 3), bool),
        lambda: torch.zeros(2, 3, requires_grad=True),
        lambda: torch.zeros(0, 2**20, dtype=torch.bool),
        lambda: torch.tensor(1.0).bfloat16(),
        lambda: torch.ones(3, dtype=torch.complex64),
        lambda: np.float32,
        lambda: Own(),
        lambda: type("\x1b[31mTold\n::error::", (), {})(),
        lambda: ["a" * 100_000] + [""] * 10_000,
        lambda: [np.zeros(1000, np.float16)] * 300,
        lambda: {f"{n}\n": [n] for n in range(3000)},
    ]
    if depth < 3 and draw.random() < 0.4:
        items = [value(depth + 1) for _ in range(draw.choice([0, 1, 2, 3 if depth else 50]))]
        return draw.choice([items, tuple(items), {str(i): item for i, item in enumerate(items)}])
    return draw.choice(plain)()


def answer(*arguments, **more):
    """A value, an error, a printed page or an argument changed in place."""
    way = draw.random()
    if way < 0.1:
        raise draw.choice([ValueError, StopIteration, type("\x1b[2J::error::", (Exception,), {})])(
            "\x1b[2J\n::x" * 3000
        )
    if way < 0.15:
        raise SyntaxError(
            "\x1b", ("softmax.py", draw.choice([1, 10**9]), draw.choice([-(10**90), 10**90]), "\x0c" * 300)
        )
    if way < 0.2:
        print("\x1b[31m" * 1000)
    if way < 0.25 and arguments and isinstance(arguments[0], np.ndarray) and arguments[0].size:
        arguments[0].flat[0] = 7
    if way > 0.9 and arguments and isinstance(arguments[0], np.ndarray):
        return arguments[0] * draw.choice([2, -1, 1e300, np.nan])
    return value()


softmax = log_softmax = causal_mask = dot_product_attention = scaled_dot_product_attention = answer
