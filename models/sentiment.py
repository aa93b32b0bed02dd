"""How a shopper feels about what they write, from -1 (bad) to 1 (good).

English: the VADER lexicon (Hutto & Gilbert, 2014; package vaderSentiment, MIT). Chinese: the short word list below, written for
this project from everyday phrases of shop reviews; it is not taken from any published lexicon. Other languages: 0, because a
word list of the wrong language is worse than none ("die" is no bad word in German).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

MAX_CHARS: Final = 2000  # feelings are said at the start; VADER is slow on pages of text
HAN: Final = re.compile(r"[\u3400-\u9fff]")
WORD: Final = re.compile(r"[^\W\d_]+")
SCALE: Final = 1.0  # hits at which Chinese text reaches 0.5

FUNCTION_WORDS: Final = {
    "en": "the and is are was it this that with for not i my you very but of to in have has they them so just",
    "de": "der die das und ist nicht ich ein eine mit für auf sehr aber zu es war sind den dem kein auch wir",
    "fr": "le la les et est pas je un une avec pour très mais des du ce cette sont il elle nous vous que ne",
    "es": "el la los las y es no un una con para muy pero de que esta este son lo se mi su del por",
    "it": "il lo gli e è non un una con per molto ma di che questo questa sono mi si della del",
    "pt": "o os e é não um uma com para muito mas de que este esta são se meu do da em",
    "nl": "de het en is niet ik een met voor op zeer maar van dat dit was zijn heel geen ook",
}
GOOD: Final = """
好(?![像几多久了奇]) 喜欢 很好 不错 满意 推荐 好评 完美 优秀 漂亮 舒服 舒适 好用 好吃 好看 值得 超值 划算 实惠 惊喜 开心 高兴 棒 赞 精致
结实 耐用 方便 快捷 新鲜 正品 爱 香 柔软 合适 贴心 物超所值 回购 质量好 性价比高 物美价廉
"""
BAD: Final = """
失望 糟糕 差 坏 烂 难用 难吃 难看 讨厌 后悔 退货 退款 投诉 假货 骗 破损 破 脏 臭 难闻 慢 贵 不值 劣质 粗糙 掉色 起球 瑕疵 故障 垃圾
差评 漏 碎 过期 麻烦 生气 不满 不合适 异味 质量差
"""
NEGATIONS: Final = ("不是很", "不太", "不怎么", "没有", "并不", "不", "没", "别", "无")
STRONG: Final = ("非常", "好", "特别", "十分", "太", "超级", "超", "极其", "真的", "真", "很")


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


PHRASE: Final = re.compile(
    f"(?P<not>{_any(NEGATIONS)})?(?P<very>{_any(STRONG)})?(?:(?P<good>{_any(GOOD.split())})|(?P<bad>{_any(BAD.split())}))"
)
_SETS: Final = {name: frozenset(words.split()) for name, words in FUNCTION_WORDS.items()}


def sentiment(text: str) -> float:
    """Feeling of a text, -1 to 1; 0 where there is none or the language is not known.

    >>> sentiment("I love this mug"), sentiment("很好用，非常满意") > 0.5, sentiment("Die Tasse ist nicht schlecht")
    (0.6369, True, 0.0)
    """
    text = text[:MAX_CHARS]
    if HAN.search(text):
        return _chinese(text)
    if language(text) != "en":
        return 0.0
    return float(_vader().polarity_scores(text)["compound"])


def language(text: str) -> str:
    """The language by its function words; English when nothing speaks against it, "" for another script."""
    words = [word.lower() for word in WORD.findall(text)]
    if words and sum(word[0] > "\u024f" for word in words) * 2 > len(words):
        return ""
    scores = {name: sum(word in held for word in words) for name, held in _SETS.items()}
    best = max(scores.values())
    return "en" if scores["en"] == best else max(scores, key=lambda name: (scores[name], name))


def _chinese(text: str) -> float:
    total = 0.0
    for found in PHRASE.finditer(text):
        value = (1.0 if found["good"] else -1.0) * (1.5 if found["very"] else 1.0)
        total += -0.7 * value if found["not"] else value
    return total / (SCALE + abs(total)) if total else 0.0


@lru_cache(maxsize=1)
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
