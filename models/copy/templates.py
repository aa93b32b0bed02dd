"""Hand-written copy, English and Chinese: what goes out when no model wrote better, and the frame of what one writes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import yaml

from models.copy.pool import CHANNELS, KINDS, PARTS, TONES, Key, Variant
from schemas.errors import PipelineError

__all__ = ["TEMPLATE_VERSION", "Frame", "frame", "template"]

TEMPLATE_VERSION: Final = "templates-2"
HERE: Final = Path(__file__).parent
Frame = Mapping[str, str]  # subject, preheader, headline, hook, facts, cta; or title, hook, facts, cta


@lru_cache(maxsize=4)
def book(language: str) -> dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]:
    """kind -> occasion -> channel -> tone -> frame, of one language."""
    path = HERE / f"templates.{language}.yaml"
    if not path.exists():
        raise PipelineError(f"no templates in language {language!r}: expected {path.name}")
    loaded: dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def frame(key: Key) -> tuple[str, Frame]:
    """Id and parts of the hand-written frame for `key`; an occasion without its own takes that of any occasion."""
    if key.kind not in KINDS or key.channel not in CHANNELS or key.tone not in TONES:
        raise PipelineError(f"no template for {key}: kinds {KINDS}, channels {CHANNELS}, tones {TONES}")
    occasions = book(key.language)[key.kind]
    occasion = key.segment if key.segment in occasions else "any"
    found = occasions[occasion][key.channel][key.tone]
    return f"{TEMPLATE_VERSION}/{key.kind}/{occasion}/{key.channel}/{key.tone}/{key.language}", found


def assemble(key: Key, parts: Frame) -> dict[str, str]:
    """A frame as the parts of a variant: hook and facts make the body."""
    gap = "" if key.language == "zh" else " "
    body = f"{parts['hook']}{gap}{parts['facts']}"
    return {part: body if part == "body" else parts[part] for part in PARTS[key.channel]}


def template(key: Key) -> Variant:
    """The hand-written variant for `key`."""
    name, parts = frame(key)
    return Variant(id=name, key=key, parts=assemble(key, parts), source="template", prompt_version=TEMPLATE_VERSION)
