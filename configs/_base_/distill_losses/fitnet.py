distill_losses = dict(fitnet=dict(type='FitNetLoss', loss_weight=1.))
