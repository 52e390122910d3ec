# SPDX-License-Identifier: Apache-2.0
"""Worker ids that are given from outside: what goes wrong when nothing guards them, and the store that does.

What the pods of these tests are told is what the manifests in ops/kubernetes tell them.
"""

from __future__ import annotations

import asyncio
import threading

import pytest
import yaml

from holdfast.errors import ConfigurationError, ServerUnreachable, WorkerIdTaken
from holdfast.ids import Generator, Window, WorkerId, layout_called
from holdfast.ids.named import wanted
from holdfast.ids.schemes.kubernetes import KubernetesWorkers
from holdfast.ids.schemes.redis import RedisWorkers
from holdfast.ids.term import Held
from holdfast.testing import FakeChance, wait_until
from holdfast.testing.kubernetes import KubernetesServer
from tests.support.manifests import KUBERNETES, environment_of

pytestmark = pytest.mark.kinds("valkey")
LAYOUT = layout_called("snowflake")
NOW_MS = 1_893_456_000_000


@pytest.fixture(params=["redis", "kubernetes"])
def scheme(request, stream):
    """Makes schemes of one pool; each as another pod would have it."""
    if request.param == "redis":
        url = request.getfixturevalue("_pool").get("valkey").url
        yield lambda: RedisWorkers(url, pool=stream)
        return
    with KubernetesServer() as server:
        yield lambda: KubernetesWorkers(server.url, namespace="default", token=server.token, pool=stream)


class Unguarded:
    """A term of somebody who takes the number from the environment and asks nobody. Its time stands."""

    cause = ""

    def __init__(self, worker):
        self.worker, self.window = worker, Window(NOW_MS - 1000, NOW_MS + 60_000)
        self.held = Held(worker, self.window)

    def made_by(self, maker):
        pass

    def now_ms(self):
        return NOW_MS


def pods(manifest, kind, name, count=1):
    """The environments of pods, as the kubelet makes them of a manifest's template."""
    documents = yaml.safe_load_all((KUBERNETES / manifest).read_text())
    found = next(each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name)
    return [environment_of(found, f"{name}-{n}", n) for n in range(count)]


def opened(scheme, environ):
    return WorkerId(scheme(), name=environ.get("POD_NAME", ""), wanted=wanted(environ, LAYOUT.workers), window_s=0.5)


def ends_of(scheme):
    async def main():
        looking = scheme()
        try:
            return {held.worker: held for held in await looking.holders()}
        finally:
            await looking.close()

    return asyncio.run(main())


# -- an environment variable --------------------------------------------------------------------------------------


def test_two_pods_of_one_template_make_the_same_ids_when_nothing_guards_them():
    """The risk of the scheme: a Deployment with WORKER_ID in its template, raised from one replica to two."""
    first, second = pods("deployment-variable.yaml", "Deployment", "billing-7", 2)
    assert wanted(first, LAYOUT.workers) == wanted(second, LAYOUT.workers) == 7
    terms = [Unguarded(wanted(environ, LAYOUT.workers)) for environ in (first, second)]
    made = [Generator(LAYOUT, term, chance=FakeChance([], [start])).next_ids(10_000)
            for term, start in zip(terms, (17, 4000), strict=True)]
    shared = set(made[0]) & set(made[1])
    assert len(shared) > 4000, "they are duplicates, wherever in a millisecond each of them began"


def test_with_a_store_in_between_the_second_pod_is_refused_and_says_who_has_it(scheme):
    first, second = pods("deployment-variable.yaml", "Deployment", "billing-7", 2)
    with opened(scheme, {**first, "POD_NAME": "billing-7-abc"}) as worker:
        assert worker.worker == 7
        with pytest.raises(WorkerIdTaken, match=r"worker id 7 .* is held by 'billing-7-abc' .*: two processes were"):
            opened(scheme, {**second, "POD_NAME": "billing-7-def"}).open()
        ids = Generator(LAYOUT, worker).next_ids(1000)
    with opened(scheme, {**second, "POD_NAME": "billing-7-def"}) as worker:
        later = Generator(LAYOUT, worker).next_ids(1000)
    assert max(ids) < min(later), "and once it may, it begins behind"


# -- ordinals of StatefulSets -------------------------------------------------------------------------------------


def test_pods_of_two_sets_have_worker_ids_of_their_own_and_none_beyond_their_part(scheme):
    orders, refunds = (pods("statefulset.yaml", "StatefulSet", name, 3) for name in ("orders", "refunds"))
    workers = [opened(scheme, environ).open() for environ in orders + refunds]
    try:
        assert [worker.worker for worker in workers] == [0, 1, 2, 512, 513, 514]
        made = [set(Generator(LAYOUT, worker).next_ids(2000)) for worker in workers]
        assert len(set.union(*made)) == 12_000
    finally:
        for worker in workers:
            worker.close()
    (beyond,) = pods("statefulset.yaml", "StatefulSet", "orders")
    with pytest.raises(ConfigurationError, match="pod 512 of this set is beyond its 512 worker ids, 0 to 511"):
        wanted({**beyond, "POD_INDEX": "512"}, LAYOUT.workers)


def test_a_pod_that_is_moved_has_its_worker_id_again_and_begins_behind_its_last_id(scheme):
    (pod,) = pods("statefulset.yaml", "StatefulSet", "refunds")
    found = []
    for _ in range(3):
        with opened(scheme, pod) as worker:
            assert worker.worker == 512
            found += Generator(LAYOUT, worker).next_ids(500)
    assert found == sorted(found)


def test_a_pod_whose_node_is_gone_is_waited_for_and_its_successor_has_the_same_worker_id(scheme):
    """Deleted by force while its process runs on: the second one is refused until the window of the first has ended."""
    (pod,) = pods("statefulset.yaml", "StatefulSet", "orders")
    cut_off = opened(scheme, pod).open()
    ids = Generator(LAYOUT, cut_off)
    before = ids.next_ids(1000)

    refused, found, reachable = [], [], threading.Event()

    async def away(*_):
        while not reachable.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.01)
        raise ServerUnreachable

    cut_off._scheme.renew = away  # its node has lost the network

    def next_one():
        try:
            return opened(scheme, pod).open()
        except WorkerIdTaken as taken:
            refused.append(taken)
            return None

    try:
        wait_until(lambda: found or found.extend(filter(None, [next_one()])) or found, 10, "the window has ended")
        assert refused, "guard: two live holders"
        assert found[0].worker == cut_off.worker == 0
        assert min(Generator(LAYOUT, found[0]).next_ids(1000)) > max(before)
        assert ends_of(scheme)[0].live
    finally:
        reachable.set()
        for worker in [cut_off, *found]:
            worker.close()


def test_a_pod_of_a_deployment_without_a_number_may_have_any(scheme):
    (environ,) = pods("worker-ids-lease.yaml", "Deployment", "ids")
    assert wanted(environ, LAYOUT.workers) is None
    with opened(scheme, environ) as worker:
        assert 0 <= worker.worker < LAYOUT.workers
