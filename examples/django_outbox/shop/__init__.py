# SPDX-License-Identifier: Apache-2.0
"""A shop: orders, and the messages that tell of them."""
