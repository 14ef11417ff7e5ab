"""Processes that are forked before and after the first use work, and so does their parent."""

import os

import numpy as np
import pytest

import hopfix

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Python 3.12 warns of threads in the parent: that is what is tested.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NET = hopfix.Hopfield(np.random.default_rng(0).normal(size=(700, 20)), 1.0, num_threads=2)
STATES = np.random.default_rng(1).normal(size=(64, 20))


def answers():
    """Calls that use several threads."""
    small = hopfix.Hopfield(np.eye(5), 9.0, num_threads=2)
    return NET.update(STATES).tobytes() + small.fixed_points("cells").states.tobytes()


def in_a_child(work):
    """What the bytes of work() are in a forked process, sent through a pipe."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(write, "wb") as pipe:
                pipe.write(work())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        sent = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return sent


def test_a_child_forked_after_the_first_use_has_threads_of_its_own():
    expected = answers()
    for _ in range(5):
        assert in_a_child(answers) == expected
        assert answers() == expected


def test_a_child_of_a_child_works_too():
    expected = answers()
    assert in_a_child(lambda: in_a_child(answers)) == expected


FIRST_USE = """
import sys
sys.path.insert(0, {tests!r})
import test_fork  # nothing has been computed yet
first = test_fork.in_a_child(test_fork.answers)
assert first == test_fork.answers() == test_fork.in_a_child(test_fork.answers)
print("the same")
"""


def test_a_child_forked_before_the_first_use_works():
    import subprocess
    import sys

    code = FIRST_USE.format(tests=os.path.dirname(__file__))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "the same\n", done.stderr
