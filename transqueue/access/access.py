"""What one request may do: its submitter, its scopes, and the types that it may submit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

LOCAL = "local"  # the submitter, and the name in the audit, while there are no API keys


class Scope(StrEnum):
    """One thing that a key may be good for."""

    SUBMIT = "submit"  # submit, and look at the transactions of one's own submitter
    READ = "read"  # look at everything
    OPERATE = "operate"  # retry, cancel, pause, resume; one who operates looks at everything too
    ADMIN = "admin"  # keys, plugins, reload, and everything else


_IMPLIED: Mapping[Scope, frozenset[Scope]] = {
    Scope.SUBMIT: frozenset({Scope.SUBMIT}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.OPERATE: frozenset({Scope.OPERATE, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}


class Owned(Protocol):
    """What belongs to a submitter."""

    @property
    def submitter(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do.

    Attributes:
        submitter: whose transactions are submitted, and seen without the scope `read`.
        key_id: the API key that was shown; none without keys.
        scopes: as the key has them; what they imply is for `allows` to know.
        types: the types that may be submitted, and families such as `invoice.*`; none: all.
    """

    submitter: str
    key_id: str | None
    scopes: frozenset[Scope]
    types: frozenset[str] | None = None

    @classmethod
    def local(cls) -> Self:
        """Everything, for those on this machine while there are no keys."""
        return cls(LOCAL, None, frozenset(Scope))

    @classmethod
    def nobody(cls) -> Self:
        """Nothing: for what is open to everybody."""
        return cls("", None, frozenset())

    @property
    def by(self) -> str:
        """Who did it, for the audit."""
        return f"key:{self.key_id}" if self.key_id else LOCAL

    def allows(self, scope: Scope | str) -> bool:
        """Whether what needs this scope may be done."""
        return any(scope in _IMPLIED[mine] for mine in self.scopes)

    def may_submit(self, type: str) -> bool:
        """Whether transactions of this type may be submitted."""
        return self.allows(Scope.SUBMIT) and (self.types is None or any(_covers(one, type) for one in self.types))

    def sees(self, transaction: Owned) -> bool:
        """Whether the transaction may be looked at; one that may not does not exist for this request."""
        return self.allows(Scope.READ) or (self.allows(Scope.SUBMIT) and transaction.submitter == self.submitter)

    @property
    def own_only(self) -> str | None:
        """The submitter to whom lists are narrowed; none when everything may be seen."""
        return None if self.allows(Scope.READ) else self.submitter


def _covers(allowed: str, type: str) -> bool:
    return type.startswith(allowed[:-1]) if allowed.endswith(".*") else type == allowed
