"""A real Llama twice: as the transformers library runs it, and with the same weights in the student's own classes.

Each of the student's parts gets what its twin got, and must give what its twin gave. So a wrong part is found where it
is, and not only at the end, where all logits are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from projects.modules import place_to_look, standing_on
from projects.sentences import ProjectError, first_line

CLOSE, CLOSE_TO_LARGEST = 1e-4, 1e-5  # how far a number may be off, relative to itself and to the largest of all
FAR = 1e-3  # logits that differ by this much are not the same

Seen = tuple[Tensor, Tensor]  # what went into a part, and what came out of it


@dataclass(frozen=True)
class Likeness:
    """A part that does what its twin does.

    Attributes:
        part: what was compared.
        exercise: where it was built.
        difference: the largest difference between two numbers.
    """

    part: str
    exercise: str
    difference: float


def load_original(folder: Path) -> tuple[Any, Any]:
    """A Llama in float32, as transformers runs it, and its tokenizer.

    Raises:
        ProjectError: there is none in the folder, or one that MiniLlama is not made for.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()  # type: ignore[no-untyped-call]
    set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model.eval()
    except (OSError, ValueError) as error:
        raise ProjectError(f"No language model can be read from {folder}: {first_line(error)}.") from None
    config = model.config
    if config.model_type != "llama" or config.rope_parameters["rope_type"] != "default" or config.attention_bias:
        raise ProjectError(f"The model in {folder} is no plain Llama, and MiniLlama can be nothing else.")
    return model, tokenizer


def shape_of(original: Any) -> dict[str, Any]:
    """The arguments with which MiniLlama has the original's shape."""
    config = original.config
    return {
        "vocab_size": config.vocab_size,
        "dim": config.hidden_size,
        "num_heads": config.num_attention_heads,
        "num_layers": config.num_hidden_layers,
        "hidden_dim": config.intermediate_size,
        "num_kv_heads": config.num_key_value_heads,
        "base": float(config.rope_parameters["rope_theta"]),
        "eps": config.rms_norm_eps,
        "tie_embeddings": config.tie_word_embeddings,
    }


def make_twin(original: Any, llama_block: ModuleType, language_model: ModuleType) -> Any:
    """The student's MiniLlama with the original's weights.

    Raises:
        NotReady: it has other weights, other shapes, or another number of them.
    """
    _fill(original, llama_block, "LlamaBlock", "layers.0")
    with standing_on("language_model"):
        twin = language_model.MiniLlama(**shape_of(original)).eval()
    weights = {key.removeprefix("model."): weight for key, weight in original.state_dict().items()}
    put_weights(twin, weights, "language_model")
    have, wanted = count_weights(twin), count_weights(original)
    if have != wanted:
        raise place_to_look(
            "language_model",
            f"your MiniLlama has {have:,} weights and the original {wanted:,}. Has every block weights of its own, and "
            "do lm_head and embed_tokens share one matrix when they are tied?",
        )
    return twin


def count_weights(module: Any) -> int:
    """How many numbers a model has learned; those that two parts share count once."""
    return sum(parameter.numel() for parameter in module.parameters())


def put_weights(module: nn.Module, weights: Mapping[str, Tensor], exercise: str) -> None:
    """Copies weights into a module of the student's, by their names.

    Raises:
        NotReady: names or shapes are not the same.
    """
    name, have = type(module).__name__, module.state_dict()
    for key in weights:
        if key not in have:
            raise place_to_look(exercise, f"your {name} has no weight called {key}.")
        if have[key].shape != weights[key].shape:
            shapes = f"{list(have[key].shape)}, and should be {list(weights[key].shape)}"
            raise place_to_look(exercise, f"the shape of {key} in your {name} is {shapes}.")
    if more := [key for key in have if key not in weights]:
        raise place_to_look(exercise, f"your {name} has a weight called {more[0]}, and the original has none.")
    module.load_state_dict(weights)


