# To the end: the schedule of the configs, for CMKD and the two rivals that gained most on the short budget of study.py.
# The rivals search their weights anew, among the same values; CMKD, and CMKD with the channel-word relation in the
# channel relation's place, have those of its config.
# make distill runs the first seed of the student alone and of CMKD.
_base_ = './study.py'

options = dict(_delete_=True)
distillations = dict(
    _delete_=True,
    cmkd=dict(config='cmkd_r18-slim_to_r18-nano_refshapes'),
    cwd=_base_.distillations.cwd,
    dist=_base_.distillations.dist,
    **{'cmkd-channel-word-instead': dict(
        config='cmkd_r18-slim_to_r18-nano_refshapes',
        options=_base_.distillations['cmkd-channel-word-instead']['options'])})
