"""What the tour inside a real model needs in order to run, as a notebook or as a script."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from autograder.course import find_course
from projects.modules import NotReady, add_folder_option, load_exercises
from projects.sentences import ProjectError
from projects.smollm2 import model_folder

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure


THEMES = ("words", "inside", "choosing", "costs", "truth")  # modules of this package, in the order of the tour


@dataclass(frozen=True)
class Tour:
    """Where everything is.

    Attributes:
        folder: the exercises.
        pictures: where a script saves its pictures; None in a notebook, which shows them.
        model: the real model, loaded by the student's own `load_model`.
        tokenizer: its tokenizer.
    """

    folder: Path
    pictures: Path | None
    model: Any
    tokenizer: Any

    def ids_of(self, text: str) -> torch.Tensor:
        """The text's tokens, `[1, T]`, where the model is."""
        ids: torch.Tensor = self.tokenizer(text, return_tensors="pt").input_ids.to(self.model.device)
        return ids

    def names(self, ids: torch.Tensor) -> list[str]:
        """The texts of tokens."""
        return [self.tokenizer.decode([token]) for token in ids.flatten().tolist()]

    def exercise(self, name: str) -> ModuleType:
        """An exercise of the student's, finished."""
        return load_exercises(self.folder, [name])[0]

    def show(self, figure: Figure, name: str) -> None:
        """Shows a picture in a notebook; saves it as `tour-NAME.png` otherwise."""
        import matplotlib.pyplot as plt

        if self.pictures is None:
            plt.show()
            return
        self.pictures.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.pictures / f"tour-{name}.png", dpi=120, bbox_inches="tight")
        plt.close(figure)
        print(f"Saved the picture as {self.pictures.name}/tour-{name}.png.")


def start(folder: str | Path | None = None, model: str | Path | None = None) -> Tour:
    """Finds the exercises and the model, and makes errors end in sentences.

    Args:
        folder: of the exercises; `exercises/`, or what `--from` says.
        model: the folder of a model; the one that `make model` fetched, or what `--model` says.

    Raises:
        ProjectError: there is no model yet.
    """
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()  # type: ignore[no-untyped-call]
    set_verbosity_error()  # type: ignore[no-untyped-call]
    notebook = "ipykernel" in sys.modules
    _end_in_sentences(notebook)
    options = _options([] if notebook else sys.argv[1:])
    chosen = Path(model) if model else options.model or model_folder()
    if chosen is None:
        raise ProjectError("The real model is not here yet. To fetch it: make model")
    if not notebook:
        import matplotlib

        matplotlib.use("Agg")
    model_and_tokenizer = _loaded(Path(folder or options.folder), chosen)
    return Tour(Path(folder or options.folder), None if notebook else options.pictures, *model_and_tokenizer)


def themes() -> list[str]:
    """The themes that the command line asks for; all of them for none."""
    return _options(sys.argv[1:]).themes or [*THEMES]


@cache
def _loaded(folder: Path, path: Path) -> tuple[Any, Any]:
    """The model and its tokenizer, once for all themes."""
    model, tokenizer = load_exercises(folder, ["pretrained_model"])[0].load_model(str(path))
    model.set_attn_implementation("eager")  # the plain formula, which can show its attention weights
    weights = sum(weight.numel() for weight in model.parameters())
    print(f"{weights:,} weights in {model.config.num_hidden_layers} layers.")
    return model, tokenizer


def share(number: float) -> str:
    """A share as people write it."""
    return f"{number:.1%}" if number < 0.1 else f"{number:.0%}"


def continue_text(
    model: Any, tokenizer: Any, prompt: str, new: int, choose: Callable[[torch.Tensor], int | torch.Tensor]
) -> str:
    """What a model of transformers writes after a prompt, its own cache in use.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompt: the text so far.
        new: at most how many tokens.
        choose: takes the logits `[V]` of the next token and returns its id.
    """
    import torch

    fed = tokenizer(prompt, return_tensors="pt").input_ids.to(model.device)
    cache, ids = None, []
    with torch.no_grad():
        for _ in range(new):
            said = model(fed, use_cache=True, cache=cache)
            cache, token = said.cache, int(choose(said.logits[0, -1].float().cpu()))
            if token == tokenizer.eos_token_id:
                break
            ids.append(token)
            fed = torch.tensor([[token]], device=model.device)
    return str(tokenizer.decode(ids))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tour", description="Inside a real model, a picture at every step.")
    add_folder_option(parser)
    parser.add_argument("themes", nargs="*", choices=[[], *THEMES], help=f"{', '.join(THEMES)} (all)")
    parser.add_argument("--model", type=Path, metavar="DIR", help="another Llama checkpoint")
    parser.add_argument("--pictures", type=Path, metavar="DIR", default=find_course().root / "pictures")
    return parser.parse_args(arguments)


def _end_in_sentences(notebook: bool) -> None:
    """An error that is meant for people is its sentence, without a traceback."""
    if notebook:
        from IPython import get_ipython

        def show(shell: Any, kind: type[BaseException], error: BaseException, *_: Any, **__: Any) -> None:
            print(error)

        get_ipython().set_custom_exc((NotReady, ProjectError), show)
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, NotReady | ProjectError):
            print(error, file=sys.stderr)
        elif isinstance(error, KeyboardInterrupt):
            print("Stopped.", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook
