"""The capstone's steps about speed and memory: speculative decoding, and attention in blocks."""

from __future__ import annotations

import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch

from projects import attention_bill, loss_curve
from projects.attention_bill import measured, plain_attention
from projects.cached_llama import write
from projects.modules import place_to_look, standing_on
from projects.printed import columns
from projects.speculation import check_speculation, early_exit, greedy, speculate
from projects.twins import shape_of

if TYPE_CHECKING:
    from projects.capstone import Capstone

NEW, DRAFTED = 32, 4  # tokens to write, and to draft for a step
LENGTHS, BLOCK = (256, 512, 1024, 2048), 128
CLOSE = 1e-4  # of outputs that are means of values, whose size is about 1


@torch.no_grad()
def speculative(capstone: Capstone, opening: str) -> None:
    """An early exit of the same model drafts: how much is accepted, what that should bring, and what it brings."""
    exercise, twin = capstone.exercise("speculative_decoding"), capstone.twin
    prompt = capstone.ids(opening)[0].tolist()
    start = time.perf_counter()
    alone = list(islice(write(capstone.cached(), prompt, torch.argmax), NEW))
    pace = NEW / (time.perf_counter() - start)
    depths = sorted({max(1, len(twin.layers) * share // 6) for share in (3, 4, 5)})
    first = capstone.ids(opening)
    check_speculation(exercise, twin(first)[0, -1], capstone.cached(early_exit(twin, depths[-1]))(first)[0, -1])
    capstone.say(
        f"The draft is your MiniLlama's first blocks, with its norm and head right after them. It writes {DRAFTED} "
        "tokens ahead. How many are accepted, and how many tokens come of a step:"
    )
    table = columns("chosen", "blocks", "accepted", "a step", "expected_tokens", "runs", "a second")
    table.add_row("greedy", f"all {len(twin.layers)}", "", "1.00", "", "1.0", f"{pace:.1f}")
    for name, probabilities in (("greedy", greedy), ("drawn", lambda logits: logits.softmax(dim=-1))):
        for depth in depths:
            draft, generator = capstone.cached(early_exit(twin, depth)), torch.Generator().manual_seed(0)
            start = time.perf_counter()
            written = speculate(
                capstone.cached(), draft, prompt, NEW, DRAFTED, probabilities, exercise.speculative_step, generator
            )
            pace = len(written.ids) / (time.perf_counter() - start)
            with standing_on("speculative_decoding"):
                promised = exercise.expected_tokens(written.rate, DRAFTED)
            measured_and_promised = f"{written.per_step:.2f}", f"{promised:.2f}"
            runs = 1 + DRAFTED * depth / len(twin.layers)
            table.add_row(name, str(depth), f"{written.rate:.0%}", *measured_and_promised, f"{runs:.1f}", f"{pace:.1f}")
            if name == "greedy" and written.ids[:NEW] != alone:
                text = capstone.tokenizer.decode(written.ids[:NEW])
                raise place_to_look(
                    "speculative_decoding", f"with a draft of {depth} of {len(twin.layers)} blocks it writes {text!r}."
                )
    capstone.console.print(table)
    capstone.say(
        "A step costs as many runs of the whole model as stand under “runs”, and pays where it gives more tokens than "
        "that. So a draft has to be small and good, and an early exit that was never trained to be one is not both."
    )
    capstone.say(f"Whatever the draft, the greedy text is the same {NEW} tokens that it writes without one.")


@torch.no_grad()
def blocks(capstone: Capstone, text: str) -> None:
    """The first layer's own queries, keys and values, at growing lengths, through the student's `flash_attention`."""
    exercise, llama_block = capstone.exercise("flash_attention"), capstone.exercise("llama_block")
    shape, block = shape_of(capstone.original), capstone.twin.layers[0]
    bills, apart = {}, 0.0
    table = columns("tokens", "ms at once", "ms in blocks", "MB at once", "MB in blocks")
    ids = capstone.ids(text)[0]
    for length in LENGTHS:
        repeated = ids.repeat(length // len(ids) + 1)[None, :length]  # [1, T]
        x = block.input_layernorm(capstone.twin.embed_tokens(repeated))  # [1, T, C]
        head_dim = block.self_attn.q_proj.weight.shape[0] // shape["num_heads"]  # D
        query, key, value = (
            project(x).unflatten(-1, (-1, head_dim)).transpose(1, 2)  # [1, H, T, D], or H_kv for H
            for project in (block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj)
        )
        query, key = (llama_block.rotate(each, torch.arange(length), shape["base"]) for each in (query, key))
        group = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
        in_blocks = partial(exercise.flash_attention, query, key, value, BLOCK, causal=True)
        at_once = partial(plain_attention, query, key, value)
        with standing_on("flash_attention"):
            output, _ = in_blocks()
            apart = max(apart, (output - at_once()).abs().max().item())
            if not apart < CLOSE:
                how_far = f"at {length} tokens its output is {apart:.2g} from the formula's."
                raise place_to_look("flash_attention", how_far)
            bills[length] = measured(at_once), measured(in_blocks)
        times = [f"{1000 * bill.seconds:.3g}" for bill in bills[length]]
        table.add_row(str(length), *times, *(f"{bill.memory / 1e6:.3g}" for bill in bills[length]))
    capstone.console.print(table)
    capstone.say(f"The outputs are the same: {apart:.1e} apart at most.")
    picture = capstone.pictures / "capstone-attention.png"
    loss_curve.save(attention_bill.draw(bills, BLOCK), picture)
    capstone.say(f"The picture is {picture}.")
