"""What a model may call a product: one to three plain words made of a category or a name as catalogues write them.

>>> noun_of("grocery/FLUID MILK WHITE ONLY"), noun_of("EGGS - X-LARGE"), noun_of("GROCERY/FROZEN PIZZA")
('milk', 'eggs', 'frozen pizza')
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import yaml

from models.copy.lexicon import english, grammar
from models.copy.slots import clean
from models.copy.verify import Rules, verify_part

__all__ = ["noun_of", "sensitive"]

HERE: Final = Path(__file__).parent
NOUN: Final = {"en": re.compile(r"[a-z][a-z'-]+(?: [a-z][a-z'-]+){0,2}"), "zh": re.compile(r"[\u3400-\u9fff]{1,8}")}
MAX_NOUN_CHARS: Final = 30
ALLOWED_FAULTS: Final = ("too_short", "wrong_language", "repetition")


@lru_cache(maxsize=4096)
def noun_of(category: str, language: str = "en") -> str:
    """The noun of a category path or a name; "" where no clean noun is in it, or where a machine had better not joke.

    A catalogue is data of the shop: it gets into a prompt only as plain words that the verifier allows.
    """
    last = clean(category.strip("/").rpartition("/")[2].rpartition(":")[2], 60).casefold()
    last = re.split(r"[(\[,;&|]| [-–] |:| and ", last)[0].strip(" -.")
    words = last.split()
    if language == "en" and len(words) > 1:
        words = [word for word in words if word not in grammar()["about_the_pack"]]
    told = " ".join(words)
    if not told or len(told) > MAX_NOUN_CHARS or not NOUN[language].fullmatch(told) or sensitive(told, language):
        return ""
    if language == "en" and len(told) < 3:
        return ""
    faults = verify_part("noun", told, Rules(channel="email", language=language))
    return "" if any(fault.reason not in ALLOWED_FAULTS for fault in faults) else told


def sensitive(noun: str, language: str) -> bool:
    """Health, intimacy, tobacco, alcohol, weapons, grief: hand-written words only."""
    return bool(topics()[language].search(noun))


@lru_cache(maxsize=1)
def topics() -> dict[str, re.Pattern[str]]:
    lists: dict[str, str] = yaml.safe_load((HERE / "sensitive.yaml").read_text(encoding="utf-8"))
    return {
        "en": re.compile("|".join(english(word) for word in lists["en"].split())),
        "zh": re.compile("|".join(re.escape(word) for word in lists["zh"].split())),
    }
