"""f: what is known of one shopper, as sums that any order and any batching of events brings to the same value."""

from models.profile.behaviour import WEIGHTS, Moved, apply
from models.profile.blob import ProfileError, decode, encode
from models.profile.joining import merge
from models.profile.said import identify, opt
from models.profile.state import Pending, Profile, blank
from models.profile.view import describe, interest, session, summary, top_categories, words

__all__ = [
    "WEIGHTS",
    "Moved",
    "Pending",
    "Profile",
    "ProfileError",
    "apply",
    "blank",
    "decode",
    "describe",
    "encode",
    "identify",
    "interest",
    "merge",
    "opt",
    "session",
    "summary",
    "top_categories",
    "words",
]
