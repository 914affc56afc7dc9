"""Linking: which accounts belong together, found beside the path of calls.

`candidates` says what is known of an account, `kinds` how much evidence weighs, and `grouping`
makes groups of it. `displacement`, `territory` and `timing` find three kinds. All these are pure.
`linker` and `collecting` read a store's accounts and write links, in the one worker that holds the
`lease`.
"""
