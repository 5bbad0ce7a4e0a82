# The demo's model teaches an eighth of its parameters, on a CPU
_base_ = '../models/r18-nano_gru.py'

model = dict(
    type='ReferringDistiller',
    student=_base_.student,
    teacher=_base_.teacher,
    teacher_ckpt='work_dirs/demo',  # a checkpoint, or a work dir: its best one
)
