"""The capstone, `make capstone`: a real model, SmolLM2-135M-Instruct, runs in the student's own code.

Every step says which exercises it stands on. Where one of them is wrong, the step says so, and the steps that do not
need it go on.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.text import Text
from torch import Tensor

from autograder.course import find_course
from projects.cached_llama import CachedLlama, until, write
from projects.capstone_checks import check_cache, check_decoding, check_memory, check_tokenization, quantize
from projects.capstone_speed import blocks, speculative
from projects.chat import TEMPERATURE, TOP_P, Chat, chooser
from projects.modules import NotReady, add_folder_option, load_exercises, place_to_look, standing_on
from projects.printed import columns, visible, visible_line
from projects.sentences import ProjectError, run
from projects.smollm2 import model_folder
from projects.twins import FAR, compare_parts, count_weights, load_original, make_twin, shape_of

FACTS = "The capital of France is Paris. The capital of Italy is"
STORY = (
    "A lighthouse is a tower with a lamp at its top. At night its light tells sailors where the coast is, and from the "
    "rhythm of the flashes they know which lighthouse they see. Before there was electricity, a keeper climbed the "
    "stairs every evening, filled the lamp with oil and lit it. Today most of them work by themselves."
)
OPENING = "The old lighthouse keeper looked out at the sea and"
PICTURES = find_course().root / "pictures"
QUESTIONS = ("What is the capital of France?", "What can I see there?")


@dataclass
class Capstone:
    """What the steps share.

    Attributes:
        folder: where the exercises are.
        original: the model as the transformers library runs it, in float32.
        tokenizer: its tokenizer.
        console: where the steps print.
        twin: the student's MiniLlama with the same weights, made by the first step.
        pictures: the folder for what is drawn.
        failed: the names of the steps that did not go well.
    """

    folder: Path
    original: Any
    tokenizer: Any
    console: Console
    twin: Any = None
    pictures: Path = PICTURES
    failed: set[str] = field(default_factory=set)

    def exercise(self, name: str) -> ModuleType:
        """The student's module, finished."""
        return load_exercises(self.folder, [name])[0]

    def ids(self, text: str) -> Tensor:
        """The text's tokens, `[1, T]`."""
        ids: Tensor = self.tokenizer(text, return_tensors="pt").input_ids
        return ids

    def cached(self, model: Any = None) -> CachedLlama:
        """The twin, or a part of it, with empty caches."""
        shape = shape_of(self.original)
        llama_block, kv_cache = self.exercise("llama_block"), self.exercise("kv_cache")
        return CachedLlama(model or self.twin, shape["num_heads"], shape["base"], llama_block.rotate, kv_cache.KVCache)

    def chat(self) -> Chat:
        """A new conversation."""
        choose = chooser(self.exercise("decoding"), TEMPERATURE, TOP_P)
        return Chat(self.cached, self.tokenizer, self.stops(), choose)

    def stops(self) -> set[int]:
        """The tokens that end a text."""
        end = self.original.generation_config.eos_token_id
        return set(end) if isinstance(end, list) else {end}

    def say(self, text: str) -> None:
        """Prints a line as it is."""
        self.console.print(text, markup=False)


# --- The steps -------------------------------------------------------------------------------------------------------


def weights(capstone: Capstone) -> None:
    """Every weight of the file finds its place."""
    llama_block, language_model = capstone.exercise("llama_block"), capstone.exercise("language_model")
    capstone.twin = make_twin(capstone.original, llama_block, language_model)
    shape = shape_of(capstone.original)
    capstone.say(f"MiniLlama({', '.join(f'{name}={value}' for name, value in shape.items())})")
    number = len(capstone.twin.state_dict()) - shape["tie_embeddings"]
    capstone.say(f"{count_weights(capstone.twin):,} weights in {number} tensors, each in its place.")


def parts(capstone: Capstone) -> None:
    """Each part gets what its twin in transformers got, and gives what its twin gave."""
    llama_block = capstone.exercise("llama_block")
    for likeness in compare_parts(capstone.original, capstone.twin, llama_block, capstone.ids(FACTS)):
        capstone.say(f"  {likeness.part:<36} {likeness.exercise:<16} differs by {likeness.difference:.1e} at most")


@torch.no_grad()
def positions(capstone: Capstone) -> None:
    """The logits, position by position."""
    ids = capstone.ids(FACTS)
    ours, theirs = capstone.twin(ids)[0], capstone.original(ids).logits[0]  # [T, V] each
    differences = (ours - theirs).abs().amax(dim=-1).tolist()
    table = columns("after", "your MiniLlama says", "transformers says", "logits differ by")
    for position, difference in enumerate(differences):
        said = [ids[0, position], ours[position].argmax(), theirs[position].argmax()]
        table.add_row(*(Text(visible(capstone.tokenizer.decode([int(token)]))) for token in said), f"{difference:.1e}")
    capstone.console.print(table)
    largest = max(differences)
    if not largest < FAR:
        raise place_to_look("language_model", f"its logits differ by up to {largest:.2g}, though every part is right.")
    capstone.say(f"The largest difference of all {ours.numel():,} logits is {largest:.1e}: less than {FAR}.")


