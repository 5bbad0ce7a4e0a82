distill_losses = dict(dist=dict(type='DISTLoss', tau=1., loss_weight=1.))
