# CMKD and logit KD together
_base_ = './cmkd_r18-slim_to_r18-nano_refshapes.py'

model = dict(distill_losses=dict(logit_kd=dict(type='LogitKDLoss', tau=1., loss_weight=1.)))