def tokens(capstone: Capstone) -> None:
    """The tokenizer is the one part that is not the student's own, and this step says how close it is."""
    capstone.say(
        "The tokenizer is the model's own, not yours: it learned its merges from other texts, and cuts a text into "
        "words before it merges."
    )
    merges, words = check_tokenization(capstone.exercise("tokenization"), capstone.tokenizer, FACTS)
    capstone.say(f"But your encode, given its {merges:,} merges, cuts the {words} words of “{FACTS}” as it does.")


@torch.no_grad()
def text(capstone: Capstone) -> None:
    """Written one token at a time, with the student's cache, beside transformers' generate."""
    apart = check_cache(capstone.cached(), capstone.ids(STORY)[:, :24])
    capstone.say(f"A text in five pieces, with your KVCache, gives the logits of the whole: {apart:.1e} apart.")
    prompt, stops = capstone.ids(OPENING), capstone.stops()

    def ours_cached(new: int) -> list[int]:
        with standing_on("kv_cache"):
            return until(stops, islice(write(capstone.cached(), prompt[0].tolist(), torch.argmax), new))

    def ours_anew(new: int) -> list[int]:
        ids = prompt
        for _ in range(new):
            ids = torch.cat([ids, capstone.twin(ids)[:, -1:].argmax(dim=-1)], dim=1)
            if int(ids[0, -1]) in stops:
                break
        return until(stops, ids[0, prompt.shape[1] :].tolist())

    def theirs(use_cache: bool, new: int) -> list[int]:
        ids = capstone.original.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=new, do_sample=False, use_cache=use_cache
        )
        return until(stops, ids[0, prompt.shape[1] :].tolist())

    ways: dict[str, Callable[[int], list[int]]] = {
        "your MiniLlama, with your KVCache": ours_cached,
        "your MiniLlama, everything anew": ours_anew,
        "transformers' generate, with its cache": partial(theirs, True),
        "transformers' generate, everything anew": partial(theirs, False),
    }
    written, table = {}, columns("", "tokens per second")
    for name, way in ways.items():
        way(2)  # the first run of anything is slower
        start = time.perf_counter()
        written[name] = way(32)
        table.add_row(name, f"{len(written[name]) / (time.perf_counter() - start):.1f}")
    ours, original = written["your MiniLlama, with your KVCache"], written["transformers' generate, with its cache"]
    capstone.say(f"{OPENING}{capstone.tokenizer.decode(ours)} ...")
    if ours != original:
        instead = capstone.tokenizer.decode(original)
        raise place_to_look("kv_cache", f"transformers' generate writes {instead!r} instead.")
    capstone.say(f"The same {len(ours)} tokens as transformers' generate writes. How fast, on this computer:")
    capstone.console.print(table)


def choice(capstone: Capstone) -> None:
    """The filters against the library's, on real logits, and what they make of a text."""
    decoding = capstone.exercise("decoding")
    with torch.no_grad():
        logits = capstone.twin(capstone.ids(OPENING))[0]  # [T, V]
    check_decoding(decoding, logits)
    capstone.say("Your apply_temperature, top_k_filter and top_p_filter give what transformers' give.")
    for temperature, top_p in ((0.5, 1.0), (0.9, 0.9), (1.5, 1.0)):
        choose = chooser(decoding, temperature, top_p)
        with standing_on("decoding"):
            ids = until(
                capstone.stops(), islice(write(capstone.cached(), capstone.ids(OPENING)[0].tolist(), choose), 25)
            )
        written = visible_line(capstone.tokenizer.decode(ids))
        capstone.say(f"  temperature {temperature}, top-p {top_p}: ...{written} ...")


def chat(capstone: Capstone) -> None:
    """A short conversation in the form that the model was taught: its chat template."""
    if not capstone.tokenizer.chat_template:
        capstone.say("This model has no chat template: it was not taught to chat, and this step is left out.")
        return
    talk = capstone.chat()
    for question in QUESTIONS:
        capstone.say(f"  You: {question}")
        with standing_on("decoding"):
            answer = "".join(talk.reply(question, limit=40))
        capstone.say(f"  It:  {visible_line(answer)}")
    settings = f"temperature {TEMPERATURE}, top-p {TOP_P}, {len(talk.read)} tokens in {len(talk.llama.caches)} caches"
    capstone.say(f"({settings}. To go on yourself: make capstone CHAT=1)")


