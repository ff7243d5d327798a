"""The shortest way for submissions: the steps of every request, without Flask's context, routing and response objects.

Those take longer than all that a submission needs. The steps are the same functions in the same order, and what is
wrong is answered by the same errors. A request that is not plainly for one of these routes takes the long way, on which
they are routes like all others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .answers import Reply, protected
from .doorkeeper import Doorkeeper
from .gate import Application, Environ
from .refusals import Refusals
from .request_id import HEADER, answered, begin, request_id

METHOD = "POST"
PLAIN_HOST = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,20}(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)

View = Callable[[Environ], Reply]


class Shortcut:
    """Around the application.

    Args:
        views: by the path that is, letter by letter, the rule of their route.
    """

    def __init__(
        self, application: Application, views: Mapping[str, View], doorkeeper: Doorkeeper, refusals: Refusals
    ) -> None:
        self._application, self._views, self._doorkeeper, self._refusals = application, views, doorkeeper, refusals

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        view = self._views.get(path)
        if view is None or not _is_plain(environ):
            return self._application(environ, start_response)
        try:
            begin(environ)
            self._doorkeeper.admit(environ, METHOD, path)
            return view(environ).sent(start_response, (HEADER, request_id(environ)))
        except Exception as error:
            return answered(protected(self._refusals.of(error, environ)), environ)(environ, start_response)


def _is_plain(environ: Environ) -> bool:
    host = PLAIN_HOST.fullmatch(environ.get("HTTP_HOST", ""))
    return environ["REQUEST_METHOD"] == METHOD and not environ.get("SCRIPT_NAME") and host is not None
