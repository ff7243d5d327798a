"""From what a submitter sends to a transaction that can be enqueued: strict reading, envelopes, admission.

Nothing here knows HTTP or the database, and nothing here is stored: whatever is wrong with a submission is one
`SubmissionRefused` with the status, the code and the field errors that the answer needs.
"""

from .admission import Admission, Hearing, Sender
from .envelope import (
    CLASSIC_INVALID,
    CLASSIC_MESSAGE,
    DELAY_LIMIT_SECONDS,
    OWN_OPTIONS,
    USERNAME_LENGTH,
    ClassicBody,
    Envelope,
    Options,
    OptionsBody,
    classic_invalid,
    invalid_data,
    read_envelope,
    read_item,
)
from .idempotency import HEADER_PATTERN, KEY, key_from_header, key_reused, position_key
from .strict_json import (
    BATCH,
    SINGLE,
    SINGLE_BYTES,
    Limits,
    check_keys,
    has_type,
    read_json,
    too_large,
    write_json,
)
from .table import Table
from .vetting import Vetter

__all__ = [
    "BATCH",
    "CLASSIC_INVALID",
    "CLASSIC_MESSAGE",
    "DELAY_LIMIT_SECONDS",
    "HEADER_PATTERN",
    "KEY",
    "OWN_OPTIONS",
    "SINGLE",
    "SINGLE_BYTES",
    "USERNAME_LENGTH",
    "Admission",
    "ClassicBody",
    "Envelope",
    "Hearing",
    "Limits",
    "Options",
    "OptionsBody",
    "Sender",
    "Table",
    "Vetter",
    "check_keys",
    "classic_invalid",
    "has_type",
    "invalid_data",
    "key_from_header",
    "key_reused",
    "position_key",
    "read_envelope",
    "read_item",
    "read_json",
    "too_large",
    "write_json",
]
