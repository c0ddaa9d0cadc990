"""Switchboard's node: the process that holds the WebSockets."""

from node.node import Node

__all__ = ["Node"]
