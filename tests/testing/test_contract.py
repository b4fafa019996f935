"""The contract fails a transport that breaks it, in the test that is about that."""

from __future__ import annotations

import inspect

import pytest

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.testing import TransportContract
from fly_orm.testing.contract.processes import Processes
from fly_orm.testing.contract.tools import SOON, node_of
from tests.support import broken_transports as broken

#: What a test raises when it fails.
FAILURES = (AssertionError, pytest.fail.Exception, NotDelivered, OutcomeUnknown)

A_LATE_REPLY = "a_reply_that_comes_too_late_is_never_anothers_reply"
A_PASSED_DEADLINE = "a_deadline_that_passes_while_the_server_works_leaves_the_outcome_unknown"
NO_REPLY = "no_reply_means_that_the_connection_is_dropped"
ANY_SIZE = "a_reply_is_the_responders_bytes_at_any_allowed_size"

CASES = [
    (broken.IgnoresOptions, "an_option_that_the_transport_does_not_have_is_a_configuration_error", "NOT RAISE"),
    (broken.SendsAgain, NO_REPLY, "2 == 1"),
    (broken.SendsAgain, "nothing_is_sent_again_after_the_deadline_has_passed", "sent again|b'write', b'write'"),
    (broken.Reconnects, "a_channel_does_not_reach_the_server_that_came_after_its_own", "NOT RAISE"),
    (broken.Reconnects, "a_channel_does_not_reach_the_process_that_came_after_its_own", "NOT RAISE"),
    (broken.RepliesLate, A_LATE_REPLY, "NOT RAISE"),
    (broken.DeniesDelivery, A_PASSED_DEADLINE, "was sent to"),
    (broken.DeniesDelivery, "the_death_of_a_server_that_is_answering_leaves_the_outcome_unknown", "was sent to"),
    (broken.DeniesDelivery, "a_reply_over_the_limit_leaves_the_outcome_unknown", "was sent to"),
    (broken.NeverKnows, "an_expired_deadline_means_not_delivered", "was not sent to"),
    (broken.NeverKnows, "a_request_over_the_limit_is_not_delivered", "was not sent to"),
    (broken.NeverKnows, "a_closed_channel_delivers_nothing", "was not sent to"),
    (broken.MakesUpReplies, "a_server_that_has_died_is_not_replied_for", "NOT RAISE"),
    (broken.IgnoresDeadlines, A_PASSED_DEADLINE, "did not return"),
    (broken.IgnoresDeadlines, "an_expired_deadline_means_not_delivered", "NOT RAISE"),
    (broken.NoticesNothing, "the_death_of_a_server_that_is_answering_leaves_the_outcome_unknown", "did not return"),
    (broken.SwallowsInterrupts, "an_interrupted_exchange_leaves_the_channel_unusable", "swallowed"),
    (broken.ClosesLate, "closing_a_channel_reports_the_peer_gone_once", "was not called"),
    (broken.ChildrenHangUp, "a_child_that_closes_a_channel_leaves_it_to_the_parent", "closed"),
    (broken.SaysGoodbyeWhenDropped, "a_child_that_drops_a_channel_leaves_it_to_the_parent", "closed"),
    (broken.Truncates, (ANY_SIZE, {"size": 1_000_000}), "65536"),
    (broken.HasNoEmptyReply, (ANY_SIZE, {"size": 0}), "no reply came"),
    (broken.AnswersOneAtATime, "many_channels_are_answered_at_once", "did not return|no reply came"),
    (broken.NeverSaysGone, "the_death_of_an_idle_client_is_noticed", "was not called"),
    (broken.NeverSaysGone, "every_responder_has_been_told_when_close_returns", r"\[0, 0"),
    (broken.SaysGoneTwice, "closing_a_channel_reports_the_peer_gone_once", "2 == 1"),
    (broken.SaysGoneAfterAnswering, A_PASSED_DEADLINE, "was not called"),
    (broken.SaysGoneAfterAnswering, "the_death_of_a_client_is_noticed_while_its_request_is_answered", "was not called"),
    (broken.TrustsEverybody, "a_stranger_who_sends_more_is_dropped_and_not_answered", "NOT RAISE"),
    (broken.TrustsEverybody, "a_stranger_is_disconnected_after_a_while_and_a_trusted_peer_is_not", "did not happen"),
    (
        broken.ClosesAtOnce,
        "close_lets_the_request_being_answered_finish_and_delivers_its_reply",
        "given up|no reply came",
    ),
    (broken.ClosesWhenItLikes, "close_waits_no_longer_than_the_drain_timeout", "did not return"),
    (broken.AcceptsWhileClosing, "a_server_that_is_closing_takes_no_further_request", "did not happen"),
    (
        broken.SaysNothingLast,
        "a_request_that_crosses_the_end_of_its_channel_is_known_not_to_be_executed",
        "no reply came",
    ),
    (broken.TellsNobody, "every_responder_has_been_told_when_close_returns", r"\[0, 0"),
    (broken.TakesAnyAddress, "a_malformed_address_is_a_configuration_error", "is not an address"),
    (broken.ThinksItIsAlone, "an_address_that_others_can_connect_to_is_not_local", "192"),
    (broken.TriesForLong, "where_nobody_listens_nothing_is_delivered", r"< \(1 \+ 5"),
    (broken.StraysBetweenProcesses, "each_channel_stays_with_one_of_the_processes_at_an_address", "moved from"),
]


def run(transport, name, *, notices=SOON, **arguments):
    """Run one test of the contract as pytest would."""

    class Contract(TransportContract):
        listen = "127.0.0.1:0"
        shares_addresses = issubclass(transport, broken.SharedTransport)
        notice_timeout = notices
        remote_addresses = ("192.0.2.1:7654",)

    Contract.transport = transport
    test = getattr(Contract(), f"test_{name}")
    with node_of(Contract.new_transport(), Contract.listen) as node:
        processes = Processes(transport, Contract.listen)
        given = {"node": node, "processes": processes, **arguments}
        try:
            test(**{parameter: given[parameter] for parameter in inspect.signature(test).parameters})
        finally:
            processes.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "test", "says"),
    CASES,
    ids=[f"{transport.__name__}-{test if isinstance(test, str) else test[0]}" for transport, test, _ in CASES],
)
def test_a_transport_that_breaks_the_contract_is_caught(transport, test, says):
    name, arguments = (test, {}) if isinstance(test, str) else test
    with pytest.raises(FAILURES, match=says):
        run(transport, name, notices=1.0, **arguments)


def test_a_factory_whose_argument_is_not_the_settings_is_caught():
    with pytest.raises(TypeError, match="Settings"):
        run(broken.TakesSomethingElse, "the_factory_accepts_the_settings")


@pytest.mark.slow
def test_servers_may_share_an_address():
    run(broken.SharedTransport, "each_channel_stays_with_one_of_the_processes_at_an_address")
    run(broken.SharedTransport, "a_server_of_another_process_answers")


def test_what_carries_the_broken_transports_is_not_broken_itself():
    for name in (A_LATE_REPLY, A_PASSED_DEADLINE, NO_REPLY, "the_death_of_an_idle_client_is_noticed"):
        run(broken.Transport, name)
