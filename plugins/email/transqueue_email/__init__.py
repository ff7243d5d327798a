"""Sends mail by SMTP: the type `email.send`.

Mail is an effect outside MongoDB, so a message may be sent twice when a worker dies at the wrong moment. Both then
carry one Message-ID, which comes from the transaction, so that mailboxes and their owners can tell.
"""

from .options import Config
from .sending import send, transqueue_config_schema, transqueue_health_checks

__all__ = ["Config", "send", "transqueue_config_schema", "transqueue_health_checks"]
