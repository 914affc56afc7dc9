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

BIAS = -7.07431
CAP, FLOOR, CLIP = 5.0, -4.0, 2.0
SUSPECT = 2.261
POOL_SUSPECT = ((4, 2.9145), (14, 2.7183), (39, 3.4309), (0, 3.3278))
"""(most identities, evidence that is suspect); 0 for any number."""

MEAN = (
    (0.197081, -0.245335, -0.030899),  # coarse_new
    (0.865384, -0.229268, 0.0155618),  # coarse_once
    (-0.153024, -0.694003, 0.0587836),  # concentration
    (-0.0456408, -0.0264546, -0.0307723),  # cells_new
    (0.383534, -0.0248112, 0.00125398),  # alike
    (-0.340207, 0.155986, -0.0125458),  # same
    (0.355976, 4.98637e-06, -0.000151927),  # near
    (-0.0275583, 0.0248161, -0.00140591),  # persistence
    (-0.0949567, -0.152638, -0.0283978),  # words_new
    (2.63507, 0.013553, -0.00225362),  # words
    (0.13577, -0.084883, 0.0164588),  # repeats
    (106.69, -0.92753, 0.212804),  # size
    (47.6594, -2.0833, 0.123825),  # question
    (15.2255, 4.25941, -0.56725),  # sentence
    (65.1277, 4.14716, -0.675979),  # capital
    (26.09, -2.70162, 0.466645),  # lower
    (29.2598, 3.77173, -0.595405),  # first_person
    (9.61901, 6.77709, -1.02349),  # courtesy
    (30.6048, 4.64722, -0.863587),  # reference
    (42.6351, -4.70268, 0.551653),  # interrogative
    (5.43082, -0.847003, 0.15504),  # instruction
    (20.5959, 0.261648, 0.0577017),  # lines
    (0.012632, -0.00672395, 0.000869244),  # options
    (2.42879, -0.248504, 0.0388385),  # digits
    (3.56243, 0.113519, -0.00841827),  # capitals
    (1.12039, -0.203582, 0.0424852),  # symbols
    (0.104325, 0.0487675, -0.00514749),  # reasoning
    (2.57476, 0.638271, -0.0418137),  # judging
    (1.66712, 0.565301, -0.0288421),  # format
    (8.66527, 1.66974, -0.282959),  # short
    (3.87858, 1.01117, -0.131389),  # commas
    (44.6682, -0.957658, 0.183854),  # word_length
    (8.67224, 4.00242, -0.677824),  # second_person
    (8.10342, -1.29932, 0.220823),  # quotes
    (90.9088, 0.178009, -0.0620211),  # variety
)
"""Honest callers' mean of each rate: 1, ln n and ln^2 n."""

SPREAD = (
    (0.106753, 0.21299, -0.012959, 0.184268),  # coarse_new
    (0.581874, -0.147379, 0.00946134, 0.00974446),  # coarse_once
    (0.165665, 0.276871, -0.0282534, 0.236066),  # concentration
    (0.221714, 0.151953, -0.012919, 0.177163),  # cells_new
    (0.289527, -0.0353515, 0.00261433, 0.0828154),  # alike
    (0.0757355, 0.0360247, -0.00294278, 0.0626623),  # same
    (0.23851, 0.000502024, -0.00110866, 0.0927463),  # near
    (-0.0118624, 0.0367189, -0.00353174, 0.023079),  # persistence
    (0.257302, 0.0955759, -0.00768229, 0.186748),  # words_new
    (0.66278, -0.0295795, 0.00340889, 0.296357),  # words
    (0.0116155, 0.080706, -0.0110072, 0.0109241),  # repeats
    (34.9184, -0.229752, 0.0923012, 17.2324),  # size
    (46.6191, -6.37237, 0.781064, 16.5678),  # question
    (34.4394, -2.60084, 0.226584, 13.1515),  # sentence
    (45.3721, -4.92276, 0.643877, 17.0953),  # capital
    (38.8918, -3.83246, 0.539531, 15.4244),  # lower
    (38.614, -5.29877, 0.563981, 12.9387),  # first_person
    (19.1882, 4.70554, -0.871771, 3.53811),  # courtesy
    (38.7769, -3.9372, 0.22183, 10.4866),  # reference
    (43.3743, -7.22541, 0.871792, 13.8623),  # interrogative
    (17.1748, -2.05072, 0.195554, 5.48096),  # instruction
    (40.3787, -0.737052, 0.156512, 19.4396),  # lines
    (0.322174, -0.112456, 0.0101011, 0.001),  # options
    (10.3686, -0.95257, -0.00146748, 2.11193),  # digits
    (3.98532, -0.669428, 0.0619733, 1.02875),  # capitals
    (2.56155, -0.339325, 0.0525307, 0.958445),  # symbols
    (3.51578, -1.09279, 0.0989493, 0.254895),  # reasoning
    (15.3164, -3.25033, 0.280526, 2.86827),  # judging
    (9.89706, -1.36929, 0.0974464, 2.35194),  # format
    (20.8208, -1.93064, 0.106267, 5.60883),  # short
    (9.09768, -1.67795, 0.173018, 2.50875),  # commas
    (8.88706, -0.52286, 0.0315669, 3.32983),  # word_length
    (24.6008, -1.89653, -0.0955002, 3.31568),  # second_person
    (28.4452, -5.9963, 0.756683, 7.76626),  # quotes
    (11.5157, -0.616213, 0.139083, 5.41167),  # variety
)
"""Their standard deviation, likewise, and its least value."""

WEIGHT = (
    (-0.275935, 0.0520738),  # coarse_new
    (0.341529, -0.33641),  # coarse_once
    (-0.460135, -0.639878),  # concentration
    (-0.275422, -0.0671861),  # cells_new
    (-0.678132, 0.221322),  # alike
    (-1.09768, -0.399738),  # same
    (-1.47122, 0.213495),  # near
    (-1.57295, -0.933262),  # persistence
    (-0.470923, -1.25719),  # words_new
    (3.61962, -2.07988),  # words
    (-0.533824, -0.0192994),  # repeats
    (-2.34093, 1.25213),  # size
    (0.4151, 0.241172),  # question
    (0.919016, 0.169352),  # sentence
    (-0.451887, -0.17901),  # capital
    (-0.00330072, -0.247166),  # lower
    (-0.524294, -0.167305),  # first_person
    (-1.85061, 0.0166719),  # courtesy
    (-0.430522, 0.429043),  # reference
    (0.502443, -0.0118455),  # interrogative
    (1.72409, 0.0558932),  # instruction
    (-0.0926148, -0.0714307),  # lines
    (1.33934, -0.680244),  # options
    (0.0191533, -0.088594),  # digits
    (-0.155131, 0.053398),  # capitals
    (-0.0179078, -0.00121464),  # symbols
    (-0.0979447, -0.312116),  # reasoning
    (-0.757351, -0.198289),  # judging
    (0.97496, 0.0997174),  # format
    (-1.41612, 0.254238),  # short
    (1.00605, 0.147356),  # commas
    (-1.17793, -0.242814),  # word_length
    (0.488128, 0.385487),  # second_person
    (-0.459188, -0.139746),  # quotes
    (-1.684, 0.095678),  # variety
)
"""Weight of each rate at 100 calls, and what (ln n - ln 100) / 2 adds to it."""
