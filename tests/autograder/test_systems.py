"""Learning-management systems: what goes in comes out, and their files change in one column alone."""

import csv
import io
import zipfile

import pytest

from autograder.cli import main
from autograder.course import CourseError
from autograder.reports.fill import nbgraders
from autograder.term.exports import collect
from autograder.term.gradefile import fill
from autograder.term.handins import read_handed_in
from autograder.term.roster import Person, Roster, read_roster

CODE = "def softmax(scores, axis=-1):\n    return scores\n"


def packed(path, files):
    """A zip of these files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def roster(tmp_path):
    """Three people as Canvas knows them, and one without work."""
    (tmp_path / "roster.csv").write_text(
        'id,name,email,group,username,identifier\n101,"O\'Neil, Zoë",z@x.org,,zoe50,Participant 4711\n'
        "102,Ada Lovelace,ada@x.org,,ada-l,Participant 4712\n103,=Cy,cy@x.org,,cy,Participant 4713\n"
        "104,Idle,i@x.org,,,\n",
        encoding="utf-8",
    )
    return read_roster(tmp_path / "roster.csv")


EXPORTS = {
    "moodle": {
        "Zoë O'Neil_4711_assignsubmission_file_/submission.zip": b"PK",
        "Zoë O'Neil_4711_assignsubmission_file_/sub/helper.py": CODE,
        "Ada Lovelace_4712_assignsubmission_file_/softmax.py": CODE,
        "=Cy_4713_assignsubmission_onlinetext_/onlinetext.html": "x",
        "Stranger_99_assignsubmission_file_/softmax.py": CODE,
    },
    "moodle flat": {
        "Zoë O'Neil_4711_assignsubmission_file_softmax.py": CODE,
        "Zoë O'Neil_4711_assignsubmission_file_attention.py": CODE,
        "Ada Lovelace_4712_assignsubmission_file_softmax.py": CODE,
        "=Cy_4713_assignsubmission_file_softmax.py": CODE,
        "Stranger_99_assignsubmission_file_softmax.py": CODE,
    },
    "canvas": {
        "oneilzoe_LATE_101_5501_softmax-1.py": CODE,
        "oneilzoe_LATE_101_5502_attention.py": CODE,
        "lovelaceada_102_5503_softmax.py": CODE,
        "cy_103_5504_softmax-2.py": CODE,
        "stranger_999_5505_softmax.py": CODE,
    },
    "gradescope": {
        "assignment_1_export/submission_1/softmax.py": CODE,
        "assignment_1_export/submission_2/softmax.py": CODE,
        "assignment_1_export/submission_3/softmax.py": CODE,
        "assignment_1_export/submission_metadata.yml": (
            "submission_1:\n  :submitters:\n  - :name: Zoë\n    :sid: '101'\n    :email: z@x.org\n"
            "  - :name: Ada\n    :sid: '102'\n    :email: ada@x.org\n  :created_at: 2027-01-30 10:00:00.5 Z\n"
            "submission_2:\n  :submitters:\n  - :name: =Cy\n    :sid:\n    :email: cy@x.org\n"
            "submission_3:\n  :submitters:\n  - :name: Stranger\n    :sid: '9'\n    :email: s@x.org\n"
        ),
    },
    "classroom50": {
        "llm-week1-zoe50/exercises/softmax.py": CODE,
        "llm-week1-ada-l/exercises/softmax.py": CODE,
        "llm-week1-cy/exercises/softmax.py": CODE,
        "llm-week1-stranger/exercises/softmax.py": CODE,
        "__MACOSX/x": "",
    },
}


@pytest.mark.parametrize("system", EXPORTS)
@pytest.mark.parametrize("unpacked", [False, True])
def test_every_file_of_a_download_comes_out(tmp_path, roster, system, unpacked):
    """Files in = files out + files left out; every submission is somebody's or nobody's; everybody is named once."""
    export = packed(tmp_path / "export.zip", EXPORTS[system])
    if unpacked:
        with zipfile.ZipFile(export) as archive:
            archive.extractall(tmp_path / "unpacked")
        export = tmp_path / "unpacked"
    summary = collect(export, tmp_path / "out", roster)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "handed-in.csv"]
    assert summary.found == len(EXPORTS[system]) == len(written) + len(summary.left_out)
    handed_in = read_handed_in(tmp_path / "out" / "handed-in.csv", [one.name for one in summary.submissions])
    assert len(handed_in) == len(summary.submissions)
    owners = [person for one in handed_in.values() for name in one.students if (person := roster.find(name))]
    assert sorted(person.id for person in owners) == ["101", "102", "103"]
    assert len(summary.unmatched) == 1
    assert summary.idle == ["Idle"]
    if system == "canvas":
        (late,) = (one for one in summary.submissions if one.late)
        assert set(late.files) == {"softmax.py", "attention.py"}
    if system == "gradescope":
        assert {len(one.students) for one in handed_in.values()} == {1, 2}
        assert next(one for one in handed_in.values() if len(one.students) == 2).time.hour == 10


def test_collecting_overwrites_nothing(tmp_path):
    """A folder that holds something, a damaged zip, a path that climbs."""
    with pytest.raises(CourseError, match="not empty"):
        collect(packed(tmp_path / "a.zip", {}), tmp_path, Roster())
    (tmp_path / "b.zip").write_bytes(b"no zip")
    with pytest.raises(CourseError, match="cannot be read"):
        collect(tmp_path / "b.zip", tmp_path / "b", Roster())
    summary = collect(packed(tmp_path / "c.zip", {"../x.py": CODE, "ada.py": CODE}), tmp_path / "c", Roster())
    assert len(summary.left_out) == 1
    assert not (tmp_path / "x.py").exists()


CANVAS = (
    'Student,ID,SIS User ID,SIS Login ID,Section,week1 (77),Other (78),"Final, so far"\r\n'
    '"    Points Possible",,,,,20,5,(read only)\r\n'
    '"O\'Neil, Zoë",101,S1,zoe,"A ""1""",,4,x\r\n'
    'Ada Lovelace,102,S2,ada,A,3,"5",\r\n'
    '"Student, Test",900,,,A,,,\r\n'
)
MOODLE = (
    "Identifier;Full name;Email address;Status;Grade;Maximum Grade;Feedback comments\n"
    'Participant 4711;"Zoë O\'Neil";z@x.org;Submitted;"";"20,00";"a\nb; c"\n'
    'Participant 4712;Ada Lovelace;ada@x.org;;"";"20,00";\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", [CANVAS, MOODLE])
def test_one_column_is_filled_in(tmp_path, roster, text, encoding):
    """Ids, order, quotes, line ends and all other cells stay, byte for byte; who is missing or unknown is listed."""
    path = tmp_path / "export.csv"
    path.write_bytes(text.encode(encoding))
    people = {roster.find("101"): "17.5", Person("7", "Stranger"): "3"}
    filled = fill(path, "week1" if text is CANVAS else "", people, 20)
    assert filled.unknown == ["Stranger"]
    assert filled.missing == (["Ada Lovelace", "Student, Test"] if text is CANVAS else ["Ada Lovelace"])
    expected = text.replace('"A ""1""",,', '"A ""1""",17.5,').replace('"";"20', '"17,5";"20', 1)
    assert filled.data.decode(encoding) == expected
    assert filled.data == expected.encode(encoding)


def test_what_cannot_be_filled_in(tmp_path, roster):
    """Other full marks, a column that is not there, an encoding that nobody can read."""
    path = tmp_path / "export.csv"
    path.write_text(CANVAS)
    with pytest.raises(CourseError, match="points = 20"):
        fill(path, "week1", {}, 10)
    with pytest.raises(CourseError, match="there are: Student"):
        fill(path, "week2", {}, 20)
    path.write_bytes(CANVAS.encode("cp1252"))
    with pytest.raises(CourseError, match="not UTF-8"):
        fill(path, "week1", {}, 20)


def test_nbgraders_export(tmp_path, capsys, monkeypatch, course):
    """`nbgrader export`'s CSV goes into the same file; the gradebook itself stays."""
    (tmp_path / "grades.csv").write_text(
        "assignment,duedate,timestamp,student_id,last_name,first_name,email,raw_score,late_submission_penalty,score,max_score\n"
        "week1,,,S1,O'Neil,Zoë,,18,0,18,20\nweek1,,,zzz,,,,1,0,1,20\nweek2,,,S1,,,,2,0,2,20\n"
    )
    (tmp_path / "canvas.csv").write_bytes(CANVAS.encode())
    out = tmp_path / "filled.csv"
    command = ["fill", str(tmp_path / "canvas.csv"), str(tmp_path / "grades.csv"), "--out", str(out)]
    assert main([*command, "--assignment", "week1"]) == 0
    said = capsys.readouterr().out
    assert "Wrote 1 grades" in said
    assert "zzz" in said
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [row["week1 (77)"] for row in rows] == ["20", "18", "3", ""]
    assert main([*command, "--assignment", "week1"]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    with pytest.raises(CourseError, match="week1, week2"):
        nbgraders(tmp_path / "grades.csv")


def test_similar_work(tmp_path, course, monkeypatch, capsys):
    """A copy with other names is found, without what the stub gave everybody; untouched stubs and strangers are not."""
    from autograder.reports.similar import pairs

    right = course.solution("positional_encoding").read_text(encoding="utf-8")
    stub = course.stub("positional_encoding").read_text(encoding="utf-8")
    others = [path.read_text(encoding="utf-8") for path in course.answers("positional_encoding")[:2]]
    copied = right.replace("angles", "winkel").replace("# ", "#  ")
    texts = {"ada": right, "eve": copied, "idle": stub, "idle2": stub, "cy": others[0]}
    sources = {name: {"positional_encoding": text} for name, text in texts.items()}
    found = list(pairs(course, sources, [], 0.7))
    assert [pair.names for pair in found] == [("ada", "eve")]
    assert found[0].share > 0.9
    assert any(kind == "-" for kind, *_ in found[0].lines)
