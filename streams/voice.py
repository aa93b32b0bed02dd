"""`headrace voice train`: the model learns how a shop speaks, from copy that the shop approved."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from models.generator import Generator, generator_for
from models.voice.adapter import read_voice
from models.voice.corpus import load, pieces_of, split
from models.voice.sheet import ask_both, markdown
from models.voice.train import Plan, train
from schemas.errors import SettingsError
from streams.settings import Settings

__all__ = ["run_voice"]


def run_voice(args: argparse.Namespace, settings: Settings) -> int:
    """Train, write the adapter to `--out`, and beside it `sheet.md`: what the model says before and after."""
    base = generator_for(settings.generator, cache_dir=settings.cache_dir, voice="none", threads=args.threads)
    if not isinstance(base, Generator):
        raise SettingsError(
            [f"HEADRACE_GENERATOR is {settings.generator!r}: a voice is trained on a local model, such as smollm2"]
        )
    examples, out = load(args.file), Path(args.out)
    plan = Plan(seed=args.seed, rounds=args.rounds, threads=args.threads)
    say(f"{len(examples)} examples from {args.file.name}")
    done = train(examples, base, out=out, name=out.name, plan=plan, tell=say)
    _, held = split(pieces_of(examples), held_out=plan.held_out, seed=plan.seed)
    say("asking the same questions with and without the voice")
    plain = Generator(settings.generator, cache_dir=settings.cache_dir, threads=args.threads)
    voiced = Generator(settings.generator, cache_dir=settings.cache_dir, threads=args.threads, voice=read_voice(out))
    before, after = ask_both(plain, voiced, examples, held, seed=plan.seed)
    loss = f"Held-out loss: {done.before:.3f} nats a token before, {done.after:.3f} after {done.best} passes."
    (out / "sheet.md").write_text(f"# What the voice changed\n\n{loss}\n{markdown(before, after)}", encoding="utf-8")
    size_mb = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    say(loss)
    say(f"answers that hold their form: {before.acceptance:.0%} before, {after.acceptance:.0%} after")
    say(f"written to {out} ({size_mb:.1f} MB); use it with HEADRACE_VOICE={os.fspath(out)}")
    return 0


def say(text: str) -> None:
    print(text, flush=True)
