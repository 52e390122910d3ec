# SPDX-License-Identifier: Apache-2.0
"""Sessions on ZooKeeper and etcd, objects of Kubernetes: what locks and worker ids stand on that is not Redis.

::

    session.py            what a session is: CONNECTED, SUSPENDED, LOST, a deadline, a signal. Open this first
    tenure.py             a session as this process counts it, and the loop that renews it
    etcd.py               keys of etcd over its JSON gateway; etcd_session.py: a lease, and keys that go with it
    etcd_words.py         requests and answers of the gateway as plain values; gateway.py: the way there
    zookeeper.py          a ZooKeeper session: nodes that go with it, a watch
    node.py               a node as a plain value; keeper.py: kazoo behind asyncio
    kubernetes.py         the Lease objects of a namespace; kubernetes_access.py: where, and as whom
    kubernetes_words.py   a Lease as a plain value

etcd and Kubernetes need the extra ``http``, ZooKeeper the extra ``zookeeper``; they are imported when the first client
is made, and a missing one raises ``MissingExtra``.
"""
