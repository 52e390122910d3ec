# SPDX-License-Identifier: Apache-2.0
"""Who may do what to which secret, and what is known of it afterwards.

::

    policy = read(Path("policy.yaml").read_text(), "yaml")
    tokens = Tokens(Path("tokens.json"), clock.wall_ms, secrets.token_bytes)
    with AuditLog(Path("audit"), key, clock.wall_ms) as audit:
        shop = Guarded(store, tokens.check(token), policy, audit, clock)      # a SecretStore
        shop.get("shop/db/password")

Inside::

    policy.py      rules, and what follows from them. Open this first
    reading.py     policies from JSON, TOML and YAML
    file.py        a policy that is read anew when its file changes
    approvals.py   what others said yes to
    tokens.py      texts that stand for somebody
    audit.py       what is said of an access, and how it can be believed
    log.py         the audit in files
    guarded.py     a store in somebody's name
"""

from __future__ import annotations

from ..._base.chain import Broken, Head
from .approvals import Approvals
from .audit import Entry, Keys, Mark, Said
from .file import PolicyFile
from .guarded import Guarded, Judge, Recorder
from .log import AuditLog, Checked, entries_in, verify
from .policy import Action, Asked, Glob, Hours, Policy, Rule, Verdict, matrix
from .reading import policy_of, read
from .tokens import Holder, Kept, Tokens

__all__ = ["Action", "Approvals", "Asked", "AuditLog", "Broken", "Checked", "Entry", "Glob", "Guarded", "Head",
           "Holder", "Hours", "Judge", "Kept", "Keys", "Mark", "Policy", "PolicyFile", "Recorder", "Rule", "Said",
           "Tokens", "Verdict", "entries_in", "matrix", "policy_of", "read", "verify"]
