"""The sweep score's numbers. Made by tools/score: do not edit.

Fitted on 35 corpora of prompts, gateways left out.
"""

from __future__ import annotations

CORPORA = (
    "agent_tasks",
    "arena_hard",
    "banking77",
    "bbh",
    "code_bench",
    "code_completion_one_repo",
    "commit_diffs_one_repo",
    "gpteacher",
    "gsm8k",
    "hh_harmless_chat",
    "home_assistant_hwu64",
    "judge_sets",
    "math_reasoning",
    "mathdial_tutoring",
    "medquad",
    "mmlu",
    "mtrag_questions",
    "oasst_chat",
    "plexpt_zh_questions",
    "pubmedqa",
    "qmsum_meetings",
    "restaurants8k",
    "scitldr_abstracts",
    "self_instruct_seeds",
    "sgd_task_dialogue",
    "snips",
    "stackexchange_cqadup",
    "stackoverflow_titles",
    "taskmaster4_coffee",
    "tatqa_finance",
    "tooluse_bfcl",
    "topical_chat",
    "ubuntu_irc",
    "wikisql",
    "xquad_doc_qa",
)
"""Names of the corpora that it was fitted on."""

BIAS = -7.41542
CAP, FLOOR, CLIP = 5.0, -4.0, 2.0
SUSPECT = 2.412
POOL_SUSPECT = ((4, 2.6693), (14, 2.3334), (39, 2.0679), (0, 1.9873))
"""(most identities, evidence that is suspect); 0 for any number."""

MEAN = (
    (0.222876, -0.316017, -0.0215014),  # coarse_new
    (0.752014, -0.191937, 0.0125262),  # coarse_once
    (-0.213337, -0.601419, 0.052005),  # concentration
    (0.17779, -0.16114, -0.0230859),  # cells_new
    (0.329882, -0.0314376, 0.0032434),  # alike
    (-0.275355, 0.119005, -0.00822199),  # same
    (0.306279, -0.00602875, 0.00169011),  # near
    (-0.023603, 0.0254088, -0.00155329),  # persistence
    (-0.0949605, -0.152636, -0.0283981),  # words_new
    (2.63508, 0.0135481, -0.00225305),  # words
    (0.13577, -0.084883, 0.0164588),  # repeats
    (106.69, -0.92779, 0.212834),  # size
    (47.6594, -2.0833, 0.123825),  # question
    (15.2261, 4.25908, -0.567211),  # sentence
    (65.1282, 4.14683, -0.675941),  # capital
    (26.09, -2.70162, 0.466645),  # lower
    (29.2603, 3.7714, -0.595367),  # first_person
    (9.61901, 6.77709, -1.02349),  # courtesy
    (30.6054, 4.64689, -0.863549),  # reference
    (42.6357, -4.70301, 0.551691),  # interrogative
    (5.43082, -0.847003, 0.15504),  # instruction
    (20.5959, 0.261648, 0.0577017),  # lines
    (0.012632, -0.00672395, 0.000869244),  # options
    (2.42879, -0.248504, 0.0388385),  # digits
    (3.56244, 0.113512, -0.0084175),  # capitals
    (1.12039, -0.203582, 0.0424852),  # symbols
    (0.104325, 0.0487675, -0.00514749),  # reasoning
    (2.57476, 0.638271, -0.0418137),  # judging
    (1.66712, 0.565301, -0.0288421),  # format
    (8.66474, 1.67008, -0.282997),  # short
    (3.87865, 1.01113, -0.131384),  # commas
    (44.6685, -0.957828, 0.183873),  # word_length
    (8.67277, 4.00208, -0.677786),  # second_person
    (8.10342, -1.29932, 0.220823),  # quotes
    (90.9093, 0.177705, -0.0619864),  # variety
)
"""Honest callers' mean of each rate: 1, ln n and ln^2 n."""

