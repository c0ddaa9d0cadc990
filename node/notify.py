"""What a service manager is told: that a node takes sessions, and that it is leaving.

The protocol of systemd's `Type=notify`: a datagram to the socket that `NOTIFY_SOCKET` names. With
it `systemctl restart` returns when the node is there, and the next one can follow.
"""

import contextlib
import socket
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


class Notify:
    """The way to the service manager.

    Args:
        address: value of `NOTIFY_SOCKET`; "" when nobody wants to know.
    """

    def __init__(self, address: str = "") -> None:
        # A name that begins with @ is not in the file system (unix(7), abstract).
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def tell(self, state: str) -> None:
        """Send one state; a manager that does not listen is no reason to stop."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(state.encode(), self._address)
