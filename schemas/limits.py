"""How large, how long, how far: the limits that every inbound record is held to."""

from __future__ import annotations

from typing import Final

MAX_RECORD_BYTES: Final = 1024 * 1024  # a larger record is a dead letter
MAX_INBOUND_BYTES: Final = 8 * 1024 * 1024  # what the broker still takes, so that a too large record is seen and named
MAX_TEXT_BYTES: Final = 8 * 1024  # free text in UTF-8; longer is cut and counted
MAX_LABEL_BYTES: Final = 256  # names that are kept in a profile (first name, brand, category); longer is cut and counted
MAX_ID_BYTES: Final = 256  # UTF-8, printable
MAX_TOKEN_CHARS: Final = 1024  # a signed token
MAX_URL_CHARS: Final = 2048
MAX_PRODUCTS: Final = 200  # in one list
MAX_ENTRIES: Final = 100  # in one map or list that is not a list of products
MAX_AMOUNT: Final = 1e12  # prices and revenue: finite even after adding up
MAX_COUNT: Final = 2_147_483_647  # quantities, positions, stock

EARLIEST_S: Final = 946_684_800.0  # 2000-01-01T00:00:00Z
LATEST_S: Final = 4_102_444_800.0  # 2100-01-01T00:00:00Z
LATE_AFTER_S: Final = 72 * 3600.0  # an older event moves the profile and triggers nothing
MAX_AHEAD_S: Final = 24 * 3600.0  # a record whose Kafka timestamp is further ahead of the clock comes from a broken clock

MAX_PUSH_BYTES: Final = 4096  # one PushReady record
MAX_PUSH_TITLE_CHARS: Final = 65
MAX_PUSH_BODY_CHARS: Final = 240
MAX_DETAIL_CHARS: Final = 500  # of a dead letter's detail header
