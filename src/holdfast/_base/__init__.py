# SPDX-License-Identifier: Apache-2.0
"""What every room may stand on: time, chance, messages, events, letters, secrets.

Imports nothing of ours but errors.
"""
