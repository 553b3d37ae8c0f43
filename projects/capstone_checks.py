"""How the capstone checks cache, decoding, tokenization and quantization: each against a library or a definition."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from projects.cached_llama import CachedLlama
from projects.modules import place_to_look, standing_on
from projects.twins import FAR, count_weights


def check_tokenization(tokenization: ModuleType, tokenizer: Any, text: str) -> tuple[int, int]:
    """The student's encode with a real tokenizer's merges, on each word of a text.

    Returns:
        How many merges there are, and how many different words were cut.

    Raises:
        NotReady: a word is cut otherwise, and tokenization is the place to look.
    """
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    # Byte-level tokenizers write every byte as a letter that prints: a space is Ġ.
    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]

    def to_bytes(piece: str) -> bytes:
        return bytes(byte_of[letter] for letter in piece)

    backend = tokenizer.backend_tokenizer
    merges = [(to_bytes(left), to_bytes(right)) for left, right in json.loads(backend.to_str())["model"]["merges"]]
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]  # by their ids
    cut = 0
    for word in dict.fromkeys(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)):
        theirs, plain = [to_bytes(piece.value) for piece in backend.model.tokenize(word)], to_bytes(word).decode()
        if b"".join(theirs) != to_bytes(word):
            continue  # a small vocabulary may lack a letter
        with standing_on("tokenization"):
            ours = [tokens[number] for number in tokenization.encode(plain, merges)]
        if ours != theirs:
            own, wanted = ([token.decode(errors="replace") for token in each] for each in (ours, theirs))
            raise place_to_look("tokenization", f"with the model's merges, {plain!r} is to be {wanted}, and is {own}.")
        cut += 1
    return len(merges), cut


@torch.no_grad()
def check_cache(llama: CachedLlama, ids: Tensor) -> float:
    """A text of more than six tokens, read in pieces with the student's cache, against the same text at once.

    Args:
        llama: with empty caches.
        ids: `[1, T]`.

    Returns:
        The largest difference between two logits.

    Raises:
        NotReady: it is too large, and kv_cache is the place to look.
    """
    read, logits = 0, []
    with standing_on("kv_cache"):
        for piece in torch.split(ids, [ids.shape[1] - 6, 1, 3, 1, 1], dim=1):
            logits.append(llama(piece))
            read += piece.shape[1]
            if (length := len(llama.caches[0])) != read:
                raise place_to_look("kv_cache", f"after {read} tokens the length of a cache is {length}.")
        in_pieces = torch.cat(logits, dim=1)
    difference: float = (in_pieces - llama.model(ids)).abs().max().item()
    if not difference < FAR:
        apart = f"logits that differ by up to {difference:.2g} from those of the whole"
        raise place_to_look("kv_cache", f"a text read in pieces gives {apart}.")
    return difference


def check_decoding(decoding: ModuleType, logits: Tensor) -> None:
    """Temperature, top-k and top-p against transformers', on `logits` `[T, V]`; and sampling against probabilities.

    Raises:
        NotReady: one differs, and decoding is the place to look.
    """
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    none: Any = None  # the warpers do not look at the ids
    filters: tuple[tuple[str, Any, Any], ...] = (
        ("apply_temperature", lambda x: decoding.apply_temperature(x, 0.7), TemperatureLogitsWarper(0.7)),
        ("top_k_filter", lambda x: decoding.top_k_filter(x, 20), TopKLogitsWarper(20)),
        ("top_p_filter", lambda x: decoding.top_p_filter(x, 0.9), TopPLogitsWarper(0.9)),
    )
    for name, ours, theirs in filters:
        with standing_on("decoding"):
            given = ours(logits.clone())
        wanted = theirs(none, logits.clone())
        if given.shape != wanted.shape:
            shapes = f"the shape {list(given.shape)}, and should be {list(wanted.shape)}"
            raise place_to_look("decoding", f"what your {name} gives has {shapes}.")
        close = torch.isclose(given, wanted, rtol=1e-5).all(dim=-1)  # [T]
        if not close.all():
            position = int(close.logical_not().nonzero()[0])
            raise place_to_look(
                "decoding", f"your {name} gives other logits than transformers', at position {position}."
            )
    best = logits[-1].topk(min(20, logits.shape[-1])).values  # [20]
    generator, draws = torch.Generator().manual_seed(0), 4000
    with standing_on("decoding"):
        drawn = decoding.sample(best.expand(draws, -1), generator)
        shares = torch.bincount(drawn.flatten(), minlength=len(best)) / draws
        off = (shares - best.softmax(dim=-1)).abs().sum().item() / 2
    if off > 0.1:
        raise place_to_look("decoding", f"of {draws} tokens that sample drew, {off:.0%} should have been others.")


def check_memory(quantization: ModuleType, twin: Any, dtype: str) -> int:
    """How many bytes the weights take, by the student's count.

    Raises:
        NotReady: PyTorch counts others, and quantization is the place to look.
    """
    with standing_on("quantization"):
        size = quantization.memory_bytes(count_weights(twin), dtype)
    really: int = sum(weight.nbytes for weight in twin.parameters())
    if size != really:
        raise place_to_look("quantization", f"your memory_bytes counts {size:,} bytes, and there are {really:,}.")
    return really


def quantize(quantization: ModuleType, name: str, weight: Tensor, per_row: bool) -> int:
    """Puts a matrix through the student's int8 and back, in its place, and returns the bytes that it takes as int8.

    Raises:
        NotReady: the scale, the dtype or the error is not what it should be; quantization is the place to look.
    """
    before = weight.detach().numpy().copy()
    with standing_on("quantization"):
        quantized, scale = quantization.quantize_absmax(before.copy(), per_row)
        after = quantization.dequantize(quantized, scale)
        largest = np.abs(before).max(axis=1, keepdims=True) if per_row else np.abs(before).max()
        wanted = np.where(largest > 0, largest / 127, scale)
        error = np.abs(after - before) / np.broadcast_to(wanted, before.shape)
    if np.shape(scale) != np.shape(largest) or not np.allclose(scale, wanted, rtol=1e-5):
        of = "each row" if per_row else "all weights"
        raise place_to_look("quantization", f"the scale of {name} is not the largest size of {of} by 127.")
    if quantized.dtype != np.int8 or after.dtype != np.float32:
        kinds = f"{quantized.dtype} and {after.dtype}, and should be int8 and float32"
        raise place_to_look("quantization", f"{name} becomes {kinds}.")
    if not error.max() < 0.501:
        raise place_to_look(
            "quantization", f"a weight of {name} is off by {error.max():.2f} steps, and half a step is the most."
        )
    weight.copy_(torch.from_numpy(after))
    return int(quantized.nbytes + np.asarray(scale).nbytes)
