# The comparison of distillations on RefShapes. Every method has the same three tries, of its usual weight and a
# third and three times of it, with the first seed; the value that is best on val is trained with the other seeds.
teacher = 'r18-slim_gru_refshapes'
student = 'r18-nano_gru_refshapes'
seeds = (0, 1, 2)
splits = ('val', 'testA', 'testB')


def searched(name, usual, loss=None):
    return dict(
        config=f'{name}_r18-slim_to_r18-nano_refshapes',
        search_key=f'model.distill_losses.{loss or name}.loss_weight',
        search_values=(usual / 3, usual, 3 * usual))


def ablation(**options):
    return dict(
        config='cmkd_r18-slim_to_r18-nano_refshapes',
        value_of='cmkd',
        options={f'model.distill_losses.cmkd.{key}': value for key, value in options.items()})


distillations = {
    'cmkd': searched('cmkd', 1.),
    'logit-kd': searched('logit-kd', 1., 'logit_kd'),
    'cwd': searched('cwd', 3.),
    'at': searched('at', 1e4),
    'skd': searched('skd', 10.),
    'ifvd': searched('ifvd', 20.),
    'dist': searched('dist', 1.),
    'ickd': searched('ickd', 2.5),
    'cirkd': searched('cirkd', 1.),
    'mgd': searched('mgd', 2e-5),
    'fitnet': searched('fitnet', 1.),
    'cmkd-pixel-word': ablation(channel=None),
    'cmkd-channel': ablation(pixel_word=None),
    'cmkd-first-order': ablation(channel=None, **{'pixel_word.high_order': 0.}),
    'cmkd-high-order': ablation(channel=None, **{'pixel_word.first_order': 0.}),
    'cmkd-not-guided': ablation(**{'channel.guided': False}),
    'cmkd-deep-stages': ablation(**{'pixel_word.stages': (2, 3), 'channel.stages': (2, 3)}),
    'cmkd-shallow-stages': ablation(**{'pixel_word.stages': (0, 1), 'channel.stages': (0, 1)}),
    'cmkd-channel-tau-0.3': ablation(**{'channel.tau': 0.3}),
    'cmkd-logit-kd': dict(config='cmkd-logit-kd_r18-slim_to_r18-nano_refshapes', value_of='cmkd'),
}
