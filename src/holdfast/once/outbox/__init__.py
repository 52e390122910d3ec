# SPDX-License-Identifier: Apache-2.0
"""Messages that leave if, and only if, the user's SQL transaction commits. ``once.Outbox`` and ``once.Relay`` are its
doors.

``outbox``    writing rows
``relay``     the loop that brings them to their streams, and why none comes twice; open this first
``marks``     one term of a relay on its streams; ``stalls``, pure: which streams rest
"""