@torch.no_grad()
def compare_parts(original: Any, twin: Any, llama_block: ModuleType, ids: Tensor) -> Iterator[Likeness]:
    """Compares part by part, the parts of parts first; `ids` are `[1, T]`.

    Raises:
        NotReady: at the first part that differs from its twin, with the exercise that built it.
    """
    seen = _record(original, ids)
    yield from _compare_block(original, llama_block, seen)
    advice = "Are the heads, the base and the eps handed on to every block?"
    blocks = [
        _compare(f"block {number} of MiniLlama", "language_model", block, seen[f"model.layers.{number}"], advice)
        for number, block in enumerate(twin.layers)
    ]
    largest = max(likeness.difference for likeness in blocks)
    yield Likeness(f"MiniLlama's {len(blocks)} blocks, one by one", "language_model", largest)
    yield _compare("MiniLlama's norm", "language_model", twin.norm, seen["model.norm"])
    yield _compare("MiniLlama's lm_head", "language_model", twin.lm_head, seen["lm_head"])
    advice = "All its parts are right: look at what forward does with them."
    yield _compare("MiniLlama", "language_model", twin, (ids, seen["lm_head"][1]), advice)


def _compare_block(original: Any, llama_block: ModuleType, seen: Mapping[str, Seen]) -> Iterator[Likeness]:
    """The parts of the first block, each made anew by the student's class, and then the block."""

    def compare(name: str, part: str) -> Likeness:
        return _compare(name, "llama_block", _fill(original, llama_block, name, part), seen[f"model.{part}"])

    yield compare("RMSNorm", "layers.0.input_layernorm")
    yield compare("SwiGLU", "layers.0.mlp")
    yield _compare_rotation(original, llama_block)
    yield compare("GroupedQueryAttention", "layers.0.self_attn")
    yield compare("LlamaBlock", "layers.0")


def _fill(original: Any, llama_block: ModuleType, name: str, part: str) -> Any:
    """A class of the exercise `llama_block`, made with the weights of its twin."""
    shape = shape_of(original)
    dim, hidden_dim, base, eps = (shape[argument] for argument in ("dim", "hidden_dim", "base", "eps"))
    heads = {"num_heads": shape["num_heads"], "num_kv_heads": shape["num_kv_heads"], "base": base}
    arguments: dict[str, Any] = {
        "RMSNorm": {"eps": eps},
        "SwiGLU": {"hidden_dim": hidden_dim},
        "GroupedQueryAttention": heads,
        "LlamaBlock": heads | {"hidden_dim": hidden_dim, "eps": eps},
    }
    with standing_on("llama_block"):
        module = getattr(llama_block, name)(dim, **arguments[name]).eval()
    put_weights(module, original.model.get_submodule(part).state_dict(), "llama_block")
    return module


def _compare_rotation(original: Any, llama_block: ModuleType) -> Likeness:
    """Any numbers will do as queries; they stand somewhere in the middle of a text."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    config, base = original.config, shape_of(original)["base"]
    heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    query = torch.randn(1, heads, 9, width, generator=torch.Generator().manual_seed(0))
    positions = torch.arange(7, 16)
    cos, sin = original.model.rotary_emb(query, positions[None])
    turned = apply_rotary_pos_emb(query, query, cos, sin)[0]
    return _compare("rotate", "llama_block", lambda x: llama_block.rotate(x, positions, base), (query, turned))


def _compare(part: str, exercise: str, function: Callable[[Tensor], Any], seen: Seen, advice: str = "") -> Likeness:
    """Gives a part of the student's what its twin got, and compares what it gives with what its twin gave."""
    x, wanted = seen
    with standing_on(exercise):
        given = function(x)
    if not isinstance(given, Tensor):
        raise place_to_look(exercise, f"your {part} gives no tensor but {given!r:.60}.")
    if given.shape != wanted.shape:
        shapes = f"the shape {list(given.shape)}, and transformers' {list(wanted.shape)}"
        raise place_to_look(exercise, f"your {part} gives {shapes}.")
    difference, largest = (given - wanted).abs().max().item(), wanted.abs().max().item()
    if not torch.allclose(given, wanted, rtol=CLOSE, atol=CLOSE_TO_LARGEST * largest):
        numbers = f"the largest difference is {difference:.2g}, where the largest number is {largest:.2g}"
        raise place_to_look(
            exercise, f"your {part} gives other numbers than transformers': {numbers}. {advice}".rstrip()
        )
    return Likeness(part, exercise, difference)


def _record(original: Any, ids: Tensor) -> dict[str, Seen]:
    """What went into every part of the original and what came out of it, by the part's name."""
    seen: dict[str, Seen] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            given = positional[0] if positional else named.get("hidden_states", output)
            seen[name] = (given, output[0] if isinstance(output, tuple) else output)

        return keep

    hooks = [
        module.register_forward_hook(hook(name), with_kwargs=True) for name, module in original.named_modules() if name
    ]
    try:
        original(ids)
    finally:
        for handle in hooks:
            handle.remove()
    return seen
