"""Is the copy good enough to send, is it there in time, and does it know who reads it?

    python -m benchmarks.copy [--items 60] [--samples 48] [--write]

Pool: sixty products of ten departments that the voice was not trained on, e-mail and push, two tones, two kinds of message,
for any reader and for six kinds of reader. Bars: ready in 20 minutes on two cores; at least 80 % of served messages are the
model's own. `--write` writes 40 served messages, drawn by chance and not picked, to examples/copy_samples.md for a person to
judge: how many would be sent unchanged is counted by hand and written there.

Readers: thirty pairs of opposite shoppers, made of events, and the same product. Bars: the words differ in at least 27; by
embeddings each text is nearer to a description of its own reader than to one of the other in at least 80 % of 60 checks.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.copy_shop import NOW, PAIRS, READERS, items, shopper
from models.catalog import Item
from models.copy.nouns import noun_of
from models.copy.pool import Key, Variant, choose, speakable
from models.copy.segments import SEGMENTS, segment_of
from models.copy.slots import facts, fill
from models.copy.templates import template
from models.copy.write import Ask, Report, write_variants
from models.encoder import Encoder
from models.generator import TextGenerator, generator_for

TONES = ("warm", "playful")
KINDS = ("promotional", "product_introduction")
CHANNELS = ("email", "push")
READY_S, OWN, DIFFER, NEAREST = 1200.0, 0.8, 27, 0.8
SAMPLE = Path(__file__).parent.parent / "examples" / "copy_samples.md"
Pool = dict[str, list[Variant]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--samples", type=int, default=48, help="answers to one question")
    parser.add_argument("--voice", default="", help="as HEADRACE_VOICE")
    parser.add_argument("--show", action="store_true", help="print the forty messages")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"write 40 served messages to {SAMPLE.name}")
    args = parser.parse_args()
    started = time.perf_counter()
    generator = generator_for("smollm2", voice=args.voice)
    if generator is None:
        raise SystemExit("no generator")
    generator.load()
    loaded_s = time.perf_counter() - started
    encoder = Encoder()
    shop = items(encoder)
    chosen = shop if args.items >= len(shop) else random.Random(3).sample(shop, args.items)
    pool, report, wall_s, cpu_s = warm(generator, encoder, chosen, samples=args.samples, seed=args.seed)
    print(
        f"machine: {platform.machine()}, {os.cpu_count()} cores, one thread, load {os.getloadavg()[0]:.1f}; voice {voice_of(generator)}"
    )
    print(f"generator ready {loaded_s:.1f} s after start")
    print(f"pool of {len(chosen)} products: {report.by_model} variants in {wall_s:.0f} s ({cpu_s:.0f} s of one core)")
    print(
        f"  {report.samples} samples, {report.accepted} accepted ({report.accepted / report.samples:.0%}), {report.tokens} tokens"
    )
    print(f"  refused: {dict(report.refused.most_common(8))}; templates: {dict(report.why_template)}")
    served = serve(pool, chosen, seed=args.seed)
    own = sum(variant.source == "model" for _, _, variant in served) / len(served)
    words = [share_of_words(variant) for _, _, variant in served if variant.source == "model"]
    print(f"served: {own:.1%} of {len(served)} messages are the model's own; its words are {np.mean(words or [0.0]):.0%} of them")
    differ, nearest, checks = readers(pool, chosen, shop, encoder, seed=args.seed)
    print(f"readers: words differ in {differ} of {len(checks) // 2} pairs; the right reader is nearer in {nearest:.0%}")
    for pair, right in sorted(by_pair(checks).items()):
        print(f"  {pair}: {right}")
    if args.show:
        print(sheet(served, seed=args.seed, voice=voice_of(generator)))
    if args.write:
        SAMPLE.write_text(sheet(served, seed=args.seed, voice=voice_of(generator)), encoding="utf-8")
        print(f"written: {SAMPLE.name}")
    pairs = len(checks) // 2
    good = wall_s <= READY_S and own >= OWN and differ >= DIFFER * pairs / 30 and nearest >= NEAREST
    print("bars met, as far as a machine can tell" if good else "BARS MISSED")
    return 0 if good else 1


def warm(
    generator: TextGenerator, encoder: Encoder, shop: Sequence[Item], *, samples: int, seed: int
) -> tuple[Pool, Report, float, float]:
    """(pool, what came of it, seconds by the clock, seconds of processor)."""
    asks = [
        Ask(
            key=Key(kind=kind, channel=channel, tone=tone, language="en", about=item.category, audience=reader),
            noun=noun_of(item.category),
        )
        for item in shop
        for kind in KINDS
        for channel in CHANNELS
        for tone in TONES
        for reader in SEGMENTS
    ]
    clock, cpu = time.perf_counter(), time.process_time()
    written = write_variants(generator, encoder, asks, seed=seed, keep=3, samples=samples, budget_s=10 * READY_S)
    pool = {str(key): variants for key, variants in written.variants.items()}
    return pool, written.report, time.perf_counter() - clock, time.process_time() - cpu


def pick(
    pool: Mapping[str, Sequence[Variant]],
    item: Item,
    reader: str,
    *,
    kind: str,
    channel: str,
    tone: str,
    rng: np.random.Generator,
) -> Variant:
    """What a shopper gets: a variant for such readers, else for any, else the template; as the content stage chooses."""
    for audience in dict.fromkeys((reader, "any")):
        key = Key(kind=kind, channel=channel, tone=tone, language="en", about=item.category, audience=audience)
        own = [variant for variant in pool.get(str(key), ()) if variant.source == "model"]
        if fitting := speakable(own, set(facts(item, locale="en-US"))):
            return choose(fitting, rng)
    return template(Key(kind=kind, channel=channel, tone=tone, language="en"))


def serve(pool: Pool, shop: Sequence[Item], *, seed: int) -> list[tuple[Item, str, Variant]]:
    """A message for every product, channel and tone, to readers of every kind in turn."""
    rng, dice = np.random.default_rng(seed), random.Random(seed)
    return [
        (item, reader, pick(pool, item, reader, kind=dice.choice(KINDS), channel=channel, tone=tone, rng=rng))
        for item in shop
        for channel in CHANNELS
        for tone in TONES
        for reader in (dice.choice(SEGMENTS),)
    ]


def said(variant: Variant, item: Item) -> dict[str, str]:
    """The parts with today's facts in them."""
    values = facts(item, locale="en-US")
    return {part: fill(text, values) for part, text in variant.parts.items()}


