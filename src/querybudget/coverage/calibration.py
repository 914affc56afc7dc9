"""Made by tools/score: do not edit."""

BIAS = 0.0
CAP = 5.0
CLIP = 3.0
FLOOR = -4.0
SUSPECT = 99.0
POOL_SUSPECT = ((0, 99.0),)
MEAN = ((0.0, 0.0, 0.0),) * 35
SPREAD = ((1.0, 0.0, 0.0, 1.0),) * 35
WEIGHT = ((0.0, 0.0),) * 35
