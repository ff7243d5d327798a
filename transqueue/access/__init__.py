"""Who may do what at the door: API keys, what each allows, and how one is recognised.

Nothing here knows HTTP or the database: keys come from whatever keeps them (`KeyStore`).
"""

from .access import LOCAL, Access, Scope
from .guard import Guard, require_keys
from .key import ApiKey, NewKey, new_key
from .keyring import Keyring, KeyStore
from .strangers import Strangers

__all__ = [
    "LOCAL",
    "Access",
    "ApiKey",
    "Guard",
    "KeyStore",
    "Keyring",
    "NewKey",
    "Scope",
    "Strangers",
    "new_key",
    "require_keys",
]
