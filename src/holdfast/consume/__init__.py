# SPDX-License-Identifier: Apache-2.0
"""How messages are consumed, whatever broker they come from: the contract, handlers, policy, decision, the worker's
loop.

Open ``decide`` first: it is the idea. ``contract`` says what a broker must do, ``consumer`` is the loop.
"""
