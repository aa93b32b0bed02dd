"""Text from an OpenAI-compatible endpoint: `openai:<base url>`, for example openai:http://127.0.0.1:8080/v1#qwen2.5."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urldefrag, urlsplit
from urllib.request import Request, urlopen

from models.generator import STOPS, Sample, Usage
from models.voice.adapter import Voice
from models.weights import ModelError
from schemas.errors import TransientError

__all__ = ["OpenAIGenerator"]

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
BUSY: Final = (408, 409, 425, 429)


class OpenAIGenerator:
    """Chat completions of an endpoint. What stands behind `#` is the model; without one the endpoint's first is used."""

    def __init__(self, url: str, *, key: str = "", timeout_s: float = 30.0) -> None:
        self.url, self.model = urldefrag(url)
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise ModelError(
                f"openai:{url} is no endpoint: give an http(s) address, for example openai:http://127.0.0.1:8080/v1#model"
            )
        self.url, self.key, self.timeout_s = self.url.rstrip("/"), key, timeout_s
        self.usage = Usage()
        self.voice: Voice | None = None  # an endpoint speaks as it does

    @property
    def name(self) -> str:
        """For messages: the host and the model, never the key."""
        return f"openai:{urlsplit(self.url).hostname}#{self.model or 'default'}"

    def load(self) -> None:
        """Ask for the endpoint's models, which also shows that it answers and knows the key."""
        models = self._ask("/models").get("data") or []
        if not self.model:
            if not models or not isinstance(models[0], dict) or not models[0].get("id"):
                raise ModelError(f"{self.url} lists no model: name one behind #, for example openai:{self.url}#model")
            self.model = str(models[0]["id"])

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
        """`samples` answers to each prompt. An endpoint that ignores `n` is asked again; none can be held to `words`."""
        if not self.model:
            self.load()
        started = time.perf_counter()
        done = []
        for prompt in prompts:
            got: list[Sample] = []
            while len(got) < samples:
                got += self._complete(prompt, samples - len(got), max_tokens, seed + len(got), temperature, stops)
            done.append(got[:samples])
        self.usage.calls += 1
        self.usage.tokens += sum(sample.tokens for some in done for sample in some)
        self.usage.seconds += time.perf_counter() - started
        return done

    def _complete(
        self, prompt: str, n: int, max_tokens: int, seed: int, temperature: float, stops: Sequence[str]
    ) -> list[Sample]:
        asked = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "n": n,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stop": list(stops)[:4],
            "logprobs": True,
        }
        choices = self._ask("/chat/completions", asked).get("choices")
        if not isinstance(choices, list) or not choices:
            raise TransientError(f"{self.url} answered without choices")
        return [sample_of(choice) for choice in choices]

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        request = Request(self.url + path, data=json.dumps(body).encode() if body else None, headers=headers)  # noqa: S310  # http(s), checked
        try:
            with urlopen(request, timeout=self.timeout_s) as answer:  # noqa: S310
                told = json.loads(answer.read(MAX_ANSWER_BYTES))
        except HTTPError as error:
            error.close()
            if error.code in BUSY or error.code >= 500:
                raise TransientError(f"{self.url}{path} answered {error.code}") from error
            raise ModelError(
                f"{self.url}{path} answered {error.code}: check the address, the model and HEADRACE_GENERATOR_KEY"
            ) from error
        except (URLError, OSError) as error:
            raise TransientError(f"{self.url} does not answer: {getattr(error, 'reason', error)}") from error
        except ValueError as error:
            raise TransientError(f"{self.url}{path} did not answer in JSON") from error
        if not isinstance(told, dict):
            raise TransientError(f"{self.url}{path} answered with {type(told).__name__}, expected an object")
        return told


def sample_of(choice: Any) -> Sample:
    """A choice of the answer. TransientError where it has no text."""
    try:
        text = choice["message"]["content"] or ""
        told = (choice.get("logprobs") or {}).get("content") or []
        logs = [float(token["logprob"]) for token in told]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TransientError(f"a choice without message.content: {type(error).__name__}") from error
    if not isinstance(text, str):
        raise TransientError(f"message.content is {type(text).__name__}, expected text")
    return Sample(text, sum(logs) / len(logs) if logs else None, len(logs) or max(len(text) // 4, 1))
