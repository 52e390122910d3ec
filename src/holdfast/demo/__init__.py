# SPDX-License-Identifier: Apache-2.0
"""The main job, run before your eyes: a trace log goes through the streams while workers are killed.

``reading`` has a pipeline of logs read the file, ``spans`` knows good lines, ``generate`` makes some up, ``store`` is
the effect, and ``ledger`` counts it all again.
"""
