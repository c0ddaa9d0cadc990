"""The comparison: routed delivery beside the other modes, on the same node program."""
