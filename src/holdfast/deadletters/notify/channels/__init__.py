# SPDX-License-Identifier: Apache-2.0
"""The ways to people. ``channel.py`` says what one is; each has a file of its own."""

from __future__ import annotations

from .channel import Answer, Channel, Reply, Request
from .dingtalk import DingTalk
from .mail import Mail
from .pagerduty import PagerDuty
from .slack import Slack
from .webhook import Webhook
from .wecom import WeCom

__all__ = ["Answer", "Channel", "DingTalk", "Mail", "PagerDuty", "Reply", "Request", "Slack", "WeCom", "Webhook"]
