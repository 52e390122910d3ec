# SPDX-License-Identifier: Apache-2.0
"""A process that resumes the rotation under way, or begins one, and says how it ended. Argument: a ``Task`` as JSON."""

from __future__ import annotations

import json
import os
import sys
import time

import msgspec

from holdfast.errors import RotationFailed
from holdfast.secrets.rotation import Rotation, Rotator
from holdfast.secrets.rotation.redis_user import RedisUser
from holdfast.secrets.rotation.sql_user import PostgresUsers
from holdfast.testing.points import arm_from_env
from tests.faults.workers.secret_user import opened, registered


class Task(msgspec.Struct):
    """kind: redis or postgres. admin: the URL of who may change its users."""

    kind: str
    store: str
    register: str
    name: str
    admin: str
    wait_s: float = 30.0


def main(task: Task) -> None:
    rotator: Rotator = (RedisUser("app", [task.admin], persist=False) if task.kind == "redis" else
                        PostgresUsers(task.admin, ["app_a", "app_b"]))
    rotation = Rotation(opened(task.store), rotator, registered(task.register), wait_s=task.wait_s,
                        poll_s=0.02, lease_s=0.5)
    while True:
        try:
            report = rotation.resume(task.name) or rotation.rotate(task.name)
            break
        except RotationFailed as refused:
            if "works on the rotation" not in str(refused):
                raise
            time.sleep(0.05)  # of the one that died: its lease has to run out
    rotation.close()
    os.write(1, json.dumps({"stage": report.stage.value, "before": report.before, "after": report.after,
                            "stragglers": report.stragglers}).encode() + b"\n")


if __name__ == "__main__":
    arm_from_env()
    main(msgspec.json.decode(sys.argv[1], type=Task))
