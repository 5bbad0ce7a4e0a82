# The student of the distillations: an eighth of the demo's model, which is its teacher
_base_ = [
    '../_base_/models/r18-nano_gru.py',
    '../_base_/datasets/refshapes.py',
    '../_base_/schedules/schedule_refshapes.py',
    '../_base_/default_runtime.py',
]
model = _base_.student
