"""What nobody but instructors may read: the lines that releases and the site are searched for."""

import re

from autograder.authoring.skeleton import stub
from autograder.diagnosis.catalogue import known_mistakes

SHORT = 12  # characters: shorter lines, such as `return x`, are nobody's secret


def code(text):
    """The lines of code that are long enough to be somebody's secret."""
    lines = {line.replace("# FINISH ME", "").strip() for line in text.splitlines()}
    return {line for line in lines if len(line) >= SHORT and re.search(r"\w", line)}


def answers(course):
    """Every line of code that a student is to find."""
    texts = {name: course.solution(name).read_text(encoding="utf-8") for name in course.names}
    given = set().union(*(code(stub(text)) for text in texts.values()))
    return set().union(*map(code, texts.values())) - given


def secrets(course):
    """The answers, and every line of code of the hidden suites and of the mistakes' patches."""
    hidden = [code(course.suite(name, "hidden").read_text(encoding="utf-8")) for name in course.names]
    patches = [
        code("\n".join(line[1:] for line in mistake.patch.splitlines() if line[:1] in ("-", "+")))
        for name in course.names
        for mistake in known_mistakes(course, name)
    ]
    return answers(course).union(*hidden, *patches)
