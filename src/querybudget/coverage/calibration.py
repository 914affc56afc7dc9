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

BIAS = -7.35239
CAP, FLOOR, CLIP = 5.0, -4.0, 2.0
SUSPECT = 1.686
POOL_SUSPECT = ((4, 2.9565), (14, 2.6082), (39, 2.5267), (0, 2.4335))
"""(most identities, evidence that is suspect); 0 for any number."""

MEAN = (
    (0.298081, -0.328734, -0.0192585),  # coarse_new
    (0.823393, -0.214644, 0.0143434),  # coarse_once
    (-0.277088, -0.601973, 0.0531962),  # concentration
    (0.19042, -0.15738, -0.0218181),  # cells_new
    (0.329526, -0.0317959, 0.00327632),  # alike
    (-0.276073, 0.117536, -0.00800616),  # same
    (0.304733, -0.00573999, 0.0016568),  # near
    (-0.0247927, 0.0260559, -0.00161952),  # persistence
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
    (-0.0732244, 0.323158, -0.0280253, 0.180839),  # coarse_new
    (0.561948, -0.13812, 0.00850956, 0.00930535),  # coarse_once
    (0.119532, 0.283087, -0.0231975, 0.234887),  # concentration
    (-0.0469165, 0.263213, -0.0181075, 0.164272),  # cells_new
    (0.227812, -0.0247932, 0.00249993, 0.0812969),  # alike
    (0.120788, 0.0170635, -0.00173902, 0.0707738),  # same
    (0.212536, -0.00902954, 0.00109874, 0.0941426),  # near
    (0.00541945, 0.0267561, -0.00237773, 0.0234039),  # persistence
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
    (0.471289, -0.00397343),  # coarse_new
    (0.319037, -0.35228),  # coarse_once
    (-0.792708, -0.373601),  # concentration
    (-0.01098, 0.0964362),  # cells_new
    (-0.859273, 0.168908),  # alike
    (-0.719492, -0.398292),  # same
    (-1.70489, 0.236135),  # near
    (-1.64126, -0.952662),  # persistence
    (-1.37708, -0.859993),  # words_new
    (3.00534, -1.73154),  # words
    (-0.550197, 0.195278),  # repeats
    (-1.4191, 0.93233),  # size
    (-0.225178, 0.294914),  # question
    (0.880174, 0.287681),  # sentence
    (-0.465135, -0.137042),  # capital
    (-0.072872, -0.0527233),  # lower
    (-0.433227, -0.176674),  # first_person
    (-1.43838, 0.0731565),  # courtesy
    (0.107721, 0.430387),  # reference
    (0.302717, -0.0323061),  # interrogative
    (1.65848, -0.0289037),  # instruction
    (-0.268211, 0.000865816),  # lines
    (0.828771, -0.520144),  # options
    (0.572969, -0.111655),  # digits
    (-0.0021348, -0.0123954),  # capitals
    (0.445302, -0.138022),  # symbols
    (-0.177367, -0.163712),  # reasoning
    (-0.499003, -0.129585),  # judging
    (0.89533, -0.0364539),  # format
    (-1.35229, 0.16774),  # short
    (0.40228, 0.0427012),  # commas
    (-0.838199, -0.298581),  # word_length
    (0.0539634, 0.190173),  # second_person
    (-0.626117, -0.0210627),  # quotes
    (-1.99463, 0.274081),  # variety
)
"""Weight of each rate at 100 calls, and what (ln n - ln 100) / 2 adds to it."""
