# SPDX-License-Identifier: Apache-2.0
"""Rows that move by declared steps, each taken once. ``once.StateMachine`` and ``once.Step`` are its doors.

``machine``   pure: states, steps, and what a request means in a state; open this first
``paths``     pure: which steps every path to a state has taken, which states can still be reached
``on_sql``    the compare-and-set on a table; ``columns`` what such a table must have
``diagram``   a machine, drawn
"""
