_base_ = [
    '../_base_/distillers/r18-slim_to_r18-nano.py',
    '../_base_/distill_losses/logit-kd.py',
    '../_base_/datasets/refshapes.py',
    '../_base_/schedules/schedule_refshapes.py',
    '../_base_/default_runtime.py',
]
# the weight that results/refshapes/study.py found
model = dict(distill_losses=dict(logit_kd=dict(_base_.distill_losses.logit_kd, loss_weight=1.95)))
