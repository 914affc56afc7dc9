"""The traffic log: one record for each call, written by a hook and read again from many formats."""
