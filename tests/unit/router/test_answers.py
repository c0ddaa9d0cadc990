"""What stands where no reply came, and what is raised for it."""

from router.errors import Unavailable
from router.store.answers import NoReply, ReplyLost, Thin


def test_what_never_went_out_is_unavailable_and_has_not_run() -> None:
    error = NoReply(False, "there:1", "refused").error
    assert type(error) is Unavailable
    assert (error.address, error.reason) == ("there:1", "refused")


def test_what_went_out_may_have_run_and_its_error_says_so() -> None:
    error = NoReply(True, "there:1", "reset").error
    assert type(error) is ReplyLost
    assert isinstance(error, Unavailable)  # for those to whom it is all the same
    assert (error.address, error.reason) == ("there:1", "reset")


def test_a_thin_answer_has_the_reply_and_says_how_many_have_it() -> None:
    assert (Thin([b"x"], 1).reply, Thin([b"x"], 1).replicas) == ([b"x"], 1)
