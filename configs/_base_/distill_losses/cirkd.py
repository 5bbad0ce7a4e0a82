distill_losses = dict(cirkd=dict(type='CIRKDMiniBatchLoss', tau=0.1, loss_weight=1.))
