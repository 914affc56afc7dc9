"""The `querybudget` command.

main.py     arguments and exit statuses
check.py    what is wrong with a policy, or what it says
explain.py  what a policy makes of one request
store.py    whether a store works from here
"""
