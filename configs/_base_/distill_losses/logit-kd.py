distill_losses = dict(logit_kd=dict(type='LogitKDLoss', tau=1., loss_weight=1.))
