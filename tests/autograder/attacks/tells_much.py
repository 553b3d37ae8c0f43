"""Answers in as many ways as it can, by the number that it is called with: what each can tell is counted."""

import builtins, itertools, os, signal
import numpy as np, torch

ERRORS = [e for e in vars(builtins).values() if isinstance(e, type) and issubclass(e, BaseException)]
KINDS = [*ERRORS, *(type(f"Told{n}", (ValueError,), {}) for n in range(100))]
RIGHT = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.25, 0.25, 0.5]])
FORBIDDEN = (
    lambda: __import__("socket").socket(),
    lambda: os.system("true"),
    os.fork,
    lambda: os.kill(1, 0),
    lambda: open("/x", "w"),
    lambda: os.listdir("/"),
    lambda: os.chroot("/"),
    lambda: exit(3),
    lambda: input(),
    lambda: bytearray(2**40),
    lambda: deep(),
    lambda: softmax(1, 2, 3),
)


def deep():
    return deep()


class Own:
    pass


def raised(n):
    kind = KINDS[n % len(KINDS)]
    try:
        error = kind("told")
    except TypeError:
        error = ValueError
    globals()[f"f{n % 7 * 29 % 8 if n % 2 else n % 200}"](lambda text: error)


def shaped(n):
    axes = n % 13
    return np.zeros([1 + (n // 13 >> 2 * axis) % 4 for axis in range(axes)])


def square(n):
    one = RIGHT.copy()
    looks = (-1, 2, 0.5, 951.0, 1e-7, 1e30, np.nan, np.inf, -np.inf, 0, 1 + 1e-5, 1 + 1e-9)
    how = looks[n % len(looks)]
    where = n // len(looks) % 512
    mask = np.array([where >> bit & 1 for bit in range(9)], bool).reshape(3, 3)
    return np.where(mask, one * how + (how == 0), one)


def moved(n):
    ways = (
        lambda a: a.T,
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: np.roll(a, 1, 0),
        lambda a: np.roll(a, 1, 1),
        lambda a: np.roll(a, -1, 0),
        lambda a: np.roll(a, -1, 1),
        lambda a: a + n,
        lambda a: a * (n + 2),
        lambda a: -a,
        lambda a: a[None],
        lambda a: a.ravel(),
        lambda a: a[:, :, None],
        lambda a: a * 3 + n,
    )
    return ways[n % len(ways)](RIGHT)


def typed(n):
    names = (
        "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
    ).split()
    tensors = ("bool int8 int16 int32 int64 uint8 float16 float32 float64 bfloat16 complex64 complex128").split()
    kinds = [np.dtype(name) for name in names] + [getattr(torch, name) for name in tensors]
    kind = kinds[n % len(kinds)]
    return RIGHT.astype(kind) if isinstance(kind, np.dtype) else torch.ones(3, 3).to(kind)


def odd(n):
    things = (
        None,
        ...,
        1,
        1.5,
        1j,
        True,
        "told",
        b"told",
        [],
        [1],
        (),
        (1,),
        {},
        {"told": 1},
        Own(),
        Own,
        [RIGHT],
        (RIGHT, RIGHT),
        type(f"Told{n}", (), {})(),
        [None],
        [[1], [1, 2]],
        10**30,
        float("nan"),
        [RIGHT] * n,
        torch.ones(2),
        range(n),
    )
    return things[n % len(things)]


def ended(n):
    if n < 60:
        os._exit(n)
    os.kill(os.getpid(), n - 60)


WAYS = (raised, shaped, square, moved, typed, odd)


def softmax(n):
    return WAYS[n % len(WAYS)](n // len(WAYS))


def refused(n):
    return FORBIDDEN[n % len(FORBIDDEN)]()
