distill_losses = dict(cwd=dict(type='CWDLoss', feature='logits', stages=(0, ), tau=4., loss_weight=3.))
