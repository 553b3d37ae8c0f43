"""Training on Shakespeare: to a stated loss, like transformers' Llama step by step, and on after kill -9."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import LlamaConfig, LlamaForCausalLM

from autograder.course import find_course
from projects import corpus as corpora
from projects import train
from projects.corpus import Corpus, in_byte_pairs, in_characters
from projects.modules import NotReady
from projects.sentences import ProjectError
from projects.shakespeare import HELD_OUT, read_plays
from projects.training import Plan, Run, read_checkpoint

NAMES = (
    *("softmax", "attention", "positional_encoding", "tokenization", "multi_head_attention", "llama_block"),
    *("language_model", "optimizer", "evaluation", "decoding", "kv_cache", "quantization", "pretrained_model"),
)
CPU = torch.device("cpu")
SMALL = Plan(dim=64, num_heads=4, num_layers=2, hidden_dim=176, context=64, batch=16, steps=250, warmup=20)
TINY = Plan(dim=16, num_heads=2, num_layers=1, hidden_dim=24, context=16, batch=4, steps=40, warmup=4)
QUIET = Console(quiet=True)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shakespeare() -> Corpus:
    """The real plays, in characters; of those held out, the first 100,000."""
    corpus = in_characters(read_plays(QUIET))
    return replace(corpus, held_out=corpus.held_out[:100_000])


@pytest.fixture(scope="module")
def trained(modules, shakespeare, tmp_path_factory) -> Run:
    """A small model after 250 steps on the real plays."""
    folder = tmp_path_factory.mktemp("trained")
    run = Run(SMALL, modules["language_model"], modules["optimizer"], shakespeare.vocabulary.size, CPU)
    train.train(run, shakespeare, folder / "run.pt", folder / "train.png", QUIET)
    assert (folder / "train.png").read_bytes().startswith(b"\x89PNG")
    return run


# --- All modules together --------------------------------------------------------------------------------------------


def test_it_learns_shakespeare(trained, shakespeare):
    """250 steps bring the loss on plays that it never saw below 2.25; counting pairs of letters would give 2.5."""
    start = Run(SMALL, trained.exercise, trained.tools, shakespeare.vocabulary.size, CPU).loss_on(
        shakespeare.held_out, 64
    )
    assert start == pytest.approx(math.log(shakespeare.vocabulary.size), abs=0.1)
    step, loss = trained.course.held_out[-1]
    assert step == 250
    assert loss == trained.loss_on(shakespeare.held_out)
    assert loss < 2.25


def test_numpy_and_pytorch_see_the_same_attention(modules, trained, shakespeare):
    """The first exercises, on the trained weights: heads, rotation, mask and softmax make the same attention."""
    attention, block = modules["attention"], trained.model.layers[0]
    with torch.no_grad():
        x = block.input_layernorm(trained.model.embed_tokens(shakespeare.held_out[None, :48]))
        heads = [
            modules["multi_head_attention"].split_heads(project(x), SMALL.num_heads).numpy()
            for project in (block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj)
        ]
        query, key = (modules["positional_encoding"].apply_rotary_embedding(part) for part in heads[:2])
        mixed, weights = attention.scaled_dot_product_attention(query, key, heads[2], attention.causal_mask(48))
        merged = modules["multi_head_attention"].merge_heads(torch.as_tensor(mixed, dtype=x.dtype))
        torch.testing.assert_close(block.self_attn.o_proj(merged), block.self_attn(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_transformers_reads_what_it_learned(modules, trained, shakespeare):
    """`hidden_states_and_logits` of the last exercise, on a LlamaForCausalLM with the trained weights."""
    twin = _twin(trained, shakespeare.vocabulary.size)
    ids = shakespeare.held_out[None, :48]
    _, logits = modules["pretrained_model"].hidden_states_and_logits(twin, ids)
    torch.testing.assert_close(logits, trained.model(ids), rtol=1e-4, atol=1e-4)


def test_a_byte_a_weight_is_enough(modules, trained, shakespeare):
    """The trained model in int8, a scale for each row: a quarter of the memory, and the loss hardly moves."""
    run = Run(SMALL, modules["language_model"], modules["optimizer"], shakespeare.vocabulary.size, CPU)
    quantization, state = modules["quantization"], trained.model.state_dict()
    for name, weight in state.items():
        if weight.dim() == 2:
            small, scale = quantization.quantize_absmax(weight.numpy(), per_row=True)
            state[name] = torch.as_tensor(quantization.dequantize(small, scale))
    run.model.load_state_dict(state)
    before, after = (each.loss_on(shakespeare.held_out, 256) for each in (trained, run))
    assert before != after
    assert abs(after - before) < 0.01
    assert quantization.memory_bytes(100, "float32") == 4 * quantization.memory_bytes(100, "int8")


def test_it_writes_with_cache_and_sampler(modules, trained, shakespeare):
    """The first page is what the model without a cache would have drawn, and the next pages go on."""
    vocabulary, decoding = shakespeare.vocabulary, modules["decoding"]
    tools = (modules["llama_block"], modules["kv_cache"], decoding)
    prompt = "\n\nHAMLET:\n"
    written = "".join(islice(train.pages(trained, vocabulary, prompt, *tools, seed=5), 150))
    assert len(written) == 150
    assert written == "".join(islice(train.pages(trained, vocabulary, prompt, *tools, seed=5), 150))
    ids, generator = vocabulary.encode(prompt), torch.Generator().manual_seed(5)
    while len(ids) < SMALL.context:
        with torch.no_grad():
            logits = decoding.apply_temperature(trained.model(torch.tensor([ids]))[0, -1], 0.8)
        ids.append(int(decoding.sample(decoding.top_p_filter(decoding.top_k_filter(logits, 50), 0.95), generator)))
    first = vocabulary.decode(ids)[len(prompt) :]
    assert written[: len(first)] == first


# --- Beside transformers ---------------------------------------------------------------------------------------------


def _twin(run: Run, vocab_size: int) -> LlamaForCausalLM:
    """The library's Llama of the same shape with the same weights."""
    plan = run.plan
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=plan.dim,
        intermediate_size=plan.hidden_dim,
        num_hidden_layers=plan.num_layers,
        num_attention_heads=plan.num_heads,
        num_key_value_heads=plan.num_heads,
        max_position_embeddings=plan.context,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
    )
    twin = LlamaForCausalLM(config)
    weights = run.model.state_dict()
    twin.load_state_dict({name if name == "lm_head.weight" else f"model.{name}": w for name, w in weights.items()})
    return twin


