"""The student's loop in a real terminal, driven by keys and by saving files; and its parts by themselves."""

import json
import shutil
import sys
import threading
import time

import pytest
from course_copy import copy_course
from tmux import HAS_TMUX, terminal

from autograder.authoring.skeleton import stub
from autograder.course import holes, load_course, marked_answers
from autograder.isolation.near.remote import RemoteModule, Session, Stopped
from autograder.isolation.near.worker import Canceled, ForkingWorker, SpawningWorker
from autograder.loop.checker import Checker, CheckJob
from autograder.loop.keys import keys_in
from autograder.loop.state import STATE, Memory, load, save
from autograder.loop.watch import Check, Lesson, Picture, Quit, Warm, Watch
from autograder.submission import Submission, read_submission

NAMES = ["softmax", "attention", "positional_encoding"]
WATCH = f"{sys.executable} -P -m autograder watch"
HANGS = "while True:\n        pass\n    return"
in_terminal = pytest.mark.skipif(not HAS_TMUX, reason="the tests in a terminal need Debian's package tmux")


@pytest.fixture
def small(tmp_path):
    """A course of three exercises, none of them started."""
    return copy_course(tmp_path / "course", NAMES)


@pytest.fixture
def write(small, solution):
    """Saves an exercise: its solution with some changes, or as it was given."""

    def write(name, *changes, text=None):
        text = solution(name) if text is None else text
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        small.stub(name).write_text(text, encoding="utf-8")

    return write


SUM = ("np.sum(exponentials", "np.mean(exponentials")
COLON = ("axis: int = -1) -> np.ndarray:", "axis: int = -1) -> np.ndarray")
HANG = ("    return exponentials", "    while True:\n        pass\n    return exponentials")


@in_terminal
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 60)])
def test_a_session_by_keys(small, write, columns, rows):
    """From the first screen to the third exercise: every key, half a line, a mistake, a hang, and moving on."""
    with terminal(WATCH, small.root, columns, rows) as window:
        window.wait("Softmax (1 of 3)", "Not started: 5 holes.", "on line 49")
        window.keep(f"watch-{columns}-1-not-started")
        write("softmax", COLON)
        window.wait("is not valid Python: expected ':'.", "^")
        assert "Traceback" not in window.keep(f"watch-{columns}-2-half-a-line")
        write("softmax", SUM)
        window.wait("0.270092 instead of 0.0900306", "4 more do not pass yet.", "2 attempts")
        window.keep(f"watch-{columns}-3-a-mistake")
        window.press("h")
        window.wait("Hint 1 of 2 for")
        window.press("h")
        window.wait("Hint 2 of 2 for")
        window.press("t")
        window.wait("Your inputs are left as they were (0 of 1)")
        window.keep(f"watch-{columns}-4-all-tests")
        write("softmax", HANG)
        window.wait("Checking ...")
        write("softmax")  # long before the deadline of a call, and so stops that check
        window.wait("Softmax passes: 4 of 4 points. You have built the function", "Dot-product attention (2 of 3)")
        window.keep(f"watch-{columns}-5-moved-on")
        window.press("l")
        window.wait("1 of 3 exercises, 4 points", "Next: Dot-product attention")
        window.keep(f"watch-{columns}-6-the-course")
        window.press("l")
        write("attention")
        window.wait("Dot-product attention passes", "Positional encoding (3 of 3)")
        window.press("p")
        window.wait("(2 of 3)", "Passed. You have built attention")
        window.press("Right")
        window.wait("Positional encoding (3 of 3)", "Not started")
        window.press("p", "p")
        window.wait("Softmax (1 of 3)", "Passed.")
        window.press("r")
        window.wait("Saved the picture as pictures/softmax.png.")
        window.keep(f"watch-{columns}-7-picture")
        write("positional_encoding")  # the screen follows to where somebody works
        window.wait("All done. You have built it all.", "Positional encoding (3 of 3)")
        window.keep(f"watch-{columns}-8-all-done")
        window.press("q")
        window.wait("[ended: 0]")
    assert (small.root / "pictures" / "softmax.png").is_file()
    known = json.loads((small.root / STATE).read_text())
    assert known["at"] == "positional_encoding"
    assert known["exercises"]["softmax"]["attempts"] == 3  # the check that was stopped never counted
    assert sum(known["exercises"]["softmax"]["hints"].values()) == 2


@in_terminal
def test_it_begins_at_the_first_that_does_not_pass(small, write):
    """Also without its memory, and with one that is damaged. Where everything passes, it says so."""
    write("softmax")
    write("attention", ("FINISH ME", "finished"))
    with terminal(WATCH, small.root) as window:
        window.wait("Positional encoding (3 of 3)")
        window.press("C-c")
        window.wait("[ended: 0]")
    state = small.root / STATE
    assert json.loads(state.read_text())["exercises"]["attention"]["status"] == "passed"
    state.write_text('{"at": 3, "exercises": {"softmax": {"attempts": "many"}, "attention": 1}}')
    write("positional_encoding")
    with terminal(WATCH, small.root) as window:
        window.wait("All done.")
        window.press("q")
        window.wait("[ended: 0]")


