"""Switchboard's node: the process that holds the WebSockets."""
