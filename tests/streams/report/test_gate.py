"""Arms that do harm are paused, with their reason, and one arm of a factor stays."""

from models.champions import Rules
from models.evidence.guardrails import Breach
from streams.report.gate import paused


def breach(arm):
    return Breach(arm=arm, kind="unsubscribed", rate=0.02, limit=0.005, evidence=900.0)


def test_an_arm_over_its_limit_is_paused_with_its_reason():
    rules, said = paused(Rules(), [breach("tone=playful")], at=5.0)

    assert rules.paused == {"tone": ["playful"]}
    assert said == ["tone=playful is paused: unsubscribed 2.00%, limit 0.50%"]
    assert rules.trail[-1].why == "unsubscribed 2.00%, limit 0.50%"


def test_what_is_paused_already_is_not_paused_again():
    rules, _ = paused(Rules(), [breach("tone=playful")], at=5.0)

    assert paused(rules, [breach("tone=playful")], at=6.0) == (rules, [])


def test_the_last_arm_of_a_factor_stays_open_and_that_is_said():
    rules, said = paused(Rules(), [breach("channel=email"), breach("channel=push")], at=5.0)

    assert rules.paused == {"channel": ["email"]}
    assert "was not paused" in said[1]
