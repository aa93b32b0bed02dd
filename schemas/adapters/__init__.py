"""Payloads of other systems as canonical envelopes: one pure function `canonical(payload, received_at=...)` a system.
`received_at` (ISO 8601 or epoch milliseconds) stands in where the sender gives no time.

An event that has no counterpart here gives no envelope; the caller counts those. Envelopes are not validated: the codec does
that, so that a bad value gets the same reason and path whoever sent it. Recipient addresses are left behind.
"""
