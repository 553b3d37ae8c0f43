"""A Llama in a GGUF file, converted to the files that transformers reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import Progress

from projects.downloads import DownloadError
from projects.sentences import disk_full, first_line, says_full

GGUF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(weights: Path, folder: Path, progress: Progress) -> None:
    """Writes the config, the tokenizer and the weights (float16: finer than their 4 bits) of a Llama in a GGUF file.

    Raises:
        DownloadError: the weights cannot be written.
        OSError: the disk is full.
    """
    total = weights.stat().st_size
    task = progress.add_task("Converting", total=total)
    import gguf
    import numpy as np
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    reader = gguf.GGUFReader(weights)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    heads = {"attn_q": facts["llama.attention.head_count"], "attn_k": facts["llama.attention.head_count_kv"]}
    tensors = {}
    for tensor in reader.tensors:
        *layer, part, _ = tensor.name.split(".")  # blk.7.attn_q.weight or token_embd.weight
        numbers = gguf.dequantize(tensor.data, tensor.tensor_type)  # [out, in]
        if part in heads:
            # GGUF keeps the two halves of a rotary pair side by side; Llama checkpoints keep them half a head apart.
            rows, columns = numbers.shape
            numbers = numbers.reshape(heads[part], -1, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        prefix = f"model.layers.{layer[1]}." if layer else ""
        half = np.ascontiguousarray(numbers, dtype=np.float16)
        tensors[f"{prefix}{GGUF_NAMES[part]}.weight"] = torch.from_numpy(half)
        progress.update(task, advance=tensor.n_bytes)
    _write_config(facts, folder)
    _write_tokenizer(facts, folder)
    try:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:  # its own error for a full disk
        if says_full(error):
            raise disk_full(folder) from None
        raise DownloadError(f"The converted weights cannot be written ({first_line(error)}).") from None
    progress.update(task, completed=total)


def _write_config(facts: Mapping[str, Any], folder: Path) -> None:
    from transformers import GenerationConfig, LlamaConfig

    special = {
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts["tokenizer.ggml.padding_token_id"],
    }
    config = LlamaConfig(
        vocab_size=facts["llama.vocab_size"],
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_hidden_layers=facts["llama.block_count"],
        num_attention_heads=facts["llama.attention.head_count"],
        num_key_value_heads=facts["llama.attention.head_count_kv"],
        max_position_embeddings=facts["llama.context_length"],
        rms_norm_eps=round(facts["llama.attention.layer_norm_rms_epsilon"], 9),  # a float32 1e-5
        rope_parameters={"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
        dtype="float16",
        **special,
    )
    config.save_pretrained(folder)
    GenerationConfig(**special).save_pretrained(folder)  # type: ignore[no-untyped-call]


def _write_tokenizer(facts: Mapping[str, Any], folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = facts["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    # What GGUF calls "smollm": every digit on its own, then the bytes of words as in GPT-2.
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, facts["tokenizer.ggml.token_type"], strict=True) if kind == 3]
    tokenizer.add_special_tokens(control)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=tokens[facts["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[facts["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[facts["tokenizer.ggml.padding_token_id"]],
        unk_token=tokens[facts["tokenizer.ggml.unknown_token_id"]],
        model_max_length=facts["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = facts["tokenizer.chat_template"]
    fast.save_pretrained(folder)
