"""The tour inside a real model, top to bottom on a tiny checkpoint, as a script and as a notebook."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
import torch
from matplotlib.image import imread
from nbclient import NotebookClient
from tiny_checkpoint import tiny_checkpoint

from autograder.course import find_course
from autograder.versions import differing
from projects.int8_model import to_int8
from projects.tour.guide import THEMES

ROOT = find_course().root
TOUR = ROOT / "projects" / "tour"
STEPS = 12


def take_the_tour(pictures: Path, folder: Path, model: str, *themes: str) -> subprocess.CompletedProcess[str]:
    """As `make tour` does."""
    strict = [] if differing(ROOT) else ["-W", "error"]  # warnings are errors on the locked versions alone
    command = [sys.executable, *strict, "-P", "-m", "projects.tour", "--pictures", str(pictures)]
    command += ["--from", str(folder), "--model", model, *themes]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The whole tour with right exercises, and where its pictures are."""
    pictures = tmp_path_factory.mktemp("pictures")
    return take_the_tour(pictures, ROOT / "solutions", tiny_checkpoint()), pictures


def test_top_to_bottom(toured):
    """It runs to its end without a warning, and every step has a picture in which something is to be seen."""
    done, pictures = toured
    assert (done.returncode, done.stderr) == (0, "")
    for step in range(1, STEPS + 1):
        (picture,) = pictures.glob(f"tour-{step}-*.png")
        assert imread(picture)[..., :3].std() > 0.05
        assert f"Saved the picture as {pictures.name}/{picture.name}" in done.stdout
    assert len(list(pictures.iterdir())) == STEPS


def test_what_it_says_is_computed(toured):
    """Claims that hold for every Llama: order is lost in the embeddings, and the student's maps are the model's."""
    said = toured[0].stdout
    near = 1e-5 if "in torch.float32" in said else 2e-2  # on a graphics card the tour is in float16
    means, word = re.search(r"their means differ by (\S+) of their size and the two .* by (\S+)\.\n", said).groups()
    assert float(means) < near
    assert float(word) == 0
    assert float(re.search(r"no weight is further off than (\S+)\.\n", said)[1]) < near
    assert float(re.search(r"it is (\S+) from its logits", said)[1]) < near
    assert "The texts are the same" in said
    assert "The smallest is “int8, one scale”" in said
    moved = [float(number) for number in re.findall(r"predictions moved by (\S+) nats", said)]
    assert moved[0] == moved[5] == 0 < min(moved[1:5])
    assert "Under autocast, Linear gives bfloat16." in said
    assert "Under autocast, LlamaRMSNorm gives float32." in said
    assert re.search(r"as they are: every row sums to 1, the worst is off by \d\.\de-0[5-9]", said)
    assert re.search(r"It is right in \d+ of 36 statements: \d+%, with a standard error of \d%", said)


def test_text_cells_state_no_numbers():
    """What is a fact about a model stands in what the code says; a text cell has numbers of steps and of years only."""
    notebooks = [jupytext.read(TOUR / f"{theme}.py") for theme in THEMES]
    texts = [[cell.source for cell in notebook.cells if cell.cell_type == "markdown"] for notebook in notebooks]
    assert all(first.startswith("# ") for first, *_ in texts)
    steps = [text for _, *others in texts for text in others]
    assert len(steps) == STEPS
    assert all(text.startswith(f"## {number}. ") for number, text in enumerate(steps, 1))
    for text in [first for first, *_ in texts] + steps:
        plain = re.sub(r"^#.*$|`[^`]*`|\b(19|20)\d\d\b|SmolLM2-135M-Instruct|int8|b?float(16|32)", "", text, flags=re.M)
        assert not re.findall(r".*\d.*", plain)


def test_as_a_notebook(tmp_path):
    """A theme opens with Jupytext and runs in Jupyter, where a cell says where the exercises and the model are."""
    notebook = jupytext.read(TOUR / "words.py")
    for cell in notebook.cells:
        where = f"start(folder={str(ROOT / 'solutions')!r}, model={tiny_checkpoint()!r})"
        cell.source = cell.source.replace("tour = start()", f"tour = {where}")
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert not list(tmp_path.iterdir())


def test_an_exercise_is_missing(tmp_path):
    """The tour goes as far as the exercises go, and says in a sentence which is missing."""
    shutil.copytree(ROOT / "solutions", tmp_path / "mine")
    shutil.copy(ROOT / "exercises" / "attention.py", tmp_path / "mine")
    done = take_the_tour(tmp_path / "pictures", tmp_path / "mine", tiny_checkpoint())
    assert done.returncode == 1
    assert re.fullmatch(
        r"This stands on attention, which is not finished: see line \d+ of .*attention\.py\.\n", done.stderr
    )
    assert len(list((tmp_path / "pictures").iterdir())) == 2


def test_one_theme_alone(tmp_path):
    """Each theme can be taken by itself."""
    done = take_the_tour(tmp_path / "pictures", ROOT / "solutions", tiny_checkpoint(), "choosing")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name[:6] for path in (tmp_path / "pictures").iterdir()} == {"tour-6", "tour-7"}


def test_int8_model():
    """As int8 a model gives what it gives with weights that were rounded so, and tied matrices lie there once."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from projects.modules import load_exercises

    path = list(sys.path)
    (quantization,) = load_exercises(ROOT / "solutions", ["quantization"])
    sys.path[:] = path
    sys.modules.pop("quantization")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    for per_row in (False, True):
        model, rounded = LlamaForCausalLM(config).eval(), LlamaForCausalLM(config).eval()
        rounded.load_state_dict(model.state_dict())
        with torch.no_grad():
            for weight in rounded.parameters():
                if weight.dim() == 2:
                    quantized, scale = quantization.quantize_absmax(weight.numpy(), per_row)
                    weight.copy_(torch.from_numpy(quantization.dequantize(quantized, scale)))
        small, ids = to_int8(model, quantization, per_row), torch.arange(12).reshape(2, 6)
        torch.testing.assert_close(small(ids).logits, rounded(ids).logits)
        matrices = sum(weight.numel() for weight in rounded.parameters() if weight.dim() == 2)
        held = {id(each): each for each in small.buffers() if each.dtype == torch.int8}
        assert sum(each.numel() for each in held.values()) == matrices
