"""The `querybudget` command.

main.py         arguments and exit statuses
check.py        what is wrong with a policy, or what it says
explanation.py  what a policy makes of one request
explain.py      the same, for a terminal or as JSON
store.py        whether a store works from here
"""
