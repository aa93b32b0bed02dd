"""Opens that no person made: privacy proxies and mail scanners load the pictures of a message by themselves.

Apple's Mail Privacy Protection loads every picture soon after delivery, whether or not anybody looks, and calls itself `Mozilla/5.0` and
nothing more. Security gateways do the same on arrival. Gmail's proxy is none of these: it loads when the message is opened.
"""

from __future__ import annotations

import re

APPLE = "Mozilla/5.0"  # the whole of it
SCANNERS = re.compile(
    r"barracuda|mimecast|proofpoint|messagelabs|symantec|trendmicro|fireeye|cloudmark|zscaler|forcepoint|ironport|sophos|"
    r"safelinks|microsoft office|ms-office|existence discovery|bitdefender|kaspersky|fortiguard|urldefense",
    re.IGNORECASE,
)


def opened_by_machine(user_agent: str | None) -> bool:
    """Does the program that loaded the picture say that nobody need have looked?

    >>> opened_by_machine("Mozilla/5.0"), opened_by_machine("Mozilla/5.0 (Windows NT 5.1) Firefox/11.0 (via ggpht.com GoogleImageProxy)")
    (True, False)
    """
    if not user_agent:
        return False
    return user_agent.strip() == APPLE or SCANNERS.search(user_agent) is not None
