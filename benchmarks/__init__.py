# SPDX-License-Identifier: Apache-2.0
"""How fast, how late, how large, how idle, how soon again: Holdfast beside other ways to consume a Redis stream,
beside other locks, and beside other makers of ids; how many dead letters can be handled, how quickly a file of spans is
read, and what gossip takes to reach everybody.

::

    make bench                                            everything, with 1,000,000 messages where memory is measured
    python -m benchmarks --only drain --n 5000 --runs 3   a quick look
    python -m benchmarks --only locks                     some twelve minutes; with --quick, a minute and a half
    python -m benchmarks --only ids                       likewise
    python -m benchmarks --only letters                   some ten minutes; with --quick, one
    python -m benchmarks --only traces                    some ten minutes; with --quick, one; no server
    python -m benchmarks --only gossip                    some five minutes; with --quick, one; no server

``job``           what a child process is told, and the message it handles; ``tally``: how a handler counts
``contestants/``  one file a library, each doing the same four things: fill, pace, work, say how it is set
``rig``           servers, children, and when a stream is drained
``drain``, ``latency``, ``memory``, ``idle``, ``recovery``    one question a file: measure and return figures
``locks``         four questions about locks; ``contestants/lock_roles``: what a process does with one;
                  ``board``: what the processes of one run see of one another
``ids``           what an id costs, and a worker id; ``ids_check``, ``ids_claims``, ``ids_segments``: parts of it;
                  ``contestants/id_roles``: how a call is timed
``letters``       dead letters by the hundred thousand; ``letters_screen``: the console's page of them
``traces``        files of spans: ``traces_data`` writes them, ``traces_peers`` and ``traces_paths`` are children
``gossip``        ten thousand simulated members, packets, signatures; ``gossip_…``: its children
``figures``, ``report`` and what ends in ``_report``    pure: medians and ratios; JSON and Markdown

Every contestant runs in a fresh process of its own and is measured by the same code, inside it and outside it.
"""
