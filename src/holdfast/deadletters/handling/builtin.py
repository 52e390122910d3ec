# SPDX-License-Identifier: Apache-2.0
"""The rules that are in force without a file, and behind the rules of one. Pure data.

They go by what the consumer itself said of its error (``error-category``), which knows more than a text does. Nothing
is removed by them: what is not worth another try waits for a person.
"""

from __future__ import annotations

from typing import Any, Final

#: What a category is worth where a rule does not say otherwise.
CATEGORIES: Final[dict[str, dict[str, Any]]] = {
    "transient": {"severity": "warning", "action": "retry", "notify": True,
                  "retry": {"strategy": "exponential", "base": "30s", "factor": 2, "cap": "15m", "jitter": "full",
                            "max": 5}},
    "permanent": {"severity": "error", "action": "manual", "notify": True},
    "business": {"severity": "warning", "action": "manual", "notify": True},
    "unknown": {"severity": "error", "action": "manual", "notify": True},
}

RULES: Final[tuple[dict[str, Any], ...]] = (
    {"name": "builtin/crash-loop", "match": {"reason": "crash_loop"}, "category": "permanent", "severity": "critical"},
    {"name": "builtin/gone", "match": {"reason": ["payload_missing", "trimmed"]}, "category": "permanent",
     "severity": "critical"},
    {"name": "builtin/buried-by-hand", "match": {"reason": "manual"}, "category": "unknown", "severity": "info",
     "notify": False},
    {"name": "builtin/business", "match": {"said": "business"}, "category": "business"},
    {"name": "builtin/transient", "match": {"said": "transient"}, "category": "transient"},
    {"name": "builtin/broken", "match": {"reason": ["schema_invalid", "decode_error", "unknown_type"]},
     "category": "permanent"},
    {"name": "builtin/permanent", "match": {"said": "permanent"}, "category": "permanent"},
)
