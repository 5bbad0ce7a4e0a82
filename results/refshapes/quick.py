# make distill: one seed of the student alone and of CMKD
_base_ = './study.py'

seeds = (0, )
distillations = dict(_delete_=True, cmkd=dict(config='cmkd_r18-slim_to_r18-nano_refshapes'))
