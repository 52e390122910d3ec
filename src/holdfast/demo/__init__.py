# SPDX-License-Identifier: Apache-2.0
"""The main job, run before your eyes: a trace log goes through the streams while workers are killed.

``spans`` reads lines, ``generate`` makes some up, ``store`` is the effect, and ``ledger`` counts it all again.
"""
