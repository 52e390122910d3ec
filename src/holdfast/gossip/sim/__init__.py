# SPDX-License-Identifier: Apache-2.0
"""The same core, thousands of times, under a clock of its own: what a cluster would do, in seconds and from a seed.

::

    import random
    from holdfast.gossip.sim.runs import spread

    print(spread(1000, random.Random(7), loss=0.25).line())

``world.py`` is the cluster and its clock; ``network.py`` what lies between members; ``steps.py`` what happens to them,
as scenarios that can be printed; ``runs.py`` questions with numbers for answers; ``ablation.py`` what each part of
Lifeguard is worth; ``sizes.py`` how long messages are.
"""