def share_of_words(variant: Variant) -> float:
    """Words of the model, of all words that are not the button's."""
    whole = sum(len(text.split()) for part, text in variant.parts.items() if part != "cta")
    return sum(len(piece.split()) for piece in variant.pieces) / whole


def readers(
    pool: Pool, shop: Sequence[Item], everything: Sequence[Item], encoder: Encoder, *, seed: int
) -> tuple[int, float, list[tuple[str, str, bool]]]:
    """(pairs whose words differ, share of texts nearer to their own reader, every check)."""
    differ, checks = 0, []
    described = dict(zip(READERS, encoder.encode(list(READERS.values())), strict=True))
    for n in range(30):
        item, pair = shop[(n * 2) % len(shop)], PAIRS[n % len(PAIRS)]
        texts = []
        for kind in pair:
            segment = segment_of(shopper(kind, item, [one for one in everything if one is not item]), item, now=NOW)
            if segment != kind:
                raise SystemExit(f"a shopper made as {kind} was taken for {segment}")
            variant = pick(
                pool,
                item,
                segment,
                kind=KINDS[n % 2],
                channel=CHANNELS[n % 2],
                tone=TONES[(n // 2) % 2],
                rng=np.random.default_rng(seed + n),
            )
            texts.append(" ".join(text for part, text in said(variant, item).items() if part != "cta"))
        differ += texts[0] != texts[1]
        for text, own, other in zip(texts, pair, reversed(pair), strict=True):
            (vector,) = encoder.encode([text])
            checks.append((own, other, bool(vector @ described[own] > vector @ described[other])))
    return differ, sum(right for _, _, right in checks) / len(checks), checks


def by_pair(checks: Sequence[tuple[str, str, bool]]) -> dict[str, str]:
    """Right of all, by reader and opposite."""
    total, right = Counter((a, b) for a, b, _ in checks), Counter((a, b) for a, b, ok in checks if ok)
    return {f"{a} rather than {b}": f"{right[a, b]}/{n}" for (a, b), n in total.items()}


def sheet(served: Sequence[tuple[Item, str, Variant]], *, seed: int, voice: str) -> str:
    """Forty of them, by chance."""
    chosen = random.Random(seed).sample(list(served), min(40, len(served)))
    lines = [
        "# Forty messages, drawn by chance and not picked",
        "",
        f"Written by `python -m benchmarks.copy --write` with the voice {voice}, about products that the voice was not trained on.",
        "What stands in *italics* is the model's own; the rest is a hand-written frame, and every fact comes from the catalogue.",
        "",
    ]
    for n, (item, reader, variant) in enumerate(chosen, 1):
        parts, own = said(variant, item), variant.pieces
        shown = {part: italic(text, own) for part, text in parts.items()}
        head = shown.get("subject") or shown["title"]
        lines += [f"{n}. **{item.category}**, {variant.key.channel}, {variant.key.tone}, reader: {reader}, by {variant.source}  "]
        lines += [
            f"   {head}{' — ' + shown['preheader'] if 'preheader' in shown else ''}  ",
            f"   {shown['body']} [{parts['cta']}]",
            "",
        ]
    return "\n".join(lines)


def italic(text: str, own: Sequence[str]) -> str:
    for piece in own:
        text = text.replace(piece, f"*{piece}*", 1)
    return text


def voice_of(generator: TextGenerator) -> str:
    return generator.voice.name if generator.voice else "none"


if __name__ == "__main__":
    sys.exit(main())
