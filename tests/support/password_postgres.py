# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server that asks everybody but its administrator for a password."""

from __future__ import annotations

import sqlalchemy as sa

from tests.integration.sql.servers import Postgres

ADMIN, OLD = "planted-admin-4711", "planted-old-4711"
HBA = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


class PasswordPostgres(Postgres):
    """With a role ``app`` that cannot log in, and ``app_a`` and ``app_b`` in it; ``app_a`` has the password OLD. The
    user ``rotating`` may alter them, and is no superuser."""

    def __init__(self):
        super().__init__()
        with (self.data / "pg_hba.conf").open("w") as file:
            file.write(HBA)
        self.said("SELECT pg_reload_conf()", f"CREATE ROLE rotating LOGIN CREATEROLE PASSWORD '{ADMIN}'",
                  "CREATE ROLE app NOLOGIN", "GRANT ALL ON SCHEMA public TO app")
        self.url = f"postgresql://rotating:{ADMIN}@127.0.0.1:{self.port}/postgres"
        self.again()

    def again(self):
        """As at the beginning."""
        for user in ("app_a", "app_b"):
            self.said(f"DROP ROLE IF EXISTS {user}", f"CREATE ROLE {user} NOLOGIN IN ROLE app",
                      f"ALTER ROLE {user} SET role = app", f"GRANT {user} TO rotating WITH ADMIN OPTION")
        self.said(f"ALTER ROLE app_a LOGIN PASSWORD '{OLD}'")

    def said(self, *statements):
        with self.admin.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def asked(self, query):
        with self.admin.connect() as connection:
            return connection.execute(sa.text(query)).all()