def test_transformers_learns_the_same_step_by_step(modules, shakespeare):
    """LlamaForCausalLM from the same weights on the same batches: the same 30 losses.

    In float64, but the library's norms and rotary angles are float32, whose roundings of 6e-8 meet the loss of one step
    about as they are, and grow with the steps; a thousand of them are allowed.
    """
    run = Run(SMALL, modules["language_model"], modules["optimizer"], shakespeare.vocabulary.size, CPU)
    run.model.double()
    twin = _twin(run, shakespeare.vocabulary.size).double()
    groups = [
        {"params": [weight for weight in twin.parameters() if weight.dim() == 2]},
        {"params": [weight for weight in twin.parameters() if weight.dim() != 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=SMALL.weight_decay)
    generator = torch.Generator().manual_seed(SMALL.seed)
    for step in range(30):
        starts = torch.randint(len(shakespeare.train) - SMALL.context + 1, (SMALL.batch,), generator=generator)
        ids = torch.stack([shakespeare.train[start : start + SMALL.context] for start in starts.tolist()])
        for group in optimizer.param_groups:
            group["lr"] = run.rate(step)
        loss = twin(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), SMALL.clip)
        optimizer.step()
        assert run.advance(shakespeare.train) == pytest.approx(loss.item(), rel=1000 * 6e-8)
    assert loss.item() < 3.2  # it did learn


# --- Stopped and started ---------------------------------------------------------------------------------------------


def _driver(folder: Path, pause: float) -> list[str]:
    """A program that trains TINY, or goes on, with a checkpoint every third step."""
    code = f"""
import time, torch
from pathlib import Path
from rich.console import Console
from projects import train
from projects.corpus import in_characters
from projects.modules import load_exercises
from projects.shakespeare import HELD_OUT
from projects.training import Plan, Run, read_checkpoint

train.EVERY, plan, path = 3, {TINY!r}, Path({str(folder / "run.pt")!r})
text = "To be, or not to be: that is the question.\\n" * 40
corpus = in_characters({{name: text for name in ("hamlet", *HELD_OUT)}})
exercises = load_exercises(Path({str(find_course().root / "solutions")!r}), ["language_model", "optimizer"])
run = Run(plan, *exercises, corpus.vocabulary.size, torch.device("cpu"))
if state := read_checkpoint(path, plan):
    run.restore(state)
print("from", run.step, flush=True)
right = run.advance
def slowly(data):
    time.sleep({pause})
    return right(data)
run.advance = slowly
train.train(run, corpus, path, Path({str(folder / "train.png")!r}), Console(quiet=True))
"""
    return [sys.executable, "-c", code]


def test_killed_and_started_again_is_the_same_to_the_last_bit(tmp_path):
    """Kill -9 in the middle, twice: weights, optimizer, generator and losses end as those of a run without it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    folders = {name: tmp_path / name for name in ("whole", "killed")}
    for folder in folders.values():
        folder.mkdir()
    whole = subprocess.run(_driver(folders["whole"], 0), env=environment, capture_output=True, text=True, check=False)
    assert (whole.returncode, whole.stdout) == (0, "from 0\n"), whole.stderr
    path, begun = folders["killed"] / "run.pt", 0
    for least in (3, 12):
        process = subprocess.Popen(_driver(folders["killed"], 0.1), env=environment, stdout=subprocess.PIPE, text=True)
        try:
            while ((state := read_checkpoint(path, TINY)) is None) or len(state["course"]["losses"]) < least:
                assert process.poll() is None
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            said, _ = process.communicate()
        assert said == f"from {begun}\n"
        begun = len(read_checkpoint(path, TINY)["course"]["losses"])
        assert least <= begun < TINY.steps
    (folders["killed"] / ".run.part.pt").write_bytes(b"half of one")  # as if it had been killed while it wrote
    rest = subprocess.run(_driver(folders["killed"], 0), env=environment, capture_output=True, text=True, check=False)
    assert (rest.returncode, rest.stdout) == (0, f"from {begun}\n"), rest.stderr
    ends = [read_checkpoint(folder / "run.pt", TINY) for folder in folders.values()]
    for end in ends:
        assert len(end["course"]["losses"]) == TINY.steps
        end["course"].pop("seconds")
    _assert_same(*ends)


def _assert_same(left: object, right: object) -> None:
    """Equal, to the last bit, all the way down."""
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            _assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            _assert_same(one, other)
    else:
        assert left == right


def test_only_its_own_checkpoint_is_taken(modules, tmp_path):
    """Another plan, half a file, or a pickle that would run code: none of them is gone on from."""
    path, ran = tmp_path / "run.pt", tmp_path / "ran"
    run = Run(TINY, modules["language_model"], modules["optimizer"], 10, CPU)
    run.save(path, {"vocabulary": []})
    assert read_checkpoint(path, TINY)
    assert read_checkpoint(path, replace(TINY, batch=5)) is None
    path.write_bytes(path.read_bytes()[:1000])
    assert read_checkpoint(path, TINY) is None
    torch.save({"plan": _Runs(f"open({str(ran)!r}, 'w')")}, path)
    assert read_checkpoint(path, TINY) is None
    assert not ran.exists()


class _Runs:
    """A pickle of it runs code when it is loaded."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self):
        return (exec, (self.code,))


# --- The parts -------------------------------------------------------------------------------------------------------


def test_gradients_are_clipped(modules):
    """However long the gradient is, the optimizer sees one of the length that the plan allows."""
    run = Run(replace(TINY, clip=1e-3), modules["language_model"], modules["optimizer"], 10, CPU)
    run.advance(torch.arange(100) % 10)
    length = torch.stack([weight.grad.norm() for weight in run.model.parameters()]).norm()
    assert length.item() == pytest.approx(1e-3, rel=1e-3)


def test_the_students_own_tokens(modules, tmp_path, monkeypatch):
    """Merges from an excerpt; the ids are the plays again; a loss per token becomes one per character; kept on disk."""
    monkeypatch.setattr(corpora, "MERGES", 12)
    monkeypatch.setattr(corpora, "EXCERPT", 400)
    text = "the rain that the wind that the cloud brought — " * 9
    plays = {name: f"{name}: {text}" for name in ("hamlet", *HELD_OUT)}
    tokenization = modules["tokenization"]
    with train._bars(QUIET) as bars:
        corpus = in_byte_pairs(plays, tokenization, tmp_path, bars)
        monkeypatch.setattr(tokenization, "train_bpe", None)
        again = in_byte_pairs(plays, tokenization, tmp_path, bars)
    assert corpus.vocabulary.size == 268
    assert again.vocabulary.decode(corpus.train.tolist()) == plays["hamlet"]
    assert torch.equal(again.held_out, corpus.held_out)
    assert corpus.per_character == len(corpus.held_out) / len("\n\n".join(plays[name] for name in HELD_OUT)) < 1


def test_an_unfinished_exercise_is_named(tmp_path, capsys):
    """The stubs as they are: a sentence and no traceback."""
    (tmp_path / "llama_block.py").write_text("x = ...  # FINISH ME\n")
    assert train.main(["--from", str(tmp_path)]) == 1
    output = "".join(capsys.readouterr())
    assert "llama_block, which is not finished: see line 1" in output
    assert "Traceback" not in output


def test_a_wrong_exercise_is_named(modules):
    """A loss that is no number, and a function that raises, name the exercise to look at."""
    run = Run(TINY, modules["language_model"], modules["optimizer"], 10, CPU)
    run.model.norm.weight.data.fill_(math.nan)
    with pytest.raises(NotReady, match=r"loss of step 1 is nan(.|\n)*make check EX=language_model"):
        run.advance(torch.arange(100) % 10)
    with pytest.raises(NotReady, match="language_model is the place to look"):
        run.advance(torch.arange(100))


def test_unknown_letters_are_a_sentence(shakespeare):
    """A prompt can only hold what the plays hold."""
    with pytest.raises(ProjectError, match="no character of the plays"):
        shakespeare.vocabulary.encode("naïve")
