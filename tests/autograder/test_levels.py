"""How much a stub leaves open, beginning anew, and what visible suites reach."""

import dataclasses
import sys

import pytest

from autograder.authoring.coverage import Coverage, coverage
from autograder.authoring.skeleton import stub, with_one_hole
from autograder.course import LEVELS, Budget, CourseError, Exercise, counted, load_course, place_of, untouched
from autograder.isolation.near.worker import start_worker
from autograder.loop.hints import current, next_hint, tell, told_so_far
from autograder.loop.reset import fresh_text, reset
from autograder.loop.state import Memory, load, save
from autograder.stubs import is_untouched

SOLUTION = '''\
def first(x: int) -> int:
    """Doc stays."""
    # A hint.
    y = x + 1  # FINISH ME
    return y * 2  # FINISH ME


class Thing:
    """A class stays."""

    def __init__(self) -> None:
        """Makes it."""
        # BEGIN SOLUTION
        self.size = 1
        # END SOLUTION

    def last(self) -> int:
        if self.size:
            return 1
        return self.size  # FINISH ME


def given(x: int) -> int:
    return x
'''


def test_open_functions_are_one_hole_each():
    """Signature and docstring stay; what holds no answer is left as it is."""
    opened = stub(SOLUTION, "open")
    assert opened.count("# FINISH ME: the whole function") == 3
    assert "A hint." not in opened
    assert "Doc stays." in opened
    assert "def given(x: int) -> int:\n    return x\n" in opened
    assert '        """Makes it."""\n        ...  # FINISH ME: the whole function\n' in opened
    assert "    def last(self) -> int:\n        return ...  # FINISH ME: the whole function\n" in opened


def test_fading_opens_the_last_function_alone():
    """All but the last function with an answer are as in the guided stub."""
    fading = stub(SOLUTION, "fading")
    assert fading.count("# FINISH ME: the whole function") == 1
    assert fading.startswith(stub(SOLUTION)[: SOLUTION.index("class Thing") - 10])
    assert "if self.size" not in fading


def test_counts_without_the_library_are_those_of_the_stubs(course):
    """What tells an untouched stub from one that was begun is counted two ways."""
    for name in course.names:
        solution = course.solution(name).read_text(encoding="utf-8")
        assert untouched(solution) == [counted(stub(solution, level)) for level in LEVELS]


def test_an_untouched_stub_is_known_at_every_level(course):
    """Fewer holes than the guided stub has are no beginning, where whole functions are open."""
    for name in ("softmax", "kv_cache"):
        solution = course.solution(name).read_text(encoding="utf-8")
        for level in LEVELS:
            text = stub(solution, level)
            assert is_untouched(course, name, text)
            assert not is_untouched(course, name, text.replace("# FINISH ME", "# filled", 1))
        assert not is_untouched(course, name, solution)


def test_levels_in_the_table_of_contents(course, tmp_path):
    """The first part is guided, later parts fade; the course and each exercise may say otherwise."""
    assert course.exercise("softmax").level == "guided"
    assert course.exercise("kv_cache").level == "fading"
    text = (course.root / "course.toml").read_text(encoding="utf-8")
    (tmp_path / "course.toml").write_text(text.replace("[defaults]", '[defaults]\nlevel = "open"', 1))
    assert {exercise.level for exercise in load_course(tmp_path).exercises} == {"open"}
    (tmp_path / "course.toml").write_text(text.replace('name = "softmax"', 'name = "softmax"\nlevel = "steep"', 1))
    with pytest.raises(CourseError, match="steep"):
        load_course(tmp_path)


@pytest.fixture
def released(course, tmp_path):
    """The folder of a course that has fresh stubs and no solutions, as a release."""
    for level in LEVELS:
        path = dataclasses.replace(course, root=tmp_path).fresh_stub("softmax", level)
        path.parent.mkdir(parents=True)
        path.write_text(stub(course.solution("softmax").read_text(encoding="utf-8"), level), encoding="utf-8")
    (tmp_path / "exercises").mkdir()
    return dataclasses.replace(course, root=tmp_path)


def test_reset_keeps_what_was_there(released):
    """The old text is beside the new one, and an older one stays where it is."""
    path = released.stub("softmax")
    assert "2 holes" in reset(released, "softmax", "open")
    for number, mine in enumerate(("one", "two"), 1):
        path.write_text(mine, encoding="utf-8")
        reset(released, "softmax", "guided")
        kept = path.with_name("softmax.py.old" + ("" if number == 1 else str(number)))
        assert kept.read_text(encoding="utf-8") == mine
    assert path.with_name("softmax.py.old").read_text(encoding="utf-8") == "one"
    assert path.read_text(encoding="utf-8") == fresh_text(released, "softmax", "guided")
    assert len(list(path.parent.iterdir())) == 3  # nothing is kept of what nobody changed
    with pytest.raises(CourseError, match="attention"):
        reset(released, "attention", "open")


