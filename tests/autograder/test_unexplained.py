"""Wrong answers without a name become groups, a group becomes a known mistake, and regrading names it for all."""

import json
import re

import pytest
from course_copy import copy_course

from autograder.authoring.unexplained import draft, find_groups
from autograder.cli import main
from autograder.course import CourseError, load_course
from autograder.diagnosis.catalogue import UNWRITTEN, known_mistakes


def test_from_a_group_to_a_name(tmp_path, monkeypatch, capsys):
    """Two write one strange softmax in two ways, a third another: two groups; the first is drafted and then named."""
    course = copy_course(tmp_path / "course", ["softmax"])
    monkeypatch.chdir(course.root)
    right = course.solution("softmax").read_text(encoding="utf-8")
    strange = "\n\ndef softmax(scores, axis=-1):\n    {}\n"
    texts = {
        "ada": "return np.sin(np.asarray(scores)) + 0.123",
        "bob": "waves = np.sin(np.asarray(scores))  # by Bob\n    return 0.123 + waves",
        "cy": "return np.cos(np.asarray(scores)) * 0.77",
    }
    for name, body in texts.items():
        (tmp_path / name).mkdir()
        whole = re.sub(r"\ndef softmax\(.*?(?=\n\n\n|\n# %%)", strange.format(body), right, count=1, flags=re.DOTALL)
        (tmp_path / name / "softmax.py").write_text(whole, encoding="utf-8")
    results = tmp_path / "r"
    command = ["grade", *(str(tmp_path / name) for name in texts), "--out", str(results), "--processes", "2"]
    assert main(command) == 0
    groups = find_groups(course, results)
    assert [group.submissions for group in groups] == [("ada", "bob"), ("cy",)]
    assert groups[0].functions[0] == "softmax"
    assert main(["report", str(results), "--report", f"class={tmp_path}/c.html"]) == 0
    assert groups[0].id in (tmp_path / "c.html").read_text(encoding="utf-8")
    path, name, same = draft(course, results, groups[0].id)
    assert same
    assert "Bob" not in path.read_text(encoding="utf-8")
    (mistake,) = (m for m in known_mistakes(load_course(course.root), "softmax") if m.id == name)
    assert mistake.hint.startswith(UNWRITTEN)
    with pytest.raises(CourseError, match="already"):
        draft(course, results, groups[0].id)
    with pytest.raises(CourseError, match="There are: softmax-"):
        draft(course, results, "softmax-none")
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(rf'hint = "{UNWRITTEN}[^"]*"', 'hint = "A sine is no exponential."', text), encoding="utf-8")
    assert main(command) == 0
    named = {n: json.loads((results / f"{n}.json").read_text())["exercises"][0]["hints"] for n in texts}
    assert (
        [hint["text"] for hint in named["ada"]]
        == [hint["text"] for hint in named["bob"]]
        == ["A sine is no exponential."]
    )
    assert named["cy"] == []
    capsys.readouterr()
    assert main(["mistakes", str(results)]) == 0
    assert "1 group" in capsys.readouterr().out
