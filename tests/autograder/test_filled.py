"""Answers of other styles in an open stub."""

import ast

from autograder.authoring.filled import filled
from autograder.authoring.skeleton import stub
from autograder.course import holes

STUB = '''\
import math


def given(x):
    return x


def twice(x):
    """Doc."""
    return ...  # FINISH ME: the whole function


class Thing:
    def __init__(self):
        self.size = 1

    def last(self):
        return ...  # FINISH ME: the whole function
'''
ANSWER = """\
import torch as t

FACTOR = 2


def helper(x):
    return FACTOR * given(x)


class Thing:
    def __init__(self):
        self.length = 7

    def last(self):
        return self.length


@t.no_grad()
def twice(x):
    return helper(x)
"""


def test_what_has_a_hole_is_the_answers_and_the_rest_stays():
    """Classes as a whole, decorators with their functions, and helpers before the first that may need them."""
    text = filled(STUB, ANSWER)
    assert not holes(text)
    names = [getattr(node, "name", type(node).__name__) for node in ast.parse(text).body]
    assert names == ["Import", "given", "Import", "Assign", "helper", "twice", "Thing"]
    space = {}
    exec(text, space)
    assert (space["twice"](4), space["Thing"]().last(), space["given"](3)) == (8, 7, 3)
    assert len(holes(filled(STUB, ANSWER.replace("class Thing", "class Other")))) == 1  # who does without it


def test_every_answer_fills_its_open_stub(course):
    """No more than a helper that the answer does without is left; whether it is right is for `verify` to find out."""
    for name in course.names:
        opened = stub(course.solution(name).read_text(encoding="utf-8"), "open")
        for path in course.answers(name):
            text = filled(opened, path.read_text(encoding="utf-8"))
            assert len(holes(text)) < len(holes(opened)), path
            ast.parse(text)