def test_hints_for_where_one_is_and_once_more(released):
    """Without a name, the exercise that one is at; what was read can be read again."""
    assert current(released).name == "softmax"
    softmax = released.exercise("softmax")
    assert "no hint" in told_so_far(released, softmax)
    assert "Hint 1 of 2 for softmax" in next_hint(released, softmax)
    assert "ALL=1" in next_hint(released, softmax)
    assert told_so_far(released, softmax).count("Hint ") == 2
    assert "Hint 1 of 2 for log_softmax" in next_hint(released, softmax, "log_softmax")
    path = released.stub("softmax")
    before, function, after = fresh_text(released, "softmax", "guided").partition("def log_softmax")
    path.write_text(before.replace("# FINISH ME", "# done") + function + after, encoding="utf-8")
    assert "Hint 2 of 2 for log_softmax" in next_hint(released, softmax)  # it is where the first hole is now
    memory = load(released)
    memory.of("softmax").status = "passed"
    save(released, memory)
    assert current(released).name == "attention"


def test_where_a_line_is():
    """The function and its classes, by the indentation alone: a text that is half typed has them too."""
    lines = SOLUTION.splitlines()
    place = {place_of(SOLUTION, number): number for number, line in enumerate(lines, 1) if "FINISH ME" in line}
    assert list(place) == ["first", "Thing.last"]
    assert place_of(SOLUTION + "def (:\n", lines.index("        self.size = 1") + 1) == "Thing.__init__"
    assert place_of(SOLUTION, 1) == place_of(SOLUTION, 999) == ""


def test_hints_of_a_function_of_its_class_and_of_another():
    """A class has hints for all that is in it; whose hints are all read hears the last again, and others their next."""
    names = {"title": "", "part": "", "builds_on": (), "minutes": 1, "difficulty": 1, "built": "", "libraries": ()}
    hints = (("Thing", ("a", "b")), ("first", ("c",)))
    exercise, memory = Exercise("x", hints=hints, budget=Budget(), memory_mib=1, **names), Memory()
    assert [tell(memory, exercise, "Thing.last").splitlines()[0][-1] for _ in range(3)] == ["a", "b", "b"]
    assert tell(memory, exercise).endswith("c")
    assert tell(memory, exercise, "nowhere").endswith("c")
    assert memory.of("x").hints == {"Thing": 2, "first": 1}


def test_one_hole_at_a_time():
    """Each text lacks one answer and has all others, with their own lines."""
    holed = with_one_hole(SOLUTION)
    assert [SOLUTION.splitlines()[line - 1].strip() for line in holed] == [
        "y = x + 1  # FINISH ME",
        "return y * 2  # FINISH ME",
        "# BEGIN SOLUTION",
        "return self.size  # FINISH ME",
    ]
    assert all(counted(text)[0] == 1 for text in holed.values())


def test_a_visible_suite_that_sees_nothing_is_reported(course, tmp_path, monkeypatch):
    """Left without its tests but one, a suite misses mistakes and reaches no more than that one's function."""
    copy = dataclasses.replace(course, root=tmp_path)
    for path in (course.solution("softmax"), course.mistakes("softmax"), course.suite("softmax", "visible")):
        target = tmp_path / path.relative_to(course.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    suite = copy.suite("softmax", "visible")
    text = suite.read_text(encoding="utf-8")
    start, following = text.index('@points(0.5, "The worked example'), text.index('@points(0.5, "Every slice')
    suite.write_text(text[:following], encoding="utf-8")
    assert start < following
    (tmp_path / "course.toml").write_bytes((course.root / "course.toml").read_bytes())
    for name in [name for name in sys.modules if name.endswith("test_softmax")]:
        monkeypatch.delitem(sys.modules, name)  # pytest would take the suite that it has imported already
    worker = start_worker()
    try:
        found = coverage(load_course(tmp_path), course.exercise("softmax"), worker)
    finally:
        worker.close()
    assert "only-shifted" in found.missed
    assert len(found.unreached) == 2
    assert len(found.complaints()) == 2
    assert not Coverage(10, ("one",), ()).complaints()
