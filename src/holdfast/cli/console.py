# SPDX-License-Identifier: Apache-2.0
"""``holdfast console``: streams, dead letters, locks and worker ids over HTTP, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import desk_option, letter_option, secrets_option, server_options, settings, sql_option_for, token_option
from .desk import desk_url
from .output import say
from .params import ADDRESS

if TYPE_CHECKING:
    from .._base.secret import Secret
    from ..console import ConsoleSettings, User
    from ..deadletters import LetterInfo
    from ..deadletters.applied import Applied
    from ..deadletters.people import FieldRule
    from .plan import Address

_FILE = click.Path(dir_okay=False, path_type=Path)
#: Who signs in with ``--password-file``, or with the password that is made for one run.
NAME = "admin"


@click.command("console")
@click.option("--bind", type=ADDRESS, metavar="HOST:PORT", default="127.0.0.1:8800", show_default=True,
              help="listen here; other machines reach it only with sign-in and TLS, or behind a proxy")
@click.option("--users", "users_file", type=_FILE, help="who may sign in: lines that --hash-password writes")
@click.option("--password-file", type=_FILE, help=f"the password of one user, {NAME}, who is an approver")
@click.option("--hash-password", metavar="NAME:ROLE", help="read a password from stdin, write a line for --users, end")
@click.option("--tls-cert", "cert", type=_FILE, help="certificate chain, PEM")
@click.option("--tls-key", "key", type=_FILE, help="its key, PEM")
@click.option("--host", "hosts", multiple=True, help="a name that it answers to, beside --bind's and localhost")
@click.option("--trust-proxy-header", "proxy_header", metavar="NAME", default="",
              help="a reverse proxy says in this header who is signed in")
@click.option("--proxy-address", "proxy_addresses", multiple=True, help="believe it from this address alone")
@click.option("--role", "roles", multiple=True, metavar="NAME=ROLE", help="the role of whom a proxy names; else viewer")
@click.option("--allow-changes", is_flag=True, help="let operators change things; without it everything is read-only")
@click.option("--fields", "fields_file", type=_FILE, help="TOML file of payload fields and which roles may see them")
@click.option("--approve-above", type=click.IntRange(min=0), metavar="LETTERS",
              help="replays of more letters wait until an approver, a second person, agrees")
@click.option("--redirect-url", "brokers", multiple=True, metavar="URL", envvar="HOLDFAST_REDIRECT_URL",
              help="a broker that replay jobs may redirect to: amqp://…, kafka://…, or secret://name; several times if "
                   "need be  [HOLDFAST_REDIRECT_URL]")
@click.option("--hash-key-file", type=_FILE, help="secret of the marks that erased keys leave, as `dlq erase` has it")
@sql_option_for('the database behind once="sql", to ask before a replay what took effect')
@secrets_option
@token_option
@letter_option
@desk_option
@server_options()
def console(*, bind: Address, users_file: Path | None, password_file: Path | None, hash_password: str | None,
            cert: Path | None, key: Path | None, roles: Sequence[str], brokers: Sequence[str], **more: Any) -> int:
    """Serve the console's API on streams, dead letters, locks and worker ids.

    Everything but /healthz and /api/openapi.json takes a session, a token or a proxy's word. Without --users,
    --password-file and --trust-proxy-header a password is made for this run and said on stderr. A token's name in
    --token-file begins with its role: viewer.grafana:TOKEN.
    """
    if hash_password is not None:
        return _hashed(hash_password)
    if (cert is None) is not (key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if bool(more["proxy_header"]) is not bool(more["proxy_addresses"]):
        raise click.UsageError("--trust-proxy-header and --proxy-address go together")
    from ..console import check_bind

    check_bind(bind[0], sign_in=bool(users_file or password_file), tls=cert is not None,
               proxy=bool(more["proxy_header"]))
    users = _users(users_file, password_file, proxied=bool(more["proxy_header"]))
    how = _settings(bind, roles, secure=cert is not None or bool(more["proxy_header"]), **more)
    return asyncio.run(_serving(bind, users, how, _tokens(), (cert, key), brokers=_redirects(brokers)))


def _hashed(text: str) -> int:
    from .._base.secret import Secret
    from ..console import user
    from ..console.roles import role_of

    name, _, role = text.partition(":")
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.UsageError("--hash-password reads the password from stdin, and there was none")
    click.echo(user(name, role_of(role, "--hash-password"), Secret(password)).line())
    return 0


def _users(users_file: Path | None, password_file: Path | None, *, proxied: bool) -> dict[str, User]:
    from .._base.secret import FromFiles, Secret, SecretRef
    from ..console import user, users_in

    found = {} if users_file is None else users_in(users_file)
    if password_file is not None:
        password = FromFiles(password_file.parent)(SecretRef(f"secret://{password_file.name}"))
        found[NAME] = user(NAME, "approver", password)
    if not found and not proxied:
        made = secrets.token_urlsafe(12)
        say(f"no --users: for this run, {NAME} signs in with the password {made}")
        found[NAME] = user(NAME, "approver", Secret(made))
    return found


def _settings(bind: Address, roles: Sequence[str], *, secure: bool, hosts: Sequence[str],
              proxy_header: str, proxy_addresses: Sequence[str], allow_changes: bool, fields_file: Path | None,
              approve_above: int | None, hash_key_file: Path | None) -> ConsoleSettings:
    from .._base.letter import DEFAULT_PREFIX
    from .._base.secret import Secret
    from ..console import ConsoleSettings
    from ..console.headers import LOCAL_NAMES
    from ..console.roles import role_of

    pairs = [text.rpartition("=") for text in roles]
    names = LOCAL_NAMES | {name.lower() for name in (bind[0], *hosts) if name}
    return ConsoleSettings(
        allow_changes=allow_changes, secure=secure, hosts=names, rules=_rules(fields_file),
        approve_above=approve_above, letter_prefix=settings().letter_prefix or DEFAULT_PREFIX,
        erase_key=None if hash_key_file is None else Secret(_read(hash_key_file, "--hash-key-file")),
        proxy_header=proxy_header, proxy_addresses=frozenset(proxy_addresses),
        roles={name: role_of(role, f"--role {name}") for name, _, role in pairs})


def _rules(file: Path | None) -> tuple[FieldRule, ...]:
    from ..deadletters.people import rules_of
    from ..errors import ConfigurationError

    if file is None:
        return ()
    try:
        return tuple(rules_of(_read(file, "--fields").decode()))
    except ValueError as error:
        raise ConfigurationError(f"--fields: {file}: {error}") from error


def _read(file: Path, option: str) -> bytes:
    from ..errors import ConfigurationError

    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{option}: {file} cannot be read: {error.strerror or error}") from error


def _tokens() -> list[tuple[str, Secret[str]]]:
    from ..console.roles import role_of
    from ..errors import SecretUnavailable
    from ..ids.service.access import token_of

    file: Path | None = settings().token_file
    if file is None:
        return []
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise SecretUnavailable(f"the tokens cannot be read from {file}: {type(error).__name__}") from None
    found = [token_of(line, f"{file}:{n}") for n, line in enumerate(lines, 1) if line and not line.startswith("#")]
    for name, _ in found:
        role_of(name.partition(".")[0], f"{file}: the name {name}")
    return found


def _redirects(urls: Sequence[str]) -> list[Secret[str]]:
    from .._base.secret import resolve
    from .context import resolver

    return [secret for url in urls if (secret := resolve(url, resolver())) is not None]


def _in_database(url: str, databases: contextlib.AsyncExitStack) -> Callable[[str, str], Applied]:
    """Who knows which effects are in the database of ``--sql``, which is opened when it is first asked."""
    from ..deadletters.applied import sql_inbox

    opened: dict[tuple[str, str], Applied] = {}

    def of(stream: str, group: str) -> Applied:
        async def applied(letter: LetterInfo) -> int | bool:
            if (stream, group) not in opened:
                opened[stream, group] = await databases.enter_async_context(sql_inbox(url, stream, group))
            return await opened[stream, group](letter)

        return applied

    return of


async def _serving(bind: Address, users: dict[str, User], how: ConsoleSettings, tokens: list[tuple[str, Secret[str]]],
                   tls: tuple[Path | None, Path | None], *, brokers: Sequence[Secret[str]]) -> int:
    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from .._base.serving import address_of, listen
    from .._redis.open import open_server
    from ..console import Console, create_app
    from ..console.serving import serve
    from ..deadletters.desk import Desk
    from ..ids.schemes.redis import RedisWorkers

    said, url = settings(), desk_url()
    workers = RedisWorkers(said.url, prefix=said.own_prefix, data_dir=said.data_dir)
    databases = contextlib.AsyncExitStack()
    seen = Console(lambda: open_server(said.url, prefix=said.own_prefix, data_dir=said.data_dir),
                   lambda: Desk(url).open(), settings=how, users=users, tokens=tokens, holders=workers.holders,
                   applied_of=_in_database(said.sql, databases) if said.sql else None, brokers=brokers)
    seen.begin()
    stop = asyncio.Event()

    def ended() -> None:
        seen.stopping.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended)
    listening = listen(*bind, option="--bind: ")
    try:
        await serve(create_app(seen), listening, stop, cert=tls[0], key=tls[1],
                    started=lambda: say(f"the console is at {address_of(listening, tls=tls[0] is not None)}; "
                                        "Ctrl-C ends it"))
    finally:
        listening.close()
        await seen.close()
        await databases.aclose()
        await workers.close()
    return 0


command = console
