"""A voice on disk: `adapter_config.json` and `adapter_model.safetensors` as `peft` writes them, and `voice.json` beside them.

It is laid over a model by adding `scale * B @ A` to each weight (Hu et al., 2021), so writing needs neither `peft` nor time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.weights import ModelError

__all__ = ["DEFAULT_VOICE", "NO_VOICE", "Voice", "read_voice"]

NO_VOICE: Final = "none"
DEFAULT_VOICE: Final = Path(__file__).parent / "en"
WEIGHTS: Final = "adapter_model.safetensors"
PREFIX: Final = "base_model.model."


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What was learnt, and from which words."""

    folder: Path
    name: str  # of the folder and of the content, for example `en-3fa9c1`
    prompts: str  # version of the prompts that it was trained on
    words: frozenset[str]  # of the approved copy: all of them may be used
    scale: float  # alpha / rank

    def lay_over(self, model: Any) -> None:
        """Add the adapter to the weights of `model`. ModelError where it was trained on another model."""
        import torch
        from safetensors.torch import load_file

        weights = load_file(str(self.folder / WEIGHTS))
        held = dict(model.named_parameters())
        with torch.no_grad():
            for name, a in weights.items():
                if ".lora_A." not in name:
                    continue
                target = held.get(name.removeprefix(PREFIX).replace(".lora_A.weight", ".weight"))
                b = weights[name.replace(".lora_A.", ".lora_B.")]  # (out, r)
                if target is None or target.shape != (b.shape[0], a.shape[1]):
                    raise ModelError(f"the voice {self.folder} was trained on another model: set HEADRACE_VOICE to none")
                target += (self.scale * (b.float() @ a.float())).to(target.dtype)  # (out, r) @ (r, in)


def read_voice(folder: Path) -> Voice:
    """The voice of a folder; its weights are read when a model is loaded. ModelError where the folder holds none."""
    try:
        told = json.loads((folder / "voice.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        digest = hashlib.blake2b((folder / WEIGHTS).read_bytes(), digest_size=3).hexdigest()
        return Voice(
            folder=folder,
            name=f"{told['name']}-{digest}",
            prompts=str(told["prompts"]),
            words=frozenset(told["words"]),
            scale=float(config["lora_alpha"]) / float(config["r"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"no voice in {folder}: {type(error).__name__}: name a folder made by `headrace voice train` in HEADRACE_VOICE, or none"
        ) from error
