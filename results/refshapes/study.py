# The comparison of distillations on RefShapes, on a budget that a CPU can afford: a third of the demo's schedule.
# Every method has two tries with the first seed, weights with which its gradient is a half and one and a half times
# that of the student's own loss (tools/analysis_tools/balance_distillation.py measures it). Every rival has a third
# one, a factor of three further on the side of the better one, and a fourth where even the third was the best. What is
# best on val is trained with the other seeds.
# Logit KD and CIRKD have had theirs, too: it won with the first seed and lost over three (../README.md), so it is left
# out, and they keep the weight that serves them better.
# Terms of CMKD by themselves have a weight that pulls as strongly as the whole does at its chosen one (half as strongly
# as the student's own loss); what changes the whole keeps the chosen one, and the channel-word relation that stands in
# it for the channel relation pulls as strongly as that.
teacher = 'r18-slim_gru_refshapes'
student = 'r18-nano_gru_refshapes'
seeds = (0, 1, 2)
splits = ('val', 'testA', 'testB')
cost = '../cost/refshapes_cpu.json'  # of benchmark_distillation.py: parameters, time and memory of a step
options = {'train_cfg.max_epochs': 4, 'train_cfg.val_interval': 4, 'param_scheduler.1.end': 4}


def searched(name, balanced, *, more=()):
    return dict(
        config=f'{name}_r18-slim_to_r18-nano_refshapes',
        search_key=f'model.distill_losses.{name.replace("-", "_")}.loss_weight',
        search_values=tuple(sorted(round(factor * balanced, 4) for factor in (0.5, 1.5, *more))))


def ablation(**options):
    return dict(
        config='cmkd_r18-slim_to_r18-nano_refshapes',
        value_of=None if 'loss_weight' in options else 'cmkd',
        options={f'model.distill_losses.cmkd.{key}': value for key, value in options.items()})


distillations = {
    'cmkd': searched('cmkd', 1.1),
    'logit-kd': searched('logit-kd', 1.3),
    'cwd': searched('cwd', 0.08, more=(4.5, )),
    'at': searched('at', 11.0, more=(4.5, )),
    'skd': searched('skd', 1.0, more=(1 / 6, 1 / 18)),
    'ifvd': searched('ifvd', 3.0, more=(4.5, )),
    'dist': searched('dist', 0.8, more=(4.5, )),
    'ickd': searched('ickd', 5.6, more=(1 / 6, 1 / 18)),
    'cirkd': searched('cirkd', 0.35),
    'mgd': searched('mgd', 0.011, more=(1 / 6, )),
    'fitnet': searched('fitnet', 6.0, more=(1 / 6, 1 / 18)),
    'cmkd-pixel-word': ablation(channel=None, loss_weight=0.83),
    'cmkd-channel': ablation(pixel_word=None, loss_weight=0.93),
    'cmkd-first-order': ablation(channel=None, loss_weight=0.84, **{'pixel_word.high_order': 0.}),
    'cmkd-high-order': ablation(channel=None, loss_weight=9.8, **{'pixel_word.first_order': 0.}),
    'cmkd-not-guided': ablation(**{'channel.guided': False}),
    'cmkd-deep-stages': ablation(**{'pixel_word.stages': (2, 3), 'channel.stages': (2, 3)}),
    'cmkd-shallow-stages': ablation(**{'pixel_word.stages': (0, 1), 'channel.stages': (0, 1)}),
    'cmkd-channel-tau-0.3': ablation(**{'channel.tau': 0.3}),
    'cmkd-word-tau-0.5': ablation(**{'pixel_word.tau': 0.5}),
    'cmkd-word-tau-2': ablation(**{'pixel_word.tau': 2.}),
    'cmkd-channel-centered': ablation(pixel_word=None, loss_weight=0.69, **{'channel.centered': True}),
    'cmkd-channel-decoded': ablation(pixel_word=None, loss_weight=0.62, **{'channel.feature': 'decoded'}),
    'cmkd-channel-word': ablation(pixel_word=None, channel=None, loss_weight=0.88, **{'channel_word.loss_weight': 0.7}),
    'cmkd-channel-word-instead': ablation(channel=None, **{'channel_word.loss_weight': 0.7}),
    'cmkd-logit-kd': dict(config='cmkd-logit-kd_r18-slim_to_r18-nano_refshapes', value_of='cmkd'),
}
