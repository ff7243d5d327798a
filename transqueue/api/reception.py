"""Where submissions are received: by which view, who may pass, and what is answered to each error.

It is one for the two ways on which a submission can come (see `shortcut`), and needs no Flask, which is slow to import:
an author's kit goes without, until a test asks for something else than to submit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..access import Guard
from ..clock import Clock
from ..config import Config
from ..events import Events
from ..queue import TransactionQueue
from ..submission import Admission
from .answers import Reply
from .doorkeeper import Doorkeeper
from .gate import Environ
from .intake import Intake
from .overload import Overload
from .refusals import Refusals
from .submissions import Submissions

if TYPE_CHECKING:
    from .catalog import PluginTable  # with Flask

View = Callable[[Environ], Reply]


class Reception:
    """What the submissions to one process share.

    Without a guard everybody may submit, and without `overload` the queue is never too deep: for tests and tools that
    serve nobody else.

    Attributes:
        queue, table, config, events: what it was made of, for the rest of the application.
        views: by the path that is, letter by letter, the rule of their route.
    """

    def __init__(
        self,
        *,
        queue: TransactionQueue,
        table: PluginTable,
        config: Config,
        clock: Clock,
        events: Events,
        guard: Guard | None = None,
        overload: Overload | None = None,
    ) -> None:
        self.queue, self.table, self.config, self.events = queue, table, config, events
        admission = Admission(table=table, default_type=config.default_type, clock=clock, events=events)
        overload = overload or Overload(queue.measures, clock, config.api.max_queued)
        submissions = Submissions(admission, Intake(queue), overload)
        self.views: Mapping[str, View] = {"/api/data/": submissions.single, "/api/data/batch": submissions.batch}
        self.doorkeeper, self.refusals = Doorkeeper(guard), Refusals(events)
