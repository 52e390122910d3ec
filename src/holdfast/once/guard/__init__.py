# SPDX-License-Identifier: Apache-2.0
"""Once for what is no message: HTTP handlers, cron jobs, scripts. ``once.Guard`` is its door.

``records``   pure: what a claim means; open this first
``guard``     the guard itself, blocks and decorator; ``guarded`` one call of it, ``renewal`` what keeps its mark alive
``store``     the contract of stores: memory, Redis, SQL (``sql_within``: in the user's own transaction)
"""
