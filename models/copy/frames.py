"""Hand-written frames: whole messages with a few blanks, each for one small piece that a model writes.

>>> blanks("For [moment], and for [doing].")
['moment', 'doing']
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import yaml

from models.copy.pool import CHANNELS, KINDS, TONES, Key
from models.copy.templates import frame as template_frame
from schemas.errors import PipelineError

__all__ = ["BLANK", "BLANKS", "blanks", "choices", "filled", "languages", "version"]

HERE: Final = Path(__file__).parent
BLANKS: Final = ("moment", "doing", "scene")
READER_OF: Final = {"win_back": "lapsed", "welcome": "new"}  # occasions that say who reads
BLANK: Final = re.compile(r"\[(moment|doing|scene)\]")


def languages() -> list[str]:
    """Languages that have frames."""
    return sorted(path.name.split(".")[1] for path in HERE.glob("frames.*.yaml"))


@lru_cache(maxsize=4)
def book(language: str) -> dict[str, dict[str, dict[str, list[str]]]]:
    """part -> kind, occasion or segment -> tone -> texts, of one language."""
    path = HERE / f"frames.{language}.yaml"
    if not path.exists():
        raise PipelineError(f"no frames in language {language!r}: expected {path.name}")
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    loaded.pop("version")
    return dict(loaded)


@lru_cache(maxsize=4)
def version(language: str) -> str:
    """Name of the frames of one language, for example `frames-2`."""
    return str(yaml.safe_load((HERE / f"frames.{language}.yaml").read_text(encoding="utf-8"))["version"])


def blanks(text: str) -> list[str]:
    """The blanks of `text`, in order."""
    return BLANK.findall(text)


def filled(text: str, pieces: Mapping[str, str]) -> str:
    """`text` with each blank replaced by its piece. A piece is put in once and never read again."""
    return BLANK.sub(lambda found: pieces[found[1]], text)


def choices(key: Key) -> dict[str, Sequence[str]]:
    """part -> the texts that may stand there for `key`; the body comes as `hook` and `facts`.

    An occasion (a cart, a saving) decides subject, preheader and facts; where there is none, who reads decides the subject.
    """
    if key.kind not in KINDS or key.channel not in CHANNELS or key.tone not in TONES:
        raise PipelineError(f"no frames for {key}: kinds {KINDS}, channels {CHANNELS}, tones {TONES}")
    told, tone = book(key.language), key.tone
    what = key.segment if key.segment in told["facts"] else key.kind
    reader = READER_OF.get(key.segment, key.audience)
    readers = told["subject_for"].get(reader)
    subject = readers[tone] if readers and what == key.kind else told["subject"][what][tone]
    _, by_hand = template_frame(key)
    parts: dict[str, Sequence[str]] = {
        "hook": told["hook"].get(reader, told["hook"]["any"])[tone],
        "facts": told["facts"][what][tone],
        "cta": [by_hand["cta"]],
    }
    if key.channel == "push":
        return {"title": subject, **parts}
    headline = told["headline"].get(reader, told["headline"]["any"])[tone] if what == key.kind else [by_hand["headline"]]
    return {"subject": subject, "preheader": told["preheader"][what][tone], "headline": headline, **parts}
