"""A language model of a few kilobytes, as files, for suites about models that are loaded: nothing is downloaded.

It is a real Llama checkpoint with a real byte-level BPE tokenizer. Its weights are random, from a generator whose
numbers never change, and large enough that its predictions are far from flat and depend on every token before.

It is written without transformers, whose import takes longer than a whole visible suite, and so is `tiny_logits`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import plain_llama

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

WORDS = ("the", "cat", "sat", "on", "mat", "dog", "sang", "song", "sun", "cold", "moon", "café")
START, END, PADDING = "<s>", "</s>", "<pad>"
WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, EPS, BASE = 32, 48, 2, 4, 2, 1e-6, 10000.0
_PRIVATE: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


@cache
def tiny_checkpoint(adds_start: bool = True) -> str:
    """The folder of the checkpoint. It has the same name every time, for grades that are the same every time.

    Args:
        adds_start: whether the tokenizer begins every text with `<s>`, as Llama's do.
    """
    new = tempfile.TemporaryDirectory(prefix="tiny-checkpoint-", ignore_cleanup_errors=True)
    _write_tokenizer(new.name, adds_start)
    _write_model(new.name)
    contents = _contents(Path(new.name))
    folder = Path(tempfile.gettempdir()).resolve() / f"tiny-checkpoint-{_digest(contents)}"
    with suppress(OSError):  # it is there already, or another process was faster
        os.rename(new.name, folder)
    if folder.is_dir() and _is_ours(folder) and _contents(folder) == contents:
        new.cleanup()
        return str(folder)
    _PRIVATE.append(new)  # someone else has a folder of this name
    return str(Path(new.name).resolve())


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _digest(contents: dict[str, bytes]) -> str:
    return hashlib.sha256(repr(contents).encode()).hexdigest()[:12]


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can write there."""
    if os.name == "nt":
        return True
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


@cache
def tiny_tokenizer(adds_start: bool = True) -> Tokenizer:
    """The checkpoint's tokenizer, as the tokenizers library's own: `.encode(text).ids`, `.decode(ids)`."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(tiny_checkpoint(adds_start), "tokenizer.json")))


def tiny_logits(ids: list[int]) -> np.ndarray:
    """What the checkpoint's model predicts after each of T ids: float64 `[T, V]`, by a Llama in plain NumPy."""
    weights = {name.removeprefix("model."): tensor.double().numpy() for name, tensor in _weights().items()}
    return plain_llama.logits(weights, ids, HEADS, BASE, EPS)


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Every token's number, and the merges that make the words."""
    # A space is written Ġ, and é is two bytes, written Ã and ©. Every word is a token, and so is its every beginning.
    spelled = [f"Ġ{word}".replace("é", "Ã©") for word in WORDS]
    merges = list(dict.fromkeys((word[:end], word[end]) for word in spelled for end in range(1, len(word))))
    tokens = [PADDING, START, *"Ġ.,Ã©abcdefghijklmnopqrstuvwxyz", *("".join(merge) for merge in merges), END]
    return {token: number for number, token in enumerate(tokens)}, merges


def _write_tokenizer(folder: str, adds_start: bool) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary, merges = _vocabulary()
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PADDING, START, END])
    if adds_start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{START} $A", pair=f"{START} $A $B", special_tokens=[(START, vocabulary[START])]
        )
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    _write_json(folder, "tokenizer_config.json", about | {"bos_token": START, "eos_token": END, "pad_token": PADDING})


def _write_model(folder: str) -> None:
    from safetensors.torch import save_file

    vocabulary, _ = _vocabulary()
    special = {
        "bos_token_id": vocabulary[START],
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[PADDING],
    }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",  # what real checkpoints come in
        "vocab_size": len(vocabulary),
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 128,
        "rms_norm_eps": EPS,
        "rope_parameters": {"rope_theta": BASE, "rope_type": "default"},
        "tie_word_embeddings": False,
    }
    _write_json(folder, "config.json", {**config, **special})
    _write_json(folder, "generation_config.json", special)
    save_file(_weights(), os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


def _write_json(folder: str, name: str, content: Mapping[str, object]) -> None:
    Path(folder, name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@cache
def _weights() -> dict[str, torch.Tensor]:
    """The weights by their names in a checkpoint; PyTorch's linear layers hold theirs as [out, in]."""
    import torch

    numbers = np.random.RandomState(20)  # the one generator of NumPy whose stream is frozen

    def drawn(gain: float, *shape: int) -> torch.Tensor:
        return torch.from_numpy(gain * numbers.standard_normal(shape)).bfloat16()

    def linear(rows: int, columns: int, gain: float = 1.5) -> torch.Tensor:
        return drawn(gain / columns**0.5, rows, columns)

    def norm() -> torch.Tensor:
        return torch.from_numpy(1 + 0.4 * numbers.standard_normal(WIDTH)).bfloat16()

    tokens, narrow = len(_vocabulary()[0]), WIDTH // HEADS * KV_HEADS
    weights = {"model.embed_tokens.weight": drawn(1.0, tokens, WIDTH)}
    for layer in range(LAYERS):
        parts = {
            "self_attn.q_proj": linear(WIDTH, WIDTH),
            "self_attn.k_proj": linear(narrow, WIDTH),
            "self_attn.v_proj": linear(narrow, WIDTH),
            "self_attn.o_proj": linear(WIDTH, WIDTH),
            "mlp.gate_proj": linear(HIDDEN, WIDTH),
            "mlp.up_proj": linear(HIDDEN, WIDTH),
            "mlp.down_proj": linear(WIDTH, HIDDEN),
            "input_layernorm": norm(),
            "post_attention_layernorm": norm(),
        }
        weights |= {f"model.layers.{layer}.{name}.weight": tensor for name, tensor in parts.items()}
    return weights | {"model.norm.weight": norm(), "lm_head.weight": linear(tokens, WIDTH, gain=2.5)}
