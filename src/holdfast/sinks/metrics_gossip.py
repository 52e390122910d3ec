# SPDX-License-Identifier: Apache-2.0
"""Metrics of members of a gossip cluster. A part of the table in ``metrics``.

``node`` is a member of this process. Other members' names are no labels: a cluster has as many as it likes.
"""

from __future__ import annotations

from .metric import ONE, Feed, Metric, count, gauge, seconds

_NODE = ("node",)
_STATES = ("alive", "suspect", "dead", "left")
_CHANGES = ("joined", "updated", "suspected", "restored", "failed", "left", "forgotten")
_DIRECTIONS = {"in": "in", "out": "out"}
_STEPS = ("install", "use", "remove", "list", "activate", "retire")
_SEEN = ("verified", "cached", "unsigned", "replayed")
#: A ping and its answer: from one machine to half the globe.
_RTT_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def _by_direction(name: str, what: str, unit: str, help: str) -> Metric:
    feeds = tuple(Feed("GossipTraffic", f"{what}_{way}", {"direction": way}) for way in _DIRECTIONS)
    return Metric(name, "counter", help, (*_NODE, "direction"), feeds, unit, closed={"direction": tuple(_DIRECTIONS)})


GOSSIP = (
    Metric("holdfast_gossip_members", "gauge", "Members, by what this one holds them to be.", (*_NODE, "state"),
           tuple(Feed("GossipStood", state, {"state": state}) for state in _STATES), closed={"state": _STATES}),
    count("holdfast_gossip_changes_total", "GossipChanged", ONE, "Members held to be something else than before.",
          labels=_NODE, closed={"what": _CHANGES}),
    gauge("holdfast_gossip_health", "health", "Health of this member as it sees itself: 0 is well; each step more "
          "gives others that much more time before they are suspected.", labels=_NODE, event="GossipStood",
          across="max"),
    Metric("holdfast_gossip_waiting", "gauge", "Messages that wait to be told: news of members, letters of the layer "
           "above.", (*_NODE, "queue"), (Feed("GossipStood", "news", {"queue": "news"}),
                                         Feed("GossipStood", "letters", {"queue": "letters"})),
           closed={"queue": ("news", "letters")}),
    count("holdfast_gossip_dropped_total", "GossipDropped", "count", "Messages that fell out of full queues.",
          labels=_NODE, closed={"queue": ("news", "letters", "relays", "changes")}),
    count("holdfast_gossip_probes_total", "GossipProbed", "asked", "Members that were pinged.", labels=_NODE),
    count("holdfast_gossip_probes_failed_total", "GossipProbed", "failed",
          "Pings that were answered neither directly, nor by helpers, nor by stream.", labels=_NODE),
    seconds("holdfast_gossip_rtt_seconds", "GossipProbed", "rtt_s", "Time until a ping was answered directly.",
            labels=_NODE, buckets=_RTT_SECONDS),
    count("holdfast_gossip_refuted_total", "GossipRefuted", ONE,
          "False accusations of this member that it refuted: suspicions that were wrong.", labels=_NODE),
    _by_direction("holdfast_gossip_packets_total", "packets", "", "Datagrams."),
    _by_direction("holdfast_gossip_packet_bytes_total", "bytes", "bytes", "Bytes of datagrams."),
    count("holdfast_gossip_refused_total", "GossipRefused", "count",
          "Datagrams and streams that were not taken, by why; key: no key of ours opens them.", labels=(*_NODE, "why")),
    Metric("holdfast_gossip_exchanges_total", "counter", "Exchanges of all that is known.",
           (*_NODE, "role", "outcome"), (Feed("GossipExchanged"),),
           closed={"role": ("asked", "answered"), "outcome": ("done", "refused", "failed")}),
    seconds("holdfast_gossip_exchange_seconds", "GossipExchanged", "seconds", "Time of one exchange.", labels=_NODE),
    count("holdfast_gossip_late_total", "GossipLagged", ONE, "Times this member's loop woke late.", labels=_NODE),
    seconds("holdfast_gossip_late_seconds", "GossipLagged", "late_s", "By how much.", labels=_NODE),
    count("holdfast_gossip_conflicts_total", "GossipConflict", ONE,
          "Claims of a member's name from another address, each name once a second.", labels=_NODE),
    count("holdfast_gossip_user_events_total", "GossipUserEvent", ONE, "User events and messages that came.",
          labels=_NODE),
    count("holdfast_gossip_user_events_lost_total", "GossipUserEvent", "lost",
          "User events that a user of this member did not read in time.", labels=_NODE),
    count("holdfast_gossip_queries_total", "GossipQueried", ONE, "Queries of this member that ended.", labels=_NODE),
    count("holdfast_gossip_query_answers_total", "GossipQueried", "answers", "Answers to them.", labels=_NODE),
    count("holdfast_gossip_query_asked_total", "GossipQueried", "asked", "Members they were for.", labels=_NODE),
    seconds("holdfast_gossip_query_seconds", "GossipQueried", "seconds", "Time until a query ended.", labels=_NODE),
    gauge("holdfast_gossip_keys", "keys", "Keys that open what comes.", labels=_NODE, event="GossipKeysStood"),
    gauge("holdfast_gossip_key_age_seconds", "primary_age_s",
          "Age of the key that seals; without epochs since this process first saw it seal.", labels=_NODE,
          unit="seconds", event="GossipKeysStood", across="max"),
    gauge("holdfast_gossip_key_sealed", "sealed", "Times this member sealed with that key.", labels=_NODE,
          event="GossipKeysStood", across="max"),
    gauge("holdfast_gossip_key_epoch", "epoch", "Epoch of the key that seals, in native mode.", labels=_NODE,
          event="GossipKeysStood"),
    gauge("holdfast_gossip_key_behind", "behind", "Members known to be behind with the key.", labels=_NODE,
          event="GossipKeysStood", across="max"),
    gauge("holdfast_gossip_revoked", "revoked", "Revocations known here.", labels=_NODE, event="GossipKeysStood",
          across="max"),
    Metric("holdfast_gossip_key_steps_total", "counter", "Steps of key changes, by how they ended.",
           (*_NODE, "step", "outcome"), (Feed("GossipKeyStep"),),
           closed={"step": _STEPS, "outcome": ("done", "waiting", "aborted")}),
    gauge("holdfast_gossip_key_missing", "missing", "Members that lacked the last step of a key change.", labels=_NODE,
          event="GossipKeyStep", across="max"),
    seconds("holdfast_gossip_key_step_seconds", "GossipKeyStep", "seconds",
            "Time until a step was finished everywhere, or given up.", labels=_NODE),
    count("holdfast_gossip_revocations_total", "GossipRevoked", ONE, "Members that were expelled.", labels=_NODE),
    Metric("holdfast_gossip_signed_total", "counter", "Messages by what their signature was: verified by arithmetic, "
           "known from before (cached), missing where that is allowed, seen before.", (*_NODE, "outcome"),
           tuple(Feed("GossipVerified", what, {"outcome": what}) for what in _SEEN), closed={"outcome": _SEEN}),
    count("holdfast_gossip_verify_seconds_total", "GossipVerified", "seconds", "Time that verifying took.",
          labels=_NODE, unit="seconds"),
    gauge("holdfast_gossip_quarantined", "waiting", "Messages by keys that nobody vouches for.", labels=_NODE,
          event="GossipStrangerKey", across="max"),
    gauge("holdfast_gossip_score_lowest", "lowest", "Lowest score of a peer.", labels=_NODE, event="GossipScored"),
    gauge("holdfast_gossip_score_median", "median", "The middle one of the peers' scores.", labels=_NODE,
          event="GossipScored"),
    Metric("holdfast_gossip_peers_limited", "gauge", "Peers that are listened to less (gray), or not at all (banned).",
           (*_NODE, "how"), (Feed("GossipScored", "gray", {"how": "gray"}),
                             Feed("GossipScored", "banned", {"how": "banned"})), closed={"how": ("gray", "banned")}),
    count("holdfast_gossip_bans_total", "GossipBanned", ONE, "Peers that were banned, by why.", labels=_NODE,
          closed={"why": ("score", "equivocation", "revoked")}),
    count("holdfast_gossip_equivocations_total", "GossipEquivocated", ONE,
          "Members proved to have signed two values under one number.", labels=_NODE),
    gauge("holdfast_gossip_coverage_ratio", "share",
          "Share of the user events a peer had that had reached this member before it exchanged with it.", labels=_NODE,
          event="GossipCovered"),
    count("holdfast_gossip_pulled_total", "GossipCovered", "pulled",
          "User events that gossip missed and an exchange brought.", labels=_NODE),
    gauge("holdfast_gossip_views_differing", "differing", "Members seen for too long with another view of the members.",
          labels=_NODE, event="GossipSplit", across="max"),
)
