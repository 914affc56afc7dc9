"""From a call to the chunks that are looked at.

`selection` chooses them: what the caller has not sent before, without its habits and small talk,
cut where its own content says, and told apart by task.
"""
