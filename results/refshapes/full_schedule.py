# make distill: one seed of the student alone and of CMKD
_base_ = './study.py'

seeds = (0, )
options = dict(_delete_=True)  # the schedule of the configs
distillations = dict(_delete_=True, cmkd=dict(config='cmkd_r18-slim_to_r18-nano_refshapes'))
