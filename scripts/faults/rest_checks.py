"""The promises about what is left at rest, and about the processes. Pure."""

from collections.abc import Iterable, Iterator

from scripts.faults.book import Book
from scripts.faults.logs import Line

_TERMINATED, _KILLED = 0, -9


def registry(book: Book) -> Iterator[str]:
    """After the end the registry has a route for each live session, and no other."""
    final = book.final
    if final is None:
        yield "the run did not come to its end"
        return
    live = {(user, session.opened.session) for user in book.users for session in book.at_rest(user)}
    routes = {
        (user, field.rpartition("/")[2]): field
        for user, fields in final.routes.items()
        for field in fields
    }
    for key, field in routes.items():
        if key not in live:
            yield f"route {field} of {key[0]} belongs to no live session"
        elif field.rpartition("/")[0] not in final.living:
            yield f"route {field} of {key[0]} names an endpoint that is not alive"
    for user, session in sorted(live - routes.keys()):
        yield f"session {session} of {user} is live and has no route"
    if final.took_s < 0 and routes.keys() == live:
        yield "the registry was right only after its time"


def remains(book: Book) -> Iterator[str]:
    """After its rescue nothing is left of an endpoint, and nothing waits in an inbox."""
    final = book.final
    if final is None:
        return
    for endpoint in sorted(set(final.endpoints) - set(final.living)):
        yield f"endpoint {endpoint} is dead and still listed"
    for key in final.remains:
        yield f"key {key} is left of an endpoint that is not listed"
    for endpoint, length in final.inboxes.items():
        if length:
            yield f"{length} envelopes lie in the inbox of {endpoint}"


def over_cap(book: Book) -> Iterator[str]:
    """Inboxes and mailboxes stay within their limits."""
    for sample in book.samples:
        for endpoint, length in sample.inboxes.items():
            if length > book.run.inbox_cap:
                yield f"{length} envelopes in the inbox of {endpoint}"
        if book.run.mail_cap and sample.mail > book.run.mail_cap:
            yield f"{sample.mail} messages in a mailbox"


def died(book: Book) -> Iterator[str]:
    """A node ends only when it is told to, and then with status 0."""
    for ended in book.ended:
        if not ended.meant:
            yield f"{ended.node} ended by itself, with status {ended.status}"
        elif ended.status not in (_TERMINATED, _KILLED):
            yield f"{ended.node} was told to stop and ended with status {ended.status}"


def bad_lines(lines: Iterable[Line]) -> Iterator[str]:
    """No process logs an error, a traceback or an exception that nobody retrieved."""
    for line in lines:
        if line.bad:
            yield f"{line.process}: {line.text}"