@in_terminal
def test_the_window_changes_its_size(small):
    """A narrower window is drawn anew at once, and nothing of it is cut."""
    with terminal(WATCH, small.root, 100) as window:
        window.wait("Not started")
        window.resize(40, 20)
        screen = window.wait_until(lambda text: "q quit" in text, "the keys")
        assert max(map(len, screen.splitlines())) <= 40
        window.press("q")
        window.wait("[ended: 0]")


def in_memory(course, **sources):
    """A session on texts that lie nowhere."""
    stubs = {name: stub(course.solution(name).read_text(encoding="utf-8")) for name in course.names}
    return Watch(course, Memory(), Submission("student", {**stubs, **sources}))


def answer(watch, wishes, grade):
    """Answers the check that was wished for last."""
    check = [wish for wish in wishes if isinstance(wish, Check)][-1]
    return watch.verdict(check.number, grade(check.name))


def graded(status, score=0.0):
    """Grades as a check would give them."""
    from autograder.grades import ExerciseGrade, TestResult

    test = TestResult("one", "One", "visible", "passed" if status == "passed" else "failed", score, 4.0, "")
    return lambda name: ExerciseGrade(name, status, (test,))


def test_an_old_answer_says_nothing(small, solution):
    """After a second save the answer to the first is ignored, whatever it was."""
    watch = in_memory(small)
    watch.begin()
    first = watch.saved(Submission("student", {"softmax": "x = 1\n"}))
    second = watch.saved(Submission("student", {"softmax": "x = 2\n"}))
    assert answer(watch, first, graded("passed", 4.0)) == []
    assert watch.checking
    assert watch.grade is None
    answer(watch, second, graded("failed"))
    assert not watch.checking
    assert watch.grade.status == "failed"
    assert watch.memory.of("softmax").attempts == 1


def test_it_moves_on_only_after_a_save(small):
    """A pass after a save moves on; a look back at what passes does not; an unchanged file is not checked."""
    watch = in_memory(small)
    wishes = answer(watch, watch.begin(), graded("not_started"))
    assert wishes == [Warm("softmax"), Warm("attention")]
    texts = {**watch.submission.sources, "softmax": "done"}
    answer(watch, watch.saved(Submission("student", texts)), graded("passed", 4.0))
    assert watch.at == "attention"
    assert "You have built the function" in watch.news
    assert watch.saved(Submission("student", dict(texts))) == []
    answer(watch, watch.key("p"), graded("passed", 4.0))
    assert watch.at == "softmax"
    assert watch.key("x") == []
    assert watch.key("r") == [Picture("softmax")]
    watch.shown("attention", "too late")
    assert "too late" not in watch.picture
    assert watch.key("o") == [Lesson("softmax")]
    watch.shown("softmax", "pages/lessons/softmax.html is open")
    assert "is open" in watch.picture
    assert watch.key("q") == [Quit()]


def test_a_helper_beside_the_exercises_counts(small):
    """A change in a file that exercises may import is a reason to check; another exercise's is a reason to go there."""
    watch = in_memory(small)
    watch.begin()
    texts = dict(watch.submission.sources)
    (check,) = watch.saved(Submission("student", {**texts, "helper": "x = 1"}))
    assert check.name == "softmax"
    (check,) = watch.saved(Submission("student", {**texts, "helper": "x = 1", "attention": "x = 1"}))
    assert (check.name, watch.at) == ("attention", "attention")
    many = {**texts, "softmax": "x", "positional_encoding": "x"}  # say, a checkout of another branch
    assert watch.saved(Submission("student", {**many, "helper": "x = 1", "attention": "x = 1"})) == []


@pytest.fixture(params=[ForkingWorker, SpawningWorker])
def stoppable(request):
    """Both kinds of worker."""
    worker = request.param()
    worker.prepare(["numpy"])
    yield worker
    worker.close()


def test_a_hanging_call_is_stopped(stoppable):
    """From another thread, long before its deadline; then the worker gives no child until it works again."""
    session = Session(stoppable, "echo", {"echo": "def hang():\n    while True: pass\ndef f(x): return x\n"})
    module = RemoteModule(session.perform, "echo")
    assert module.f(1) == 1
    timer = threading.Timer(0.3, stoppable.stop)
    timer.start()
    with pytest.raises(Stopped):
        module.hang()
    assert session.calls[-1].failure.kind in ("timeout", "crashed")
    assert stoppable.is_stopped()
    with pytest.raises(Canceled):
        module.f(1)
    stoppable.resume()
    again = Session(stoppable, "echo", {"echo": "def f(x): return x\n"})
    assert RemoteModule(again.perform, "echo").f(2) == 2
    again.end()


