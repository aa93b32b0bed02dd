"""The options of `headrace policy`: `headrace --help` needs them, and nothing heavy."""

from __future__ import annotations

import argparse

RULES = ("greedy", "squarecb", "thompson")
FLOOR, KIN, OWN = 0.05, 30.0, 50.0
ACTIONS = {
    "list": "who decides, and how it came to be",
    "challenge": "let another policy decide for a share of the shoppers",
    "withdraw": "no challenger any more",
    "promote": "make a policy the champion, if the log says that it earns more",
    "rollback": "the champion before this one decides again",
    "freeze": "the champion decides by what it believes now, whatever comes in",
    "thaw": "the champion learns again",
    "pause": "nobody takes this arm for now",
    "resume": "this arm may be taken again",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The actions, and what each may be told."""
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in ACTIONS.items():
        one = actions.add_parser(name, help=text)
        if name == "list":
            one.add_argument("--json", action="store_true", help="for programs")
            continue
        if name in ("challenge", "promote"):
            one.add_argument("name")
        if name in ("pause", "resume"):
            one.add_argument("arm", help="factor/arm, as in tone/playful")
        if name == "challenge":
            one.add_argument("--share", type=float, default=0.1, help="of the shoppers, at most 0.5 (default: 0.1)")
            one.add_argument("--rule", choices=RULES, default="thompson")
            one.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a setting of the rule")
            one.add_argument("--floor", type=float, default=FLOOR, help="share of decisions taken uniformly")
            one.add_argument("--kin", type=float, default=KIN, help="prior of what relatives share, in decisions")
            one.add_argument("--own", type=float, default=OWN, help="prior of what an arm has alone, in decisions")
        if name == "promote":
            one.add_argument("--force", action="store_true", help="whatever the log says; it is written down")
        one.add_argument("--why", default="", help="for the trail")
