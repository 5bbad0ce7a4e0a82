distill_losses = dict(ifvd=dict(type='IFVDLoss', loss_weight=20.))
