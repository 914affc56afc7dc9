"""The policy: what an operator writes (`file`), what it comes to (`types`), and the way between.

`querybudget.policy.types.Policy.load` is the door. The way in, one file each:

    tree      YAML text or a mapping to nodes that know their line; environment variables
    walk      nodes to the structs of `file`, every mistake noted
    notation  how limits, durations, sizes and prices are written
    callers   identity, partitions and tiers: words to types
    budgets   budgets: words to types
    load      all of it, in order
"""

from __future__ import annotations
