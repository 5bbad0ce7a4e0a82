"""Count and time a model: parameters, multiply-accumulates, and what a further expression on an encoded image costs."""
from __future__ import annotations

import argparse

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from prettytable import PrettyTable

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.apis import cli, inference_model, load_config
from mmseg_ris_kd.engine.cost import EXPRESSION, count_macs, count_parameters, median_seconds


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config_arguments(parser, example='model.text_encoder.max_length=40')
    parser.add_argument('--size', type=int, default=480, help='height and width of the image (default: %(default)s)')
    parser.add_argument('--runs', type=int, default=7, help='timed runs, of which the median counts (default: 7)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    args = parse_args()
    cli.quiet_known_warnings()
    config = load_config(args.config, args.cfg_options)
    init_default_scope('mmseg')
    model = MODELS.build(inference_model(config.model)).to(args.device).eval()
    sizes = PrettyTable(['part', 'parameters (M)'], align='r')
    for name in ('text_encoder', 'backbone', 'decode_head'):
        sizes.add_row([name, f'{count_parameters(getattr(model, name)) / 1e6:.2f}'])
    sizes.add_row(['all', f'{count_parameters(model) / 1e6:.2f}'])
    print(sizes)

    image = torch.randn(1, 3, args.size, args.size, device=args.device)
    costs = PrettyTable(['step', 'GMAC', 'ms', 'of the first'], align='r')
    steps = {'first expression': lambda: model.extract(image, [EXPRESSION])}
    if not model.early_fusion:
        visual = model.encode_image(image)
        steps['a further expression'] = lambda: model.decode(visual, [EXPRESSION])
        steps['each of 8 together'] = lambda: model.decode(visual, [EXPRESSION] * 8)
    seconds = median_seconds(steps, rounds=args.runs, device=args.device)
    for name, step in steps.items():
        share = 1 / 8 if '8' in name else 1
        costs.add_row([name, f'{count_macs(step) * share / 1e9:.3g}', f'{1e3 * seconds[name] * share:.1f}',
                       f'{100 * seconds[name] * share / seconds["first expression"]:.0f} %'])
    print(costs)


if __name__ == '__main__':
    cli.run(main)