def test_only_the_newest_text_is_answered(small, solution):
    """Of checks asked for faster than they can be done, the last is answered, and rightly; so is every one after."""
    answers, done = {}, threading.Semaphore(0)

    def note(number, grade):
        answers[number] = grade
        done.release()

    checker = Checker(small, note)
    exercise, right = small.exercise("softmax"), solution("softmax")
    hangs = right.replace(*HANG)
    try:
        for number in range(1, 9):
            text = right if number == 8 else hangs
            checker.check(CheckJob(number, exercise, Submission("student", {"softmax": text})))
            time.sleep(0.05 * number)
        assert done.acquire(timeout=120)
        assert list(answers) == [8]
        assert answers[8].status == "passed"
        wrong = Submission("student", {"softmax": right.replace(*SUM)})
        checker.check(CheckJob(9, exercise, wrong))
        assert done.acquire(timeout=120)
        assert answers[9].status == "failed"
    finally:
        checker.close()


def test_no_state_leaks_between_saves(small):
    """What one text leaves behind in its process is not there for the next."""
    answers, done = [], threading.Semaphore(0)
    checker = Checker(small, lambda number, grade: (answers.append(grade), done.release()))
    leaves = "import numpy as np\nnp.left = 1\ndef softmax(scores, axis=-1): pass\nlog_softmax = softmax\n"
    finds = leaves.replace("np.left = 1", "assert not hasattr(np, 'left')")
    try:
        for number, text in enumerate((leaves, finds)):
            checker.check(CheckJob(number, small.exercise("softmax"), Submission("student", {"softmax": text})))
            assert done.acquire(timeout=120)
    finally:
        checker.close()
    assert [grade.status for grade in answers] == ["failed", "failed"]  # and the second is no "error"


def test_a_solution_marks_as_many_answers_as_its_stub_has_holes(course, solution):
    """So they can be counted without making the stub, which takes longer."""
    for name in course.names:
        assert marked_answers(solution(name)) == len(holes(stub(solution(name)))) > 0


@pytest.mark.parametrize("who_knows", ["the solution", "the release", "nobody"])
def test_a_file_half_filled_is_judged(small, solution, tmp_path, who_knows):
    """A finished function earns its points while other holes are open, if anybody knows how many there were."""
    text, step = solution("softmax"), "# ## Step 2"
    half = text.partition(step)[0] + step + stub(text).partition(step)[2]
    course = small
    if who_knows != "the solution":
        secret = shutil.ignore_patterns("solutions", "mistakes")
        course = load_course(shutil.copytree(small.root, tmp_path / "bare", ignore=secret))
    if who_knows == "the release":
        course.fingerprints("softmax").parent.mkdir()
        course.fingerprints("softmax").write_text('{"right": {}, "mistakes": [], "holes": 5}')
    answers, done = [], threading.Semaphore(0)
    checker = Checker(course, lambda number, grade: (answers.append(grade), done.release()))
    try:
        for number, source in enumerate((stub(text), half)):
            course.stub("softmax").write_text(source)
            job = CheckJob(number, course.exercise("softmax"), Submission("student", {"softmax": source}))
            checker.check(job)
            assert done.acquire(timeout=120)
    finally:
        checker.close()
    first, second = ((grade.status, grade.score > 0, len(grade.holes)) for grade in answers)
    assert first == ("not_started", False, 5)
    assert second == (("not_started", False, 2) if who_knows == "nobody" else ("failed", True, 2))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", '{"at": [], "exercises": {}}', '{"at": "softmax", "exercises": [1]}', "\x00",
        '{"at": "softmax", "exercises": {"softmax": {"attempts": -3, "score": "x"}, "no-such": {}}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_memory_is_forgotten(small, text):
    """Whatever stands in the file, it is read as a memory with what makes sense, and written anew."""
    path = small.root / STATE
    path.parent.mkdir()
    path.write_text(text)
    memory = load(small)
    assert all(standing.attempts >= 0 for standing in memory.exercises.values())
    memory.of("softmax").hints = {"softmax": 2}
    save(small, memory)
    assert load(small).of("softmax").hints == {"softmax": 2}
    assert [path.name for path in path.parent.iterdir()] == ["state.json"]


def test_without_a_place_for_the_memory_all_goes_on(small):
    """A file where the folder should be."""
    (small.root / ".autograder").write_text("")
    memory = load(small)
    save(small, memory)
    assert load(small) == Memory()


def test_arrows_and_letters():
    """What terminals send: arrows in two spellings, other long keys that mean nothing, capitals."""
    assert list(keys_in("nQ\x1b[C\x1bOD\x1b[3~\x1b[1;5Cx")) == ["n", "q", "n", "p", "x"]


def test_a_copy_reads_what_the_grader_reads(small):
    """The session reads files as `grade` does: a broken encoding is a problem of that file alone."""
    small.stub("softmax").write_bytes(b"x = '\xff'\n")
    watch = Watch(small, Memory(), read_submission(small.root / "exercises", small))
    assert watch.begin()[0].name == "softmax"
    assert "not UTF-8" in watch.submission.problems["softmax"]
