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

BIAS = -7.38063
CAP, FLOOR, CLIP = 5.0, -4.0, 2.0
SUSPECT = 2.517
POOL_SUSPECT = ((4, 2.8024), (14, 2.4966), (39, 2.107), (0, 2.0638))
"""(most identities, evidence that is suspect); 0 for any number."""

MEAN = (
    (0.237827, -0.298954, -0.0225441),  # coarse_new
    (0.828838, -0.218746, 0.014871),  # coarse_once
    (-0.269096, -0.60409, 0.0537245),  # concentration
    (0.184623, -0.148513, -0.023404),  # cells_new
    (0.328454, -0.0320368, 0.00333411),  # alike
    (-0.275417, 0.11645, -0.00779452),  # same
    (0.303453, -0.00592905, 0.00171003),  # near
    (-0.0250009, 0.0261078, -0.00162408),  # persistence
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
    (0.0611188, 0.25539, -0.0209496, 0.186553),  # coarse_new
    (0.581817, -0.148202, 0.00961165, 0.00961905),  # coarse_once
    (0.112153, 0.296671, -0.0257781, 0.240138),  # concentration
    (-0.0252331, 0.247566, -0.0156905, 0.155918),  # cells_new
    (0.226086, -0.0238776, 0.00239741, 0.081639),  # alike
    (0.133161, 0.00747457, -0.000357317, 0.0704677),  # same
    (0.212856, -0.00954625, 0.00117298, 0.0941324),  # near
    (0.00575171, 0.0268377, -0.00239654, 0.0236546),  # persistence
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
    (0.474262, 0.0244322),  # coarse_new
    (0.364711, -0.13662),  # coarse_once
    (-0.949396, -0.417675),  # concentration
    (-0.113746, 0.123412),  # cells_new
    (-0.783066, 0.303201),  # alike
    (-1.09956, -0.549488),  # same
    (-1.54226, 0.342591),  # near
    (-1.4573, -0.861401),  # persistence
    (-1.33017, -1.07265),  # words_new
    (2.96416, -1.72153),  # words
    (-0.459977, 0.214906),  # repeats
    (-1.37425, 1.0192),  # size
    (-0.239106, 0.274174),  # question
    (0.918088, 0.217367),  # sentence
    (-0.447523, -0.104836),  # capital
    (-0.11876, -0.0777476),  # lower
    (-0.421602, -0.192054),  # first_person
    (-1.38317, 0.0862514),  # courtesy
    (0.0706671, 0.486932),  # reference
    (0.28596, -0.0765799),  # interrogative
    (1.66454, 0.0547101),  # instruction
    (-0.195048, -0.00112982),  # lines
    (0.956174, -0.528085),  # options
    (0.672989, -0.16882),  # digits
    (-0.0842517, -0.0983477),  # capitals
    (0.315605, -0.112729),  # symbols
    (-0.162925, -0.170164),  # reasoning
    (-0.634553, -0.166471),  # judging
    (0.820685, -0.112555),  # format
    (-1.38331, 0.166723),  # short
    (0.408749, 0.0294738),  # commas
    (-0.800158, -0.349761),  # word_length
    (0.0274434, 0.106397),  # second_person
    (-0.572103, -0.0429601),  # quotes
    (-1.97833, 0.326245),  # variety
)
"""Weight of each rate at 100 calls, and what (ln n - ln 100) / 2 adds to it."""
