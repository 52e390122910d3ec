# SPDX-License-Identifier: Apache-2.0
"""The service graph: calls are told by parents, whatever the format's halves; circles are named."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from holdfast.traces import Span
from holdfast.traces.answers.graph import cycles, service_graph
from holdfast.traces.table import SpanTable


def span(span_id, parent, service, start=0, end=10, **said):
    attributes = said.pop("attributes", None)
    return Span("t", span_id, parent, service, "op", start * 1000, end * 1000,
                attributes=json.dumps(attributes) if attributes else "", **said)


def graph(*spans):
    with SpanTable.of(spans) as table:
        return service_graph(table)


def calls(found):
    return {(edge.source, edge.target, edge.kind): (edge.calls, edge.failed) for edge in found.edges}


def test_a_call_with_a_client_and_a_server_span_is_one_call():
    found = graph(span("1", "", "web"), span("2", "1", "web", kind="client"), span("3", "2", "shop", kind="server"))
    assert calls(found) == {("web", "shop", "call"): (1, 0)}


def test_halves_that_share_an_id_are_one_call():
    found = graph(span("1", "", "web"), span("2", "1", "web", kind="client"),
                  span("2", "1", "shop", kind="server", error=True), span("3", "2", "shop"))
    assert calls(found) == {("web", "shop", "call"): (1, 1)}


def test_messages_are_told_from_calls():
    found = graph(span("1", "", "web", kind="producer"), span("2", "1", "mail", kind="consumer"))
    assert calls(found) == {("web", "mail", "messaging"): (1, 0)}


def test_what_is_not_traced_is_a_node_where_the_client_named_it():
    found = graph(
        span("1", "", "web"), span("2", "1", "web", 0, 7, kind="client", attributes={"db.system": "redis"}, error=True),
        span("3", "1", "web", kind="client", attributes={"peer.service": "bank", "net.peer.name": "10.0.0.1"}),
        span("4", "1", "web", kind="client", attributes={"http.method": "GET"}),
        span("5", "1", "web", kind="client", attributes={"peer.service": "shop"}),
        span("6", "5", "shop", kind="server"),
        span("7", "1", "web", attributes={"peer.service": "of no client"}))
    assert calls(found) == {("web", "redis", "database"): (1, 1), ("web", "bank", "peer"): (1, 0),
                            ("web", "shop", "call"): (1, 0)}
    virtual = [node for node in found.nodes if not node.spans]
    assert [(node.name, node.kind, node.requests, node.failed, node.p50_us) for node in virtual] == [
        ("bank", "peer", 1, 0, 10), ("redis", "database", 1, 1, 7)]


def test_a_service_s_requests_are_what_it_was_asked_from_outside():
    found = graph(span("1", "", "web", 0, 50), span("2", "1", "web", 0, 40), span("3", "2", "shop", 0, 30, error=True),
                  span("4", "3", "shop", 0, 20))
    web, shop = found.nodes[1], found.nodes[0]
    assert (web.spans, web.requests, web.failed, web.p50_us) == (2, 1, 0, 50)
    assert (shop.spans, shop.errors, shop.requests, shop.failed, shop.p99_us) == (2, 1, 1, 1, 30)


def test_attributes_that_are_no_json_name_nobody():
    with SpanTable.of([span("1", "", "web"), span("2", "1", "web", kind="client")]) as table:
        table.query("UPDATE span SET attributes = '{' WHERE kind = 'client'")
        assert service_graph(table).edges == []


def test_services_that_reach_each_other_are_a_cycle():
    assert cycles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "f"), ("f", "e"), ("g", "g")]) == [
        ["a", "b", "c"], ["e", "f"]]
    found = graph(span("1", "", "web"), span("2", "1", "shop"), span("3", "2", "web"))
    assert found.cycles == [["shop", "web"]]


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg"))))
def test_cycles_are_whoever_reaches_whoever_reaches_them(edges):
    reach = {name: {target for source, target in edges if source == name} for name in "abcdefg"}
    for _ in range(7):
        for name, found in reach.items():
            reach[name] = found | set().union(*(reach[one] for one in found))
    expected = {tuple(sorted({name} | {other for other in reach[name] if name in reach[other]})) for name in "abcdefg"}
    assert cycles(edges) == sorted(list(group) for group in expected if len(group) > 1)


def test_a_long_way_round_is_a_cycle():
    assert len(cycles((str(n), str((n + 1) % 20_000)) for n in range(20_000))[0]) == 20_000


def test_known_edges_are_found_in_a_minute_of_train_tickets(data_dir):
    with SpanTable.read(str(data_dir / "traces" / "nezha_trainticket_2023-01-29_10-20.csv")) as table:
        found = service_graph(table)
    assert (len(found.nodes), len(found.edges), sum(edge.calls for edge in found.edges)) == (18, 23, 79)
