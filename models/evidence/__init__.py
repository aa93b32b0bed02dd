"""What may be said of an experiment, and what may not: lift, intervals that may be looked at any time, faults, guardrails."""
