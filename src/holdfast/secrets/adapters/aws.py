# SPDX-License-Identifier: Apache-2.0
"""Secrets in AWS Secrets Manager.

Its versions have ids, which the writer may choose, and staging labels. ``put`` chooses ``holdfast-version-…7`` for the
seventh: whoever else writes a seventh at the same time is refused by the service, and asking twice writes once. Moving
a label names the version it is taken from, which is a comparison, too. Versions that others made are read by their
labels and have the number 0.

What it costs: a request each time, so keep a cache (``Secrets``); the service forgets versions without a label after a
while; a deleted secret stays for 7 to 30 days, as a whole. At most one write in ten minutes a secret is sustained.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final

from ..._base.clock import WallMs
from ..._base.secret import Secret
from ...errors import (
    ConfigurationError,
    HoldfastError,
    MissingExtra,
    SecretDenied,
    SecretMoved,
    SecretNotFound,
    SecretsUnreachable,
    SecretUnavailable,
)
from ..contract import Ability, Found, State, Version
from ..labels import check_latest, check_move
from ..names import CURRENT, PENDING, PREVIOUS, below, check_label, check_name, check_prefix, check_value, is_name

#: Bytes of a value, by the service.
AWS_VALUE_MAX: Final = 65_536
#: Times that a version is written whose number somebody else took meanwhile.
TRIES: Final = 8
#: Days for which a deleted secret can come back.
RECOVERY_DAYS: Final = 7

_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]+")
_OURS: Final = re.compile(r"holdfast-version-(\d{15})")
_STAGES: Final = {CURRENT: "AWSCURRENT", PENDING: "AWSPENDING", PREVIOUS: "AWSPREVIOUS"}
_LABELS: Final = {stage: label for label, stage in _STAGES.items()}
_DENIED: Final = ("AccessDenied", "UnrecognizedClient", "InvalidClientTokenId", "ExpiredToken", "InvalidSignature")

_CODES: Final[Mapping[str, tuple[type[HoldfastError], str]]] = {
    "ResourceNotFoundException": (SecretNotFound, "there is no secret {} in AWS, or no such version"),
    "ResourceExistsException": (SecretMoved, "somebody else wrote {} meanwhile"),
    "InvalidRequestException": (SecretNotFound, "{} was deleted in AWS, or what is asked cannot be done with it"),
    "InvalidParameterException": (SecretMoved, "AWS refused a change of {}: its labels were moved meanwhile"),
    "InternalServiceError": (SecretsUnreachable, "AWS Secrets Manager did not answer for {}"),
    "ThrottlingException": (SecretsUnreachable, "AWS Secrets Manager was asked too often, for {} the last time"),
}

_Held = Mapping[str, Any]


class AwsStore:
    """client: as ``boto3.client("secretsmanager")`` makes it; None: made here, by what the machine is configured for.
    prefix: put before each name, with a slash.

    Raises MissingExtra without boto3, ConfigurationError where no region is configured.
    """

    scheme: ClassVar[str] = "aws"
    abilities: Ability = ~Ability.NONE

    def __init__(self, client: Any = None, *, prefix: str = "", **made_with: Any) -> None:
        self._prefix = check_prefix(prefix)
        self._client = _client(made_with) if client is None else client

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        wanted = {"VersionStage": _stage(check_label(label))} if version is None else {"VersionId": _id(version)}
        found = self._ask(name, "get_secret_value", **wanted)
        value = found["SecretString"].encode() if "SecretString" in found else bytes(found["SecretBinary"])
        return Found(name, _version(found["VersionId"], found["CreatedDate"], found.get("VersionStages", ()),
                                    len(value)), Secret(value))

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``. Three requests: whether there is one, its versions, and the write."""
        shown = check_value(value.reveal())
        if len(shown) > AWS_VALUE_MAX:
            raise ConfigurationError(f"{check_name(name)} has {len(shown):,} bytes, and AWS keeps {AWS_VALUE_MAX:,}")
        for left in reversed(range(TRIES)):
            latest = max((one.number for one in self._versions(name, missing_ok=True)), default=0)
            check_latest(name, latest, expect)
            try:
                return self._write(name, shown, check_label(label), latest + 1)
            except SecretMoved:
                if expect is not None or not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``."""
        stage = _stage(check_label(label))
        held = self._ask(name, "describe_secret").get("VersionIdsToStages", {})
        before = next((id_ for id_, stages in held.items() if stage in stages), None)
        check_move(name, label, version, held=0 if before is None else _number(before), expect=expect,
                   live=lambda number: _id(number) in held)
        moved = {} if version is None else {"MoveToVersionId": _id(version)}
        if before is not None and before != moved.get("MoveToVersionId"):
            moved["RemoveFromVersionId"] = before
        if before != moved.get("MoveToVersionId"):
            self._ask(name, "update_secret_version_stage", VersionStage=stage, **moved)

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``."""
        prefix = check_prefix(prefix)
        found: list[str] = []
        asked: dict[str, Any] = {}
        while True:
            page = self._called(prefix or "secrets", partial(self._client.list_secrets, **asked))
            found += [name for one in page["SecretList"] if "DeletedDate" not in one
                      and (name := self._bare(one["Name"])) is not None and below(name, prefix) and is_name(name)]
            if not page.get("NextToken"):
                return tuple(sorted(found))
            asked = {"NextToken": page["NextToken"]}

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``. Those that the service still knows."""
        return tuple(sorted(self._versions(name), key=lambda one: (one.number, one.made), reverse=True))

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``; the whole secret only."""
        self._whole(name, version, "delete_secret", RecoveryWindowInDays=RECOVERY_DAYS)

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``; the whole secret only."""
        self._whole(name, version, "restore_secret")

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``; the whole secret only, whose numbers begin anew."""
        self.history(name)
        self._whole(name, version, "delete_secret", ForceDeleteWithoutRecovery=True)

    def close(self) -> None:
        """See ``SecretStore``."""
        self._client.close()

    def _write(self, name: str, shown: bytes, label: str, number: int) -> Version:
        body: dict[str, Any] = {"SecretBinary": shown}
        with contextlib.suppress(UnicodeDecodeError):  # what is no text is kept as bytes
            body = {"SecretString": shown.decode()}
        if number == 1:
            try:
                made = self._called(name, lambda: self._client.create_secret(
                    Name=self._full(name), ClientRequestToken=_id(1), **body))
                # A new secret's first version is in force, whatever it is to be.
                stages = ["AWSCURRENT"]
                if label != CURRENT:
                    self._ask(name, "update_secret_version_stage", VersionStage=_stage(label), MoveToVersionId=_id(1))
                    stages.append(_stage(label))
                return _version(made["VersionId"], None, stages, len(shown))
            except SecretMoved:
                if self._versions(name):  # guard: somebody else was first
                    raise
        made = self._ask(name, "put_secret_value", ClientRequestToken=_id(number),  # guard: of two, one is refused
                         VersionStages=[_stage(label)], **body)
        return _version(made["VersionId"], None, made["VersionStages"], len(shown))

    def _versions(self, name: str, *, missing_ok: bool = False) -> list[Version]:
        found: list[Version] = []
        try:
            self._ask(name, "describe_secret")
        except SecretNotFound:
            if missing_ok:
                return found
            raise
        asked: dict[str, Any] = {"IncludeDeprecated": True}
        while True:
            page = self._ask(name, "list_secret_version_ids", **asked)
            found += [_version(one["VersionId"], one.get("CreatedDate"), one.get("VersionStages", ()), -1)
                      for one in page["Versions"]]
            if not page.get("NextToken"):
                return found
            asked["NextToken"] = page["NextToken"]

    def _whole(self, name: str, version: int | None, call: str, **more: Any) -> None:
        if version is not None:
            raise ConfigurationError(f"secrets in the scheme 'aws' cannot lose one version: take all of {name}")
        self._ask(name, call, **more)

    def _ask(self, name: str, call: str, **more: Any) -> _Held:
        full = self._full(name)
        return self._called(name, lambda: getattr(self._client, call)(SecretId=full, **more))

    def _called(self, name: str, call: Callable[[], Any]) -> _Held:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found: _Held = call()
        except ClientError as error:
            raise _translated(name, error.response.get("Error", {}).get("Code", "")) from None
        except BotoCoreError as error:
            raise SecretsUnreachable(f"AWS Secrets Manager did not answer for {name}: {type(error).__name__}") from None
        return found

    def _full(self, name: str) -> str:
        full = f"{self._prefix}/{check_name(name)}" if self._prefix else check_name(name)
        if not _NAME.fullmatch(full):
            raise ConfigurationError(f"{full!a} cannot be a secret's name in AWS: letters and digits of ASCII and "
                                     "/_+=.@- can")
        return full

    def _bare(self, full: str) -> str | None:
        if not self._prefix:
            return full
        return full.removeprefix(f"{self._prefix}/") if full.startswith(f"{self._prefix}/") else None


def _client(made_with: Mapping[str, Any]) -> Any:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise MissingExtra("aws", "AWS Secrets Manager") from error
    try:
        return boto3.client("secretsmanager", **made_with)
    except BotoCoreError as error:
        raise ConfigurationError(f"AWS is not configured: {error}") from None


def _translated(name: str, code: str) -> Exception:
    if code.startswith(_DENIED):
        return SecretDenied(f"AWS does not allow that for {name} ({code}): see the policy of whoever asks")
    kind, why = _CODES.get(code, (SecretUnavailable, "AWS refused what was asked for {}: " + code))
    return kind(why.format(name))


def _version(id_: str, made: datetime | None, stages: Any, size: int) -> Version:
    at = 0 if made is None else int(made.timestamp() * 1000)
    labels = tuple(sorted(_LABELS.get(stage, stage.lower()) for stage in stages))
    return Version(_number(id_), WallMs(at), labels, State.LIVE, size)


def _stage(label: str) -> str:
    return _STAGES.get(label, label)


def _id(number: int) -> str:
    return f"holdfast-version-{number:015d}"


def _number(id_: str) -> int:
    ours = _OURS.fullmatch(id_)
    return int(ours[1]) if ours else 0
