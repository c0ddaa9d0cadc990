"""Whether the process is up, and whether new sessions should come to it."""

from collections.abc import Callable

from node.handlers.base import Operation, Source, describes
from node.handlers.problem import ProblemHandler
from node.handlers.schemas import NoInput
from node.views import Health, Readiness
