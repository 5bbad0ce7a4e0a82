distill_losses = dict(ickd=dict(type='ICKDLoss', loss_weight=2.5))
