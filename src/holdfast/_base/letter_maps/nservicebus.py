# SPDX-License-Identifier: Apache-2.0
"""NServiceBus: headers of messages in an error queue. Times have microseconds there; below a millisecond they are lost.

Source: "Message Headers" of Particular's documentation, ``DateTimeOffsetHelper``, ``FaultsHeaderKeys``.
"""

from __future__ import annotations

from typing import Final

from .codecs import NSB_TIME, TEXT, Table, rows

NSERVICEBUS: Final = Table(
    "NServiceBus, headers `NServiceBus.*` of an error queue", (
        *rows("NServiceBus.", TEXT, FailedQ="original-topic", ExceptionInfo_ExceptionType="exception-type",
              ExceptionInfo_InnerExceptionType="root-cause-type", ExceptionInfo_Message="exception-message",
              ExceptionInfo_StackTrace="exception-stacktrace", ProcessingEndpoint="consumer-service",
              ProcessingMachine="consumer-host", MessageId="original-message-id", CorrelationId="correlation-id",
              RelatedTo="causation-id", OriginatingEndpoint="producer", EnclosedMessageTypes="message-type",
              ContentType="original-content-type"),
        ("NServiceBus.TimeOfFailure", "failure-timestamp", NSB_TIME),
        ("NServiceBus.TimeSent", "original-timestamp", NSB_TIME),
    ), implied={"failure-reason": "handler_error"})
