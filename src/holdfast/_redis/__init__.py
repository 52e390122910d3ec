# SPDX-License-Identifier: Apache-2.0
"""The only floor that speaks Redis: opening a server, links, scripts, key names, slots, leases. Rooms stand on it."""