@torch.no_grad()
def int8(capstone: Capstone) -> None:
    """Each weight in a byte: how much smaller, and how much worse."""
    quantization, language_model = capstone.exercise("quantization"), capstone.exercise("language_model")
    ids = capstone.ids(STORY)
    full = capstone.twin(ids)
    with standing_on("language_model"):
        loss = float(language_model.next_token_loss(full, ids))
    theirs = float(capstone.original(ids, labels=ids).loss)
    if not math.isclose(loss, theirs, rel_tol=1e-4):
        raise place_to_look("language_model", f"your next_token_loss is {loss:.5f}, and transformers' is {theirs:.5f}.")
    size = check_memory(quantization, capstone.twin, "float32")
    table = columns("the weights", "MB", "loss", "logits move", "same choice")
    table.add_row("float32", f"{size / 1e6:.3g}", f"{loss:.4f}", "", "")
    originals = {name: weight.clone() for name, weight in capstone.twin.named_parameters()}
    for per_row, name in ((False, "int8, one scale"), (True, "int8, one for each row")):
        size = sum(
            quantize(quantization, key, weight, per_row) if weight.dim() == 2 else weight.nbytes
            for key, weight in capstone.twin.named_parameters()
        )
        logits = capstone.twin(ids)
        after = float(language_model.next_token_loss(logits, ids))
        same = (logits.argmax(-1) == full.argmax(-1)).float().mean().item()
        moved = (logits - full).abs().mean().item()
        table.add_row(name, f"{size / 1e6:.3g}", f"{after:.4f} ({after - loss:+.4f})", f"{moved:.3f}", f"{same:.0%}")
        for key, weight in capstone.twin.named_parameters():
            weight.copy_(originals[key])
    capstone.console.print(table)


# --- The command -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A step of the capstone.

    Attributes:
        title: what is done.
        exercises: what it stands on.
        take: does it.
        needs: the steps without which it makes no sense.
    """

    title: str
    exercises: str
    take: Callable[[Capstone], None]
    needs: tuple[str, ...] = ()


STEPS = {
    "weights": Step("The weights of the file in your own MiniLlama", "llama_block, language_model", weights),
    "parts": Step("Part by part beside transformers", "llama_block, language_model", parts, ("weights",)),
    "positions": Step("The logits, position by position", "language_model", positions, ("parts",)),
    "tokens": Step("From text to tokens", "tokenization", tokens),
    "text": Step("It writes", "kv_cache", text, ("positions",)),
    "choice": Step("It chooses", "decoding", choice, ("text",)),
    "chat": Step("It chats", "kv_cache, decoding", chat, ("choice",)),
    "int8": Step("It shrinks", "quantization", int8, ("positions",)),
    "blocks": Step("Attention in blocks", "flash_attention", lambda capstone: blocks(capstone, STORY), ("positions",)),
    "speculative": Step(
        "It writes ahead", "speculative_decoding", lambda capstone: speculative(capstone, OPENING), ("text",)
    ),
}


def take_steps(capstone: Capstone) -> None:
    """Takes all steps that can be taken.

    Raises:
        ProjectError: one did not go well.
    """
    for number, (name, step) in enumerate(STEPS.items(), 1):
        capstone.console.print(f"\n[bold]{number}. {step.title}[/]  [dim]stands on {step.exercises}[/]")
        if missing := [STEPS[need].title for need in step.needs if need in capstone.failed]:
            capstone.say(f"Left out, for it needs “{missing[0]}”.")
            capstone.failed.add(name)
            continue
        try:
            step.take(capstone)
        except NotReady as error:
            capstone.say(str(error))
            capstone.failed.add(name)
    if capstone.failed:
        done = len(STEPS) - len(capstone.failed)
        raise ProjectError(f"\n{done} of {len(STEPS)} steps went well. What the others need is said above.")
    capstone.say("\nA real model runs on what you have written.")


def converse(capstone: Capstone) -> None:
    """Chats with whoever sits at the keyboard, until an empty line."""
    weights(capstone)
    if not capstone.tokenizer.chat_template:
        raise ProjectError("This model has no chat template: it was not taught to chat.")
    talk = capstone.chat()
    capstone.say("\nAsk it something. An empty line ends the conversation.")
    while question := _ask():
        for piece in talk.reply(question):
            capstone.console.print(piece, end="", markup=False)
        capstone.say("")


def _ask() -> str:
    try:
        return input("\nYou: ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the capstone and returns the exit status."""
    parser = argparse.ArgumentParser(prog="capstone", description="A real model in your own code.")
    add_folder_option(parser)
    parser.add_argument("--model", type=Path, metavar="DIR", help="another Llama checkpoint")
    parser.add_argument("--pictures", type=Path, metavar="DIR", default=PICTURES, help="pictures/")
    parser.add_argument("--chat", action="store_true", help="talk to it")
    options = parser.parse_args(arguments)

    def work(console: Console) -> None:
        model = options.model or model_folder()
        if model is None:
            raise ProjectError("The real model is not here yet. To fetch it: make model")
        console.print(f"The model: {model}\nYour exercises: {options.folder}", markup=False)
        original, tokenizer = load_original(model)
        capstone = Capstone(options.folder, original, tokenizer, console, pictures=options.pictures)
        (converse if options.chat else take_steps)(capstone)

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
