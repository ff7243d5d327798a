"""Who may do what at the door: API keys, what each allows, and how one is recognised.

Nothing here knows HTTP or the database: keys come from whatever keeps them (`KeyStore`).
"""

from .access import LOCAL, Access, Scope
from .key import ApiKey, NewKey, new_key
from .keyring import Keyring, KeyStore

__all__ = ["LOCAL", "Access", "ApiKey", "KeyStore", "Keyring", "NewKey", "Scope", "new_key"]
