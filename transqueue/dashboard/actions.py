"""What pages do: each a form that was checked, by somebody who may, and told in the audit."""

from __future__ import annotations

from datetime import timedelta

from flask import request, url_for

from ..access import Scope
from ..admin.cause import CAUSE_LENGTH, parts_of
from ..admin.pause import REASON_LENGTH
from ..errors import SubmissionRefused
from ..operator import Operator
from ..submission import read_envelope, read_json, write_json
from . import query
from .entrance import access, note, require
from .failures import CONFIRMED_FROM, PACES
from .window import Window

SELECTED = 200
DATA_BYTES = 256 * 1024
PREVIEW_SECONDS = 3600  # for so long a preview counts


class Actions:
    """Acts on the queue for the one who looks. Each action returns where to go next."""

    def __init__(self, window: Window) -> None:
        self._window, self._queue = window, window.queue

    def retry(self, transaction_id: str) -> str:
        """Give a dead transaction more attempts."""
        require(Scope.OPERATE)
        note("It is queued again." if self._retry(transaction_id) else "It is not dead any more; nothing was changed.")
        return url_for("ui.story", transaction_id=transaction_id)

    def cancel(self, transaction_id: str) -> str:
        """Take back a queued or dead transaction."""
        require(Scope.OPERATE)
        well = query.is_id(transaction_id) and self._operator.cancel(transaction_id)
        note("It is cancelled." if well else "It is neither queued nor dead any more; nothing was changed.")
        return url_for("ui.story", transaction_id=transaction_id)

    def selected(self) -> str:
        """Retry or cancel those that were ticked."""
        require(Scope.OPERATE)
        ids = [one for one in request.form.getlist("id")[:SELECTED] if query.is_id(one)]
        verb = query.choice(request.form, "verb", ("retry", "cancel"), "")
        act = {"retry": self._retry, "cancel": self._operator.cancel}.get(verb)
        if act is None or not ids:
            note("Nothing was ticked, so nothing was changed.")
        else:
            well = sum(act(one) for one in ids)
            done = {"retry": "queued again", "cancel": "cancelled"}[verb]
            others = f"; the state of {len(ids) - well} others did not allow it" if well < len(ids) else ""
            note(f"{well} of {len(ids)} {done}{others}.")
        return url_for("ui.transactions") + _kept(request.form.get("back", ""))

    def pause(self, type: str) -> str:
        """Start no more of a type."""
        require(Scope.OPERATE)
        reason = query.text(request.form, "reason", REASON_LENGTH) or ""
        if self._window.table.resolve(type) is None and type not in self._window.table.types():
            raise _not_found(f"No plugin that works here claims the type {type!r}.")
        done = self._operator.pause(type, reason)
        note(f"{type} is paused." if done else f"{type} was paused already; that word stands.")
        return url_for("ui.kind", type=type)

    def resume(self, type: str) -> str:
        """Take a pause back."""
        require(Scope.OPERATE)
        note(f"{type} goes on." if self._operator.resume(type) else f"{type} was not paused.")
        return url_for("ui.kind", type=type)

    def redrive(self) -> str:
        """Give the dead of one cause more attempts, as the preview said."""
        require(Scope.OPERATE)
        form = request.form
        cause, until = query.text(form, "cause", CAUSE_LENGTH) or "", query.moment(form, "until")
        counted = query.number(form, "count", 0, 0, 10**9)
        now = self._queue.clock.now()
        back = url_for("ui.preview", cause=cause)
        if until is None or not now - timedelta(seconds=PREVIEW_SECONDS) <= until <= now + timedelta(seconds=5):
            note("The preview is too old: look at it again.")
            return back
        if counted >= CONFIRMED_FROM and query.number(form, "confirm", -1, -1, 10**9) != counted:
            note(f"Nothing was changed: to redrive so many, type their number, {counted}.")
            return back
        type = parts_of(cause)[0]
        handler = self._window.table.resolve(type)
        if handler is None:
            note(f"Nothing was changed: no plugin that works here processes the type {type}.")
            return back
        pace = PACES[query.choice(form, "pace", PACES, "10")]
        moved = self._queue.failures.redrive(
            cause, until=until, more_attempts=handler.max_attempts, per_second=pace or None
        )
        facts = {"moved": moved, "per_second": pace or "all at once", "until": until}
        self._queue.audit.record(access().by, "cause.redriven", cause, facts)
        note(f"{moved:,} queued again{f', {pace} a second' if pace else ''}.")
        return url_for("ui.failures")

    def reload(self) -> str:
        """Ask the parts of one host, or of all, to put their config.yaml to use."""
        require(Scope.OPERATE)
        host = query.text(request.form, "host")
        _, asked = self._queue.parts.ask(host)
        if not asked:
            note(f"Nothing of TransQueue runs {f'on {host}' if host else 'on any host'}; nobody was asked.")
        else:
            self._queue.audit.record(access().by, "config.reload_asked", host or "*", {"parts": len(asked)})
            told = "1 part was" if len(asked) == 1 else f"{len(asked)} parts were"
            note(f"{told} asked to reload. How it ended is told below.")
        return url_for("ui.system")

    def attempt(self, type: str) -> str | None:
        """Try a type: judge data as the door would, or submit it. None: stay on the page; the note tells."""
        require(Scope.SUBMIT)
        text = request.form.get("data", "")
        if len(text.encode()) > DATA_BYTES:
            raise SubmissionRefused(413, "too_large", f"The data is larger than {DATA_BYTES} bytes.")
        sent = write_json({"type": type, "data": read_json(text.encode())})
        is_meant = request.form.get("verb") == "submit"
        if is_meant:
            self._window.room.check()
        transaction = self._window.admission.admit(read_envelope(read_json(sent.encode())), access=access())
        if not is_meant:
            note("This would be accepted.")
            return None
        (receipt,) = self._queue.enqueue([transaction])
        self._window.room.took(1)
        note("Accepted.")
        return url_for("ui.story", transaction_id=receipt.transaction.id)

    def _retry(self, transaction_id: str) -> bool:
        transaction = self._queue.get(transaction_id) if query.is_id(transaction_id) else None
        if transaction is None:
            return False
        handler = self._window.table.resolve(transaction.type)
        more = handler.max_attempts if handler else transaction.max_attempts
        return self._operator.retry(transaction_id, more_attempts=more)

    @property
    def _operator(self) -> Operator:
        return Operator(self._queue, access().by)


def _kept(back: str) -> str:
    """The filters of the list that the form came from; nothing but a query string."""
    return f"?{back[:2000]}" if back and all(sign not in back for sign in "\r\n#") else ""


def _not_found(message: str) -> SubmissionRefused:
    return SubmissionRefused(404, "not_found", message)
