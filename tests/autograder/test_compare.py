"""Another right answer beside one's own, and looking back on a part."""

import pytest
from course_copy import ROOT, copy_course

from autograder.authoring.answers import described, given, other_answer
from autograder.course import CourseError, load_course
from autograder.diagnosis.fingerprints import dump
from autograder.diagnosis.grounds import grounds
from autograder.grades import ExerciseGrade, Hint
from autograder.loop.compare import Answer, advantages, code, compare
from autograder.loop.recap import hard, paragraph, part_of, recap
from autograder.loop.state import load, save, text_digest
from autograder.reports.console import open_console
from autograder.submission import read_submission

TEXT = '''\
# %% [markdown]
# A lesson.
"""A module."""

import math


def f(x):
    """Doc.

    More.
    """
    # A thought.
    return [math.sqrt(y) for y in x]


if __name__ == "__main__":
    draw()
'''


@pytest.fixture
def small(tmp_path):
    """Softmax alone, with a student's own right answer that is known to pass."""
    course = copy_course(tmp_path / "course", ["softmax"])
    course.stub("softmax").write_text(course.solution("softmax").read_text(encoding="utf-8"), encoding="utf-8")
    return course


def passing(course, **more):
    """Remembers that the student's softmax passes."""
    memory = load(course)
    digest = text_digest(read_submission(course.exercises_folder, course), "softmax")
    memory.record(ExerciseGrade("softmax", "passed", (), **more), digest)
    save(course, memory)


def test_what_is_shown_is_code():
    """No lesson, no docstring and no picture, but the comments within functions."""
    shown = "import math\n\n\ndef f(x):\n    # A thought.\n    return [math.sqrt(y) for y in x]\n"
    assert code(TEXT).replace("\n\n\n", "\n\n") == shown.replace("\n\n\n", "\n\n")


def test_what_can_be_counted():
    """Fewer lines, no loops, less time; nothing is said of what is about the same."""
    short, long = Answer("", "x = 1\n", 0.1), Answer("", "for i in y:\n    x = i\n", 0.3)
    assert advantages(short, long, "yours") == [
        "1 line of code, where yours has 2.",
        "no loops of Python's own, where yours has 1: with large arrays that decides.",
        "the visible tests' calls took 0.1 s, and 0.3 s with yours.",
    ]
    assert advantages(long, short, "yours") == advantages(short, short, "yours") == []


def test_compare_waits_until_it_passes_and_there_is_an_answer(small, capsys):
    """First one's own, then the instructor's word, then both, with what each does better."""
    softmax, console = small.exercise("softmax"), open_console(plain=True)
    with pytest.raises(CourseError, match="does not pass yet"):
        compare(small, softmax, console)
    passing(small)
    with pytest.raises(CourseError, match="instructor decides"):
        compare(small, softmax, console)
    ((path, text),) = given(load_course(ROOT), ["softmax"]).items()
    (small.root / path).parent.mkdir()
    (small.root / path).write_text(text, encoding="utf-8")
    compare(small, softmax, console)
    said = capsys.readouterr().out
    assert "logsumexp(scores, axis=axis, keepdims=True)" in said
    assert "exponentials / np.sum(exponentials" in said
    assert said.rstrip().endswith(f"The other: {described(text)[1]}")


def test_every_exercise_has_an_answer_to_compare_with(course):
    """`verify` says so too; here it is asked of all at once."""
    for name in course.names:
        assert described(other_answer(course, name).read_text(encoding="utf-8"))[0]


def test_a_recap_names_the_mistakes_and_where_the_lesson_answers_them(small):
    """What was named is remembered also when it is mended, and found again in the text of the lesson."""
    with pytest.raises(CourseError, match="no part 'Algebra'"):
        part_of(small, "Algebra")
    assert part_of(small, "found") == part_of(small, "") == "Foundations"
    assert "Still to do: Softmax." in recap(small, "Foundations")
    passing(small, hints=(Hint("no-max-subtraction", "exp() overflows."), Hint("unknown", "Something else.")))
    said = recap(small, "Foundations")
    assert "Softmax: 1 attempt, 2 known mistakes, passed." in said
    assert "You made this mistake: exp() overflows.\n  The lesson says: " in said
    assert "Something else.\n  The lesson" not in said
    assert hard(small, load(small)) == []
    memory = load(small)
    memory.of("softmax").hints["softmax"] = 2
    assert hard(small, memory) == ["Softmax (1 attempt, 2 known mistakes, 2 hints)"]


def test_a_paragraph_is_a_block_of_text_or_an_entry_of_a_docstring():
    """Comment marks and line ends are not in the way; what stands nowhere is given as it is."""
    text = (
        '# One\n# idea.\n#\n# Another.\n\ndef f():\n    """Doc.\n\n    Args:\n'
        '        x: a number,\n            of any\n            size.\n        y: b.\n    """\n'
    )
    assert paragraph(text, "idea.") == "One idea."
    assert paragraph(text, "any size") == "x: a number, of any size."
    assert paragraph(text, "nowhere at all") == "nowhere at all"


def test_a_release_knows_the_grounds_without_the_hidden_tests(small):
    """They come along with the fingerprints; a damaged file costs the paragraphs alone."""
    known = grounds(load_course(ROOT), "softmax")
    assert len(known) > 20
    small.suite("softmax", "hidden").unlink()
    assert grounds(small, "softmax") == {}
    path = small.fingerprints("softmax")
    path.parent.mkdir(parents=True)
    path.write_text(dump({"grounds": known}), encoding="utf-8")
    assert grounds(small, "softmax") == known
