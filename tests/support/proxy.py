"""The proxy between a client and the store; the chaos runner breaks connections with it, too."""

from scripts.measuring.proxy import Fault, Proxy, Way, value_end

__all__ = ["Fault", "Proxy", "Way", "value_end"]
