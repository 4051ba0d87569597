"""The loss of a connection is told, whoever meets it, and whatever interrupts the telling."""

import pytest

from chatrpc.transport.connection import Alarm


def test_the_first_error_rings():
    rung = []
    alarm = Alarm(rung.append)
    for error in (first := OSError(), OSError()):
        alarm.append(error)
    assert rung == [first]
    assert len(alarm) == 2


def test_two_threads_that_meet_the_loss_at_once_cannot_both_leave_it_to_the_other():
    rung = []
    alarm = Alarm(rung.append)
    list.append(alarm, OSError())  # as far as another thread has come
    alarm.append(OSError())
    assert rung


def test_an_interrupt_while_it_rings_does_not_silence_it():
    rung = []

    def ring(error):
        rung.append(error)
        if len(rung) == 1:
            raise KeyboardInterrupt

    alarm = Alarm(ring)
    with pytest.raises(KeyboardInterrupt):
        alarm.append(OSError())
    for _ in range(2):
        alarm.append(OSError())
    assert len(rung) == 2