SPREAD = (
    (-0.0110052, 0.308635, -0.0256493, 0.190473),  # coarse_new
    (0.585268, -0.149505, 0.00975253, 0.0102378),  # coarse_once
    (0.143811, 0.289187, -0.0250047, 0.243615),  # concentration
    (-0.0957437, 0.302628, -0.0209633, 0.169716),  # cells_new
    (0.227336, -0.0245818, 0.00252578, 0.0821014),  # alike
    (0.122627, 0.0142813, -0.00100439, 0.0684417),  # same
    (0.213183, -0.00958746, 0.00119586, 0.0945806),  # near
    (0.00545928, 0.0268244, -0.00239196, 0.0233906),  # persistence
    (0.257299, 0.0955775, -0.00768247, 0.186748),  # words_new
    (0.66278, -0.0295793, 0.00340887, 0.296357),  # words
    (0.0116155, 0.080706, -0.0110072, 0.0109241),  # repeats
    (34.9182, -0.22963, 0.0922872, 17.2324),  # size
    (46.6191, -6.37237, 0.781064, 16.5678),  # question
    (34.4395, -2.60093, 0.226595, 13.1515),  # sentence
    (45.3724, -4.92291, 0.643894, 17.0953),  # capital
    (38.8918, -3.83246, 0.539531, 15.4244),  # lower
    (38.6144, -5.29901, 0.564009, 12.9387),  # first_person
    (19.1882, 4.70554, -0.871771, 3.53811),  # courtesy
    (38.7773, -3.93742, 0.221856, 10.4866),  # reference
    (43.3745, -7.22554, 0.871806, 13.8619),  # interrogative
    (17.1748, -2.05072, 0.195554, 5.48096),  # instruction
    (40.3787, -0.737052, 0.156512, 19.4396),  # lines
    (0.322174, -0.112456, 0.0101011, 0.001),  # options
    (10.3686, -0.95257, -0.00146748, 2.11193),  # digits
    (3.98532, -0.669428, 0.0619733, 1.02875),  # capitals
    (2.56155, -0.339325, 0.0525307, 0.958445),  # symbols
    (3.51578, -1.09279, 0.0989493, 0.254895),  # reasoning
    (15.3164, -3.25033, 0.280526, 2.86827),  # judging
    (9.89706, -1.36929, 0.0974464, 2.35194),  # format
    (20.8206, -1.93049, 0.106249, 5.60883),  # short
    (9.09764, -1.67792, 0.173016, 2.50875),  # commas
    (8.88687, -0.522744, 0.0315536, 3.32983),  # word_length
    (24.6013, -1.89688, -0.095461, 3.31568),  # second_person
    (28.4452, -5.9963, 0.756683, 7.76626),  # quotes
    (11.5159, -0.61631, 0.139094, 5.41167),  # variety
)
"""Their standard deviation, likewise, and its least value."""

WEIGHT = (
    (0.936529, -0.106585),  # coarse_new
    (0.0772252, -0.309842),  # coarse_once
    (-0.644569, -0.622192),  # concentration
    (0.566781, -0.0474255),  # cells_new
    (-0.761132, 0.172064),  # alike
    (-0.916704, -0.526557),  # same
    (-1.53654, 0.208617),  # near
    (-1.55273, -0.82532),  # persistence
    (-1.19244, -1.03822),  # words_new
    (2.98874, -1.69798),  # words
    (-0.403089, 0.138707),  # repeats
    (-1.16074, 0.858783),  # size
    (-0.184925, 0.145735),  # question
    (0.992736, 0.230939),  # sentence
    (-0.437811, -0.194495),  # capital
    (-0.102661, -0.0160039),  # lower
    (-0.333463, -0.201351),  # first_person
    (-1.3485, 0.143699),  # courtesy
    (0.0350767, 0.445873),  # reference
    (0.219913, -0.0486809),  # interrogative
    (1.6174, 0.0668058),  # instruction
    (-0.148952, -0.103937),  # lines
    (0.922339, -0.633729),  # options
    (0.665406, -0.202213),  # digits
    (-0.0687228, -0.0461772),  # capitals
    (0.460316, -0.0616451),  # symbols
    (-0.11526, -0.137811),  # reasoning
    (-0.566137, -0.129299),  # judging
    (0.815588, -0.0797836),  # format
    (-1.37528, 0.10993),  # short
    (0.455484, 0.112188),  # commas
    (-0.685541, -0.319477),  # word_length
    (-0.0444933, 0.181545),  # second_person
    (-0.529698, 0.00767766),  # quotes
    (-1.92557, 0.174206),  # variety
)
"""Weight of each rate at 100 calls, and what (ln n - ln 100) / 2 adds to it."""
