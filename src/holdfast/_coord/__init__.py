# SPDX-License-Identifier: Apache-2.0
"""Sessions on ZooKeeper and etcd: what locks and worker ids stand on where the store is not Redis.

::

    session.py            what a session is: CONNECTED, SUSPENDED, LOST, a deadline, a signal. Open this first
    tenure.py             a session as this process counts it, and the loop that renews it
    etcd.py               keys of etcd over its JSON gateway; etcd_session.py: a lease, and keys that go with it
    etcd_words.py         requests and answers of the gateway as plain values; gateway.py: the way there
    zookeeper.py          a ZooKeeper session: nodes that go with it, a watch
    node.py               a node as a plain value; keeper.py: kazoo behind asyncio

etcd needs the extra ``http``, ZooKeeper the extra ``zookeeper``; both are imported when the first client is made, and
a missing one raises ``MissingExtra``.
"""
