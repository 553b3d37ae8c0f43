"""A language model of a few kilobytes, as files, for suites about models that are loaded: nothing is downloaded.

It is a real Llama checkpoint with a real byte-level BPE tokenizer. Its weights are random, from a generator whose
numbers never change, and large enough that its predictions are far from flat and depend on every token before.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

WORDS = ("the", "cat", "sat", "on", "mat", "dog", "sang", "song", "sun", "cold", "moon", "café")
START, END, PADDING = "<s>", "</s>", "<pad>"
_PRIVATE: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


@cache
def tiny_checkpoint(adds_start: bool = True) -> str:
    """The folder of the checkpoint. It has the same name every time, for grades that are the same every time.

    Args:
        adds_start: whether the tokenizer begins every text with `<s>`, as Llama's do.
    """
    new = tempfile.TemporaryDirectory(prefix="tiny-checkpoint-", ignore_cleanup_errors=True)
    _write_model(new.name, _write_tokenizer(new.name, adds_start))
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


def _write_tokenizer(folder: str, adds_start: bool) -> dict[str, int]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    # A space is written Ġ, and é is two bytes, written Ã and ©. Every word is a token, and so is its every beginning.
    spelled = [f"Ġ{word}".replace("é", "Ã©") for word in WORDS]
    merges = list(dict.fromkeys((word[:end], word[end]) for word in spelled for end in range(1, len(word))))
    tokens = [PADDING, START, *"Ġ.,Ã©abcdefghijklmnopqrstuvwxyz", *("".join(merge) for merge in merges), END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PADDING, START, END])
    if adds_start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{START} $A", pair=f"{START} $A $B", special_tokens=[(START, vocabulary[START])]
        )
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PADDING,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)
    return vocabulary


def _write_model(folder: str, vocabulary: dict[str, int]) -> None:
    import numpy as np
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()  # type: ignore[no-untyped-call]
    set_verbosity_error()  # type: ignore[no-untyped-call]
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[PADDING],
    )
    model = LlamaForCausalLM(config)
    numbers = np.random.RandomState(20)  # the one generator of NumPy whose stream is frozen
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.from_numpy(numbers.standard_normal(tuple(parameter.shape)))
            if parameter.ndim == 1:  # a norm's weight
                parameter.copy_(1 + 0.4 * drawn)
            elif "embed" in name:
                parameter.copy_(drawn)
            else:
                gain = 2.5 if "lm_head" in name else 1.5
                parameter.copy_(gain * drawn / parameter.shape[1] ** 0.5)
    model.bfloat16().save_pretrained(folder)  # the dtype that real checkpoints come in
