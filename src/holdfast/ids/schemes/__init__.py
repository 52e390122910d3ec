# SPDX-License-Identifier: Apache-2.0
"""Where it is written down who has which worker id: one file a scheme, each fulfils ``Scheme``."""
