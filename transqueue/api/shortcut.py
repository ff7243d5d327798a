"""The shortest way for submissions: the steps of every request, without Flask's context, routing and response objects.

Those take longer than all that a submission needs. The steps are the same functions in the same order, and what is
wrong is answered by the same errors. A request that is not plainly for one of these routes takes the long way, on which
they are routes like all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .answers import Reply
from .gate import Application, Environ
from .reception import Reception, View
from .request_id import HEADER, begin, request_id

METHOD = "POST"
PLAIN_HOST = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,20}(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


class Shortcut:
    """Around the application that knows the long way."""

    def __init__(self, application: Application, reception: Reception) -> None:
        self._application, self._reception = application, reception

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        view = self._reception.views.get(environ["PATH_INFO"])
        if view is None or not _is_plain(environ):
            return self._application(environ, start_response)
        begin(environ)
        return self._reply(view, environ).sent(start_response, (HEADER, request_id(environ)))

    def _reply(self, view: View, environ: Environ) -> Reply:
        try:
            self._reception.doorkeeper.admit(environ, METHOD, environ["PATH_INFO"])
            return view(environ)
        except Exception as error:
            return self._reception.refusals.of(error, environ)


def _is_plain(environ: Environ) -> bool:
    host = PLAIN_HOST.fullmatch(environ.get("HTTP_HOST", ""))
    return environ["REQUEST_METHOD"] == METHOD and not environ.get("SCRIPT_NAME") and host is not None
