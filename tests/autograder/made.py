"""Grades by hand, for tests of reports."""

from autograder.grades import ExerciseGrade, Grade, Hint, TestResult

NASTY = (
    'O\'Neil, Zoë "Z" <script>alert(1)</script>\n::error::x\n  ::add-mask::y ##[error]z'
    " | `#` \x00\x1b[2J\x9b\u202e\ud800"
)


def made(name, *marks, hints=()):
    """A grade by hand: one exercise, a test a mark."""
    tests = (
        TestResult(
            f"t{i}", f"Test {i}", "hidden" if i % 2 else "visible", "passed" if m else "failed", 2.0 * m, 2.0, ""
        )
        for i, m in enumerate(marks)
    )
    status = "passed" if all(marks) else "failed"
    return Grade(name, (ExerciseGrade("softmax", status, tuple(tests), hints=tuple(Hint(h, h) for h in hints)),))


def nasty():
    """A grade whose every text is hostile."""
    test = TestResult("t", NASTY, "visible", "failed", 0.0, 2.0, NASTY)
    return Grade(NASTY, (ExerciseGrade("softmax", "failed", (test,), hints=(Hint("m", NASTY),)),), True, (NASTY,))
