"""Training a voice: LoRA (Hu et al., 2021) on the pieces of a shop's approved copy, with early stopping on products held out.

The same corpus, seed and machine give the same adapter; another machine adds in another order, and differs in the last digits.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from models.copy.lexicon import words_of
from models.copy.pieces import ask, version
from models.generator import Generator
from models.voice.adapter import WEIGHTS
from models.voice.corpus import CorpusError, Example, Piece, pieces_of, split

__all__ = ["Plan", "Round", "Trained", "train"]

TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
IGNORED: Final = -100  # a label that counts for nothing
CHUNK: Final = 8  # batches that are sorted by length together: less padding, still mixed
LEAST_PIECES: Final = 20
END: Final = "\n"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to train. The defaults are those of the voice that ships."""

    rank: int = 8
    rate: float = 8e-4  # of AdamW, warmed up over ten steps and falling to a tenth
    rounds: int = 2  # passes over the corpus at most
    patience: int = 1  # passes without a better held-out loss before it ends
    batch: int = 16
    dropout: float = 0.05
    held_out: float = 0.1  # share of products
    seed: int = 1
    threads: int = 1


class Round(NamedTuple):
    """One pass. Losses are nats a token of the pieces."""

    number: int  # 0: before training
    train_loss: float
    held_loss: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of it."""

    folder: Path
    rounds: list[Round]
    best: int
    pieces: int
    held_pieces: int

    @property
    def before(self) -> float:
        return self.rounds[0].held_loss

    @property
    def after(self) -> float:
        return self.rounds[self.best].held_loss


def train(
    examples: Sequence[Example], generator: Generator, *, out: Path, name: str, plan: Plan, tell: Callable[[str], None] = print
) -> Trained:
    """Train a voice on `examples` for the model of `generator` and write it to `out`. CorpusError where there is too little."""
    pieces = pieces_of(examples)
    if len(pieces) < LEAST_PIECES or len({piece.about for piece in pieces}) < 4:
        raise CorpusError(
            f"{len(pieces)} pieces about {len({piece.about for piece in pieces})} products are too few to learn from: "
            f"give {LEAST_PIECES} or more, about 4 products or more"
        )
    import torch
    from peft import LoraConfig, get_peft_model

    learnt, held = split(pieces, held_out=plan.held_out, seed=plan.seed)
    generator.load()
    tokenizer, base = generator.parts()
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    config = LoraConfig(
        r=plan.rank,
        lora_alpha=2 * plan.rank,
        target_modules=list(TARGETS),
        layers_to_transform=list(range(base.config.num_hidden_layers // 3, base.config.num_hidden_layers)),  # style sits high up
        lora_dropout=plan.dropout,
        task_type="CAUSAL_LM",
    )
    model: Any = get_peft_model(base, config)
    rows, held_rows = ([encoded(tokenizer, piece) for piece in some] for some in (learnt, held))
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=plan.rate, weight_decay=0.0)
    dice, started = random.Random(plan.seed), time.perf_counter()
    steps, step = plan.rounds * math.ceil(len(rows) / plan.batch), 0
    rounds = [Round(0, math.nan, evaluate(model, held_rows, plan.batch), 0.0)]
    best = 0
    tell(f"{len(learnt)} pieces to learn from, {len(held)} held out; loss before: {rounds[0].held_loss:.3f} nats a token")
    for number in range(1, plan.rounds + 1):
        total, count = 0.0, 0
        model.train()
        for done, batch in enumerate(batches(rows, plan.batch, dice)):
            loss, n = loss_of(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * min(1.0, (step + 1) / 10) * (1.0 - 0.9 * step / steps)
            optimiser.step()
            optimiser.zero_grad()
            step, total, count = step + 1, total + float(loss.detach()) * n, count + n
            if done % 20 == 19:
                tell(f"  pass {number}, {step}/{steps} steps, loss {total / count:.3f}, {time.perf_counter() - started:.0f} s")
        rounds.append(Round(number, total / count, evaluate(model, held_rows, plan.batch), time.perf_counter() - started))
        tell(f"pass {number}: loss {rounds[-1].train_loss:.3f}, held out {rounds[-1].held_loss:.3f}")
        if rounds[-1].held_loss < rounds[best].held_loss:
            best = number
            save(model, out, name=name, examples=examples, trained_on=generator.name)
        elif number - best >= plan.patience:
            tell(f"no better than pass {best}: that one is kept")
            break
    if not best:
        raise CorpusError(
            "the voice got no better than the model without it: the copy is too little or too mixed; nothing written"
        )
    return Trained(folder=out, rounds=rounds, best=best, pieces=len(learnt), held_pieces=len(held))


class Row(NamedTuple):
    """One piece as tokens: what is asked, and what is to be learnt."""

    asked: list[int]
    answer: list[int]


def encoded(tokenizer: Any, piece: Piece) -> Row:
    asked = ask(piece.about, piece.task, language="en", voiced=True)
    return Row(list(tokenizer(asked).input_ids), list(tokenizer(f" {piece.text}{END}", add_special_tokens=False).input_ids))


def batches(rows: Sequence[Row], size: int, dice: random.Random) -> list[list[Row]]:
    """The rows in mixed order, those of like length together."""
    mixed = list(rows)
    dice.shuffle(mixed)
    found: list[list[Row]] = []
    for start in range(0, len(mixed), size * CHUNK):
        some = sorted(mixed[start : start + size * CHUNK], key=lambda row: len(row.asked) + len(row.answer))
        found += [some[i : i + size] for i in range(0, len(some), size)]
    dice.shuffle(found)
    return found


def loss_of(model: Any, batch: Sequence[Row]) -> tuple[Any, int]:
    """(mean loss over the tokens to be learnt, how many they are)."""
    import torch

    width = max(len(row.asked) + len(row.answer) for row in batch)
    device = model.device
    ids = torch.zeros((len(batch), width), dtype=torch.long, device=device)  # (n, t)
    labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
    for i, row in enumerate(batch):
        t = len(row.asked) + len(row.answer)
        ids[i, :t] = torch.tensor([*row.asked, *row.answer], device=device)
        labels[i, len(row.asked) : t] = torch.tensor(row.answer, device=device)
        mask[i, :t] = 1
    inner = model.base_model.model
    states = inner.model(input_ids=ids, attention_mask=mask).last_hidden_state  # (n, t, d)
    wanted = labels[:, 1:] != IGNORED
    logits = inner.lm_head(states[:, :-1][wanted])  # (k, v): only where something is learnt
    return torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][wanted]), int(wanted.sum())


def evaluate(model: Any, rows: Sequence[Row], size: int) -> float:
    """Mean loss over the tokens of `rows`; infinity where there are none."""
    import torch

    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(rows), size):
            loss, n = loss_of(model, rows[start : start + size])
            total, count = total + float(loss.detach()) * n, count + n
    return total / count if count else math.inf


def save(model: Any, out: Path, *, name: str, examples: Sequence[Example], trained_on: str) -> None:
    """The adapter in half precision, its configuration without paths, and the words it was taught with."""
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    weights = {
        key: value.detach().cpu().to(torch.float16).contiguous() for key, value in get_peft_model_state_dict(model).items()
    }
    save_file(weights, str(out / WEIGHTS), metadata={"format": "pt"})
    config = model.peft_config["default"].to_dict()
    kept = {key: config[key] for key in ("r", "lora_alpha", "lora_dropout", "bias", "fan_in_fan_out", "use_rslora", "use_dora")}
    kept |= {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": trained_on,
        "target_modules": sorted(TARGETS),
    }
    (out / WEIGHTS).chmod(0o644)
    (out / "adapter_config.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    words = sorted({word for piece in pieces_of(examples) for word in words_of(piece.text)})
    told = {"name": name, "prompts": version(), "examples": len(examples), "words": words}
    (out / "voice.json").write_text(json.dumps(told, indent=None, ensure_ascii=False) + "\n", encoding="utf-8")
