"""The capstone, top to bottom on a tiny checkpoint, and what it says about exercises that are not right."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_checkpoint import tiny_checkpoint

from autograder.course import find_course
from autograder.diagnosis.catalogue import known_mistakes
from projects.capstone import STEPS, main

COURSE = find_course()
TEMPLATE = "{% for message in messages %}<s>{{ message['content'] }}</s>{% endfor %}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with what it lacks: tied embeddings, a base and an eps of its own, a chat template."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("checkpoint")
    config = LlamaConfig.from_pretrained(tiny_checkpoint())
    config.tie_word_embeddings, config.rms_norm_eps, config.rope_parameters["rope_theta"] = True, 0.05, 500.0
    model = LlamaForCausalLM(config)
    weights = LlamaForCausalLM.from_pretrained(tiny_checkpoint(), dtype="float32").state_dict()
    model.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint())
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_exercise_stays() -> Iterator[None]:
    """Exercises are imported by their plain names; another test takes them from elsewhere."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in COURSE.names:
        sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def _short_and_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Attention at lengths that take no time, and its picture where it is thrown away."""
    monkeypatch.setattr("projects.capstone_speed.LENGTHS", (24, 48))
    monkeypatch.setattr("projects.capstone_speed.BLOCK", 16)
    monkeypatch.setattr("projects.capstone.PICTURES", tmp_path / "pictures")


def test_top_to_bottom(checkpoint, tmp_path, capsys):
    """With right exercises every step goes well, the same text is written, and the chat goes on in the same caches."""
    assert main(["--from", str(COURSE.root / "solutions"), "--model", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    for number, step in enumerate(STEPS.values(), 1):
        assert f"{number}. {step.title}  stands on {step.exercises}" in said
    assert "place to look" not in said
    assert re.search(r"The same \d+ tokens as transformers' generate writes", said)
    assert re.search(r"The largest difference of all [\d,]+ logits is \d\.\de-0[4-9]: less than 0.001", said)
    assert len(re.findall(r"You: +\S", said)) == 2
    assert re.search(r"The outputs are the same: \d\.\de-0[4-9] apart at most", said)
    assert (tmp_path / "pictures" / "capstone-attention.png").read_bytes().startswith(b"\x89PNG")
    assert "the greedy text is the same 32 tokens" in said
    rates = re.findall(r"(?:greedy|drawn) +\d +(\d+)% +(\d\.\d\d) +(\d\.\d\d) ", said)
    assert len(rates) == 2
    for rate, _, promised in rates:
        assert float(promised) == pytest.approx(sum((int(rate) / 100) ** power for power in range(5)), abs=0.06)
    assert said.rstrip().endswith("A real model runs on what you have written.")


def test_as_a_command(tmp_path):
    """The module runs as `make capstone` runs it, also on a model that was not taught to chat."""
    command = [sys.executable, "-P", "-m", "projects.capstone", "--from", "solutions", "--model", tiny_checkpoint()]
    command += ["--pictures", str(tmp_path)]
    done = subprocess.run(command, cwd=COURSE.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "This model has no chat template" in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("asked", "command"),
    [
        (["capstone"], "-m autograder capstone"),
        (["capstone", "FROM=solutions"], "-m autograder capstone --from 'solutions'"),
        (["capstone", "CHAT=1"], "-m autograder capstone --chat"),
        (["tour", "FROM=solutions"], "-m autograder tour --from 'solutions'"),
    ],
)
def test_with_make(asked, command):
    """What the Makefile makes of FROM and CHAT."""
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", *asked], cwd=COURSE.root, capture_output=True, text=True, check=True
    )
    assert " ".join(done.stdout.splitlines()[-1].split()).endswith(command)


def test_chat(checkpoint, capsys, monkeypatch):
    """An empty line ends a conversation, and so does the end of what is typed."""
    questions = iter(["the cat sat on", "the moon", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(questions))
    assert main(["--from", str(COURSE.root / "solutions"), "--model", str(checkpoint), "--chat"]) == 0
    first = capsys.readouterr().out.split("ends the conversation.")[1]
    assert len([line for line in first.splitlines() if line.strip()]) == 2


@pytest.mark.parametrize(
    ("name", "mistake", "says"),
    [
        ("llama_block", "layer-norm", "your RMSNorm gives other numbers"),
        ("llama_block", "eps-fixed", "your RMSNorm gives other numbers"),
        ("llama_block", "mean-without-keepdim", "look (line "),
        ("llama_block", "silu-on-the-wrong-branch", "your SwiGLU gives other numbers"),
        ("llama_block", "pairs-interleaved", "your rotate gives other numbers"),
        ("llama_block", "base-fixed", "your rotate gives other numbers"),
        ("llama_block", "groups-dealt-in-turn", "your GroupedQueryAttention gives other numbers"),
        ("llama_block", "no-causal-mask", "your GroupedQueryAttention gives other numbers"),
        ("llama_block", "projections-with-bias", "bias, and the original has none"),
        ("llama_block", "post-norm", "your LlamaBlock gives other numbers"),
        ("llama_block", "eps-not-handed-on", "your LlamaBlock gives other numbers"),
        ("language_model", "eps-not-handed-to-the-blocks", "block 0 of MiniLlama gives other numbers"),
        ("language_model", "eps-not-handed-to-the-last-norm", "your MiniLlama's norm gives other numbers"),
        ("language_model", "blocks-from-the-last-to-the-first", "All its parts are right"),
        ("language_model", "one-block-used-again-and-again", "weights and the original"),
        ("language_model", "tied-by-a-copy", "weights and the original"),
        ("language_model", "last-position-only", "gives the shape"),
        ("language_model", "no-shift", "your next_token_loss is"),
        ("kv_cache", "newest-first", "a text read in pieces"),
        ("kv_cache", "forgets-the-past", ""),
        ("kv_cache", "returns-values-first", "a text read in pieces"),
        ("kv_cache", "length-of-the-wrong-axis", "the length of a cache is"),
        ("decoding", "temperature-multiplies", "your apply_temperature gives other logits"),
        ("decoding", "top-p-drops-the-crossing-token", "your top_p_filter gives other logits"),
        ("decoding", "top-k-shortens-the-rows", "what your top_k_filter gives has the shape"),
        ("decoding", "sample-uniform", "tokens that sample drew"),
        ("tokenization", "stripped", "with the model's merges, ' capital' is to be"),
        ("quantization", "always-down", "off by"),
        ("quantization", "one-row-scale-for-all", "the largest size of each row"),
        ("quantization", "bits-for-bytes", "your memory_bytes counts"),
        ("speculative_decoding", "accepts-everything", "should have been others"),
        ("speculative_decoding", "replacement-alone", "with a draft of 1 of 2 blocks it writes"),
        ("speculative_decoding", "expected-power-off", "your expected_tokens(0.75, 3) is"),
        ("flash_attention", "no-scale", "from the formula's"),
    ],
)
def test_the_wrong_exercise_is_named(name, mistake, says, checkpoint, tmp_path, capsys):
    """Of all right exercises but one, that one is the place to look, and no other."""
    source = {each.id: each.source for each in known_mistakes(COURSE, name)}[mistake]
    shutil.copytree(COURSE.root / "solutions", tmp_path, dirs_exist_ok=True)
    (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    status = main(["--from", str(tmp_path), "--model", str(checkpoint)])
    said = capsys.readouterr().out
    assert status == 1
    assert set(re.findall(r"(\w+) is the place to look", said)) == {name}
    assert says in said
    assert f"Try: make check EX={name}" in said


def test_the_steps_that_can_go_on_do(checkpoint, tmp_path, capsys):
    """A hole in one exercise costs the steps that need it."""
    shutil.copytree(COURSE.root / "solutions", tmp_path, dirs_exist_ok=True)
    shutil.copy(COURSE.root / "exercises" / "kv_cache.py", tmp_path)
    assert main(["--from", str(tmp_path), "--model", str(checkpoint)]) == 1
    said = capsys.readouterr().out
    assert "This stands on kv_cache, which is not finished" in said
    assert said.count("Left out") == 3
    assert "int8, one for each row" in said
    assert f"6 of {len(STEPS)} steps went well" in said


def test_no_model(capsys, tmp_path, monkeypatch):
    """A folder without a model, and no model at all: a sentence each."""
    assert main(["--from", str(COURSE.root / "solutions"), "--model", str(tmp_path)]) == 1
    assert f"No language model can be read from {tmp_path}" in capsys.readouterr().out
    monkeypatch.setattr("projects.capstone.model_folder", lambda: None)
    assert main(["--from", str(COURSE.root / "solutions")]) == 1
    assert "make model" in capsys.readouterr().out
