# The model of the demo
_base_ = [
    '../_base_/models/r18-slim_gru.py',
    '../_base_/datasets/refshapes.py',
    '../_base_/schedules/schedule_refshapes.py',
    '../_base_/default_runtime.py',
]
model = _base_.student
