# SPDX-License-Identifier: Apache-2.0
"""A listening socket's connections send at once what is written to them."""

from __future__ import annotations

import socket

import pytest

from holdfast._base.serving import address_of, listen
from holdfast.errors import ConfigurationError


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_do_not_wait_for_more_to_send(host):
    with listen(host, 0) as listening, socket.create_connection(listening.getsockname()[:2]):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_cannot_be_had_is_named():
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening, tls=True) == f"https://127.0.0.1:{port}"
        with pytest.raises(ConfigurationError, match=f"--listen: cannot listen on 127.0.0.1:{port}"):
            listen("127.0.0.1", port, option="--listen: ")
