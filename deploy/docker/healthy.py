"""Ends with 0 if the node in this container is up: the HEALTHCHECK of the Dockerfile.

It asks where the environment says that the node listens, so say it there and not in a file.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request

_WITHIN_S = 3.0


def address() -> str:
    """Return the address of `/healthz`."""
    host = os.environ.get("SWITCHBOARD_NODE__HOST") or "127.0.0.1"
    port = os.environ.get("SWITCHBOARD_NODE__PORT") or "8001"
    scheme = "https" if os.environ.get("SWITCHBOARD_TLS__CERTIFICATE_FILE") else "http"
    return (
        f"{scheme}://[{host}]:{port}/healthz"
        if ":" in host
        else f"{scheme}://{host}:{port}/healthz"
    )


def healthy() -> str:
    """Return "" if the node answers, else why it does not."""
    anybody = ssl.create_default_context()  # the certificate is for others; we ask ourselves
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    no_proxy = urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(no_proxy, urllib.request.HTTPSHandler(context=anybody))
    try:
        with opener.open(address(), timeout=_WITHIN_S):
            return ""
    except (urllib.error.URLError, OSError) as exc:
        return f"{address()}: {exc}"


if __name__ == "__main__":
    sys.exit(healthy() or 0)
