"""The policy: what an operator writes, what it comes to, and the way between.

`querybudget.policy.model.Policy.load` is the door. The way in, one file each:

    compose      YAML text or a mapping to nodes that know their line
    environment  `${NAME}` in a node's text
    tree         those nodes, and the mistakes found in them
    file         the shape of the file, one struct for each mapping
    fields       the kinds of values in it
    walk         nodes to those structs, every mistake noted
    notation     how limits, durations, sizes and prices are written
    periods      calendar days, weeks, months in a time zone
    callers      identity, partitions and tiers: the file's words to types
    budgets      budgets: the file's words to types
    buckets      what follows from spending a budget in buckets, likewise
    capabilities what prompts are about, and what embeds them, likewise
    load         all of it, in order
    presets      policies that ship, each a YAML file
    schema       the shape of the file as JSON Schema, for editors
"""

from __future__ import annotations
