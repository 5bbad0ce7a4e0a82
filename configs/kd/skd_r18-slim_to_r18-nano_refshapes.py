_base_ = [
    '../_base_/distillers/r18-slim_to_r18-nano.py',
    '../_base_/distill_losses/skd.py',
    '../_base_/datasets/refshapes.py',
    '../_base_/schedules/schedule_refshapes.py',
    '../_base_/default_runtime.py',
]
# the weight that results/refshapes/study.py found
model = dict(distill_losses=dict(skd=dict(_base_.distill_losses.skd, loss_weight=0.0556)))
