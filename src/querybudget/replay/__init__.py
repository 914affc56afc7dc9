"""Replay a traffic log through the limiter on a virtual clock, and calibrate policies by it."""
