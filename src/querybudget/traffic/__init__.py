"""The traffic log: one record for each call, written by a hook and read again from many formats."""

from querybudget.traffic.log import TrafficLog
from querybudget.traffic.read import Problem, read
from querybudget.traffic.recent import Recent
from querybudget.traffic.record import TrafficRecord, TrafficText, record_of

__all__ = ["Problem", "Recent", "TrafficLog", "TrafficRecord", "TrafficText", "read", "record_of"]
