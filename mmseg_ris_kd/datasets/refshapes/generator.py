"""Generate RefShapes, a referring dataset of drawn shapes, as the files of a REFER dataset."""
from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine import ProgressBar
from mmengine.logging import print_log
from PIL import Image

from .drawing import COLOURS, SHAPES, TEXTURES
from .language import vocabulary, word_expression
from .meaning import KINDS, sample_expression
from .scene import DIFFICULTIES, SIZES, Attributes, Difficulty, Scene, render_scene, sample_attributes

# Raise it whenever the same arguments would give other files: folders of an older version are then not reused.
VERSION = 1
SPLITS = ('train', 'val', 'testA', 'testB')
DEFAULT_COUNTS = {'train': 4000, 'val': 500, 'testA': 500, 'testB': 500}
MAX_COUNT = 1_000_000  # ids leave room for this many images per split
MAX_OBJECTS = 9
MAX_ATTEMPTS = 1000  # per image; the presets rarely need more than a few
HELD_OUT_SHARE = 0.5
JPEG_QUALITY = 92
ANNOTATION_FOLDER, IMAGE_FOLDER = 'refshapes', 'images/refshapes'


def held_out_pairs(seed: int) -> frozenset[tuple[str, str]]:
    """The (shape, colour) pairs that never occur in train and val: eight of 64, every shape and every colour once."""
    colours = list(COLOURS)
    random.Random(f'refshapes/{seed}/held-out').shuffle(colours)
    return frozenset(zip(SHAPES, colours))


def encode_mask(mask: np.ndarray) -> dict[str, list[int]]:
    """Uncompressed COCO RLE of a mask (H, W): run lengths in column-major order, the first one counts zeros."""
    flat = mask.astype(bool).ravel(order='F')
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate(([0], edges, [flat.size]))
    counts = np.diff(starts).tolist()
    return dict(size=list(mask.shape), counts=[0, *counts] if flat[0] else counts)


def choose_refs(rng: random.Random, scene: Scene, split: str, kinds: dict[str, float],
                held_out: frozenset[tuple[str, str]]) -> list[tuple[int, list[tuple[str, str]]]]:
    """Choose two or three targets of a scene and one to three expressions for each.

    Returns:
        (object index, [(kind, text), ...]) per ref; empty when the scene does not allow two refs, or none for its
        held-out object.
    """
    refs = []
    order = list(range(len(scene.objects)))
    rng.shuffle(order)

    def is_held_out(index: int) -> bool:
        return (scene.objects[index].attributes.shape, scene.objects[index].attributes.colour) in held_out

    order.sort(key=is_held_out, reverse=True)
    wanted = rng.choice((2, 3))
    for index in order:
        # A held-out target is named by its shape and its colour, else the combination would not be tested.
        must_name = ('shape', 'colour') if is_held_out(index) else ()
        sentences: list[tuple[str, str]] = []
        for _ in range(rng.choice((1, 2, 2, 3))):
            kind = rng.choices(KINDS, [kinds.get(name, 0) for name in KINDS])[0]
            strict = 1.0 if split == 'testB' else 0.75
            expression = sample_expression(rng, scene.objects, index, kind, must_name=must_name, strict=strict)
            text = '' if expression is None else word_expression(rng, expression)
            if text and text not in [other for _, other in sentences]:
                sentences.append((kind, text))
        if sentences:
            refs.append((index, sentences))
        elif is_held_out(index) and not any(is_held_out(chosen) for chosen, _ in refs):
            return []
        if len(refs) == wanted:
            break
    return refs if len(refs) >= 2 else []


def generate_image(task: tuple[str, int], *, image_folder: str, image_size: int, seed: int,
                   difficulty: Difficulty) -> dict[str, Any]:
    """Draw one image, write it and return its part of the annotation files.

    Every random choice comes from (seed, split, index), so an image depends neither on the counts nor on the number of
    worker processes.
    """
    split, index = task
    rng = random.Random(f'refshapes/{seed}/{split}/{index}')
    held_out = held_out_pairs(seed)
    kinds = {'testA': {'attribute': 1.0}, 'testB': {'relation': 1.0}}.get(split, difficulty.kinds)
    with_held_out = split in ('testA', 'testB') and rng.random() < HELD_OUT_SHARE
    for _ in range(MAX_ATTEMPTS):
        first = None
        if with_held_out:
            shape, colour = rng.choice(sorted(held_out))
            first = Attributes(shape, colour, rng.choice(TEXTURES), rng.choice(SIZES))
        # A relation is necessary only when attributes do not suffice: testB scenes hold two objects of a kind.
        attributes = sample_attributes(rng, rng.randint(*difficulty.num_objects), difficulty, first, split == 'testB',
                                       lambda shape, colour: (shape, colour) not in held_out)
        scene = render_scene(rng, attributes, image_size, difficulty)
        refs = [] if scene is None else choose_refs(rng, scene, split, kinds, held_out)
        if refs:
            break
    else:
        raise ValueError(f'no scene for image {index} of {split} after {MAX_ATTEMPTS} attempts: num_objects='
                         f'{difficulty.num_objects} do not fit at this difficulty, ask for fewer (--num-objects)')

    # Ids are functions of split and index: 16 annotations per image, 4 expressions per annotation.
    image_id = SPLITS.index(split) * MAX_COUNT + index + 1
    file_name = f'{split}_{index:06d}.jpg'
    Image.fromarray(scene.image).save(os.path.join(image_folder, file_name), quality=JPEG_QUALITY, subsampling=0)
    annotations = []
    for position, item in enumerate(scene.objects):
        mask = scene.id_map == position
        left, top, right, bottom = (round(value * image_size) for value in item.box)
        annotations.append(
            dict(id=image_id * 16 + position, image_id=image_id, category_id=SHAPES.index(item.attributes.shape) + 1,
                 bbox=[left, top, right - left, bottom - top], area=int(mask.sum()), iscrowd=0,
                 segmentation=encode_mask(mask),
                 attributes=dict(vars(item.attributes), visible=round(item.visible, 4),
                                 held_out=(item.attributes.shape, item.attributes.colour) in held_out)))
    records = []
    for position, sentences in refs:
        ref_id = image_id * 16 + position
        records.append(
            dict(ref_id=ref_id, ann_id=ref_id, image_id=image_id, category_id=annotations[position]['category_id'],
                 split=split, file_name=file_name, sent_ids=[ref_id * 4 + number for number in range(len(sentences))],
                 sentences=[dict(sent_id=ref_id * 4 + number, raw=text, sent=text, tokens=text.split(), kind=kind)
                            for number, (kind, text) in enumerate(sentences)]))
    image = dict(id=image_id, file_name=file_name, height=image_size, width=image_size)
    return dict(image=image, annotations=annotations, refs=records)


def statistics(refs: Sequence[dict[str, Any]], held_out_ids: frozenset[int]) -> dict[str, dict[str, int]]:
    """Images, refs, expressions, expressions of each kind and refs to held-out combinations, per split."""
    table = {}
    for split in SPLITS:
        chosen = [ref for ref in refs if ref['split'] == split]
        counts = Counter(sentence['kind'] for ref in chosen for sentence in ref['sentences'])
        table[split] = dict(images=len({ref['image_id'] for ref in chosen}), refs=len(chosen),
                            expressions=sum(counts.values()), **{kind: counts[kind] for kind in KINDS},
                            held_out_refs=sum(ref['ann_id'] in held_out_ids for ref in chosen))
    return table


def dumps(value: Any) -> bytes:
    """JSON as bytes, compact and the same on every platform."""
    return (json.dumps(value, separators=(',', ':')) + '\n').encode()


def write_annotations(folder: Path, results: Sequence[dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
    """Write the four annotation files and return the content of ``meta.json``."""
    refs = [ref for result in results for ref in result['refs']]
    annotations = [annotation for result in results for annotation in result['annotations']]
    held_out_ids = frozenset(item['id'] for item in annotations if item['attributes']['held_out'])
    meta = dict(dataset='RefShapes', version=VERSION, arguments=arguments,
                held_out=[list(pair) for pair in sorted(held_out_pairs(arguments['seed']))],
                statistics=statistics(refs, held_out_ids))
    instances = dict(info=dict(description='RefShapes, generated by mmseg_ris_kd', version=str(VERSION)),
                     images=[result['image'] for result in results], annotations=annotations,
                     categories=[dict(id=number + 1, name=shape) for number, shape in enumerate(SHAPES)])
    # A pickle's bytes depend on which equal strings are one object in memory; parsing JSON makes that always the same.
    (folder / 'refs(generated).p').write_bytes(pickle.dumps(json.loads(json.dumps(refs)), protocol=2))
    (folder / 'instances.json').write_bytes(dumps(instances))
    (folder / 'vocab.txt').write_bytes(('\n'.join(vocabulary()) + '\n').encode())
    (folder / 'meta.json').write_bytes((json.dumps(meta, indent=1) + '\n').encode())
    return meta


def check_arguments(image_size: int, counts: dict[str, int] | None, difficulty: str,
                    num_objects: tuple[int, int] | None) -> tuple[dict[str, int], Difficulty]:
    """Check what the user gave and fill in the defaults: images per split, settings."""
    if image_size < 64:
        raise ValueError(f'image_size must be at least 64 pixels for the textures to show, got {image_size}')
    if difficulty not in DIFFICULTIES:
        raise ValueError(f'difficulty must be one of {", ".join(DIFFICULTIES)}, got {difficulty!r}')
    filled = dict(DEFAULT_COUNTS)
    for split, count in (counts or {}).items():
        if split not in SPLITS:
            raise ValueError(f'counts names the split {split!r}; RefShapes has {", ".join(SPLITS)}')
        if not 0 <= count < MAX_COUNT:
            raise ValueError(f'counts[{split!r}] must be between 0 and {MAX_COUNT - 1} images, got {count}')
        filled[split] = count
    if not any(filled.values()):
        raise ValueError('counts are 0 for every split: nothing to generate')
    settings = DIFFICULTIES[difficulty]
    if num_objects is not None:
        low, high = num_objects
        if not 3 <= low <= high <= MAX_OBJECTS:
            raise ValueError(f'num_objects must be (fewest, most) with 3 <= fewest <= most <= {MAX_OBJECTS}, '
                         f'got {num_objects}')
        settings = Difficulty(**{**vars(settings), 'num_objects': (low, high)})
    return filled, settings


def existing_meta(root: Path, arguments: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """``meta.json`` of the dataset already in ``root`` when it is the one asked for; None when there is none.

    Raises:
        FileExistsError: There is another dataset, or part of one, and ``overwrite`` is off.
    """
    occupied = [folder for folder in (root / ANNOTATION_FOLDER, root / IMAGE_FOLDER) if folder.exists()]
    if overwrite or not occupied:
        return None
    advice = 'Choose another folder, or pass --overwrite (overwrite=True) to replace it.'
    meta_file = root / ANNOTATION_FOLDER / 'meta.json'
    if not meta_file.is_file() or len(occupied) < 2:
        raise FileExistsError(f'{occupied[0]} exists but is no complete RefShapes dataset (it needs {meta_file} and '
                              f'{root / IMAGE_FOLDER}). {advice}')
    try:
        meta = json.loads(meta_file.read_text())
        found = dict(version=meta['version'], **meta['arguments'])
    except (ValueError, KeyError, TypeError) as error:
        raise FileExistsError(f'{meta_file} cannot be read as RefShapes information ({error!r}). {advice}') from error
    wanted = dict(version=VERSION, **arguments)
    if found == wanted:
        return meta
    changes = [f'{name}: there {found.get(name)}, asked for {wanted.get(name)}'
               for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
    raise FileExistsError(f'{root} holds RefShapes made with other arguments ({"; ".join(changes)}). {advice}')


def draw_all(tasks: Sequence[tuple[str, int]], draw: partial, num_workers: int) -> list[dict[str, Any]]:
    """Draw every image, in worker processes when there are several, and keep the order of the tasks."""
    step = max(len(tasks) // 100, 1)  # a bar that moves 100 times, so that logs stay short
    bar = ProgressBar((len(tasks) + step - 1) // step)
    results = []

    def collect(result: dict[str, Any]) -> None:
        results.append(result)
        if len(results) % step == 0 or len(results) == len(tasks):
            bar.update()

    if num_workers == 1:
        for task in tasks:
            collect(draw(task))
    else:
        with multiprocessing.Pool(num_workers) as pool:
            for result in pool.imap(draw, tasks, chunksize=16):
                collect(result)
    bar.file.write('\n')
    return results


def generate_refshapes(out_dir: str, *, image_size: int = 96, counts: dict[str, int] | None = None, seed: int = 0,
                       difficulty: str = 'medium', num_objects: tuple[int, int] | None = None,
                       num_workers: int | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Generate RefShapes into a folder, or reuse the identical dataset that is already there.

    Writes ``refshapes/{refs(generated).p, instances.json, vocab.txt, meta.json}`` and ``images/refshapes/*.jpg``. Equal
    arguments give the same bytes (with the same Pillow and numpy), whatever the number of worker processes; a
    larger count leaves the earlier images as they were. Everything is written to a temporary folder in ``out_dir`` and
    moved to its place at the end. Beyond the REFER format, annotations carry ``attributes`` and
    sentences their ``kind``.

    Splits: train and val mix attribute, position and relation expressions; testA has attribute expressions only, testB
    relations only, which are all necessary (the target's own description fits other objects too). Eight of the 64
    (shape, colour) pairs, chosen by the seed, occur in no train or val image; in half of the testA and testB images one
    is drawn and is the target of a ref whose expressions name both its shape and its colour.

    Args:
        out_dir: Data root to write to; made when missing.
        image_size: Side of the square images in pixels, at least 64.
        counts: Images per split; splits left out keep their default (``DEFAULT_COUNTS``).
        seed: Any integer.
        difficulty: ``easy``, ``medium`` or ``hard``: number of objects, noise, occlusion, textures, share of relations.
        num_objects: Fewest and most objects per image (3 to 9) instead of the difficulty's own.
        num_workers: Processes to draw with; None for one per CPU core, 8 at most.
        overwrite: Replace what is in ``refshapes/`` and ``images/refshapes/`` of ``out_dir``.

    Returns:
        The content of ``meta.json``: version, arguments, held-out pairs, statistics per split.

    Raises:
        ValueError: An argument is out of range, or that many objects do not fit.
        FileExistsError: ``out_dir`` holds another RefShapes dataset and ``overwrite`` is off.
        NotADirectoryError: ``out_dir`` is a file.
    """
    filled, settings = check_arguments(image_size, counts, difficulty, num_objects)
    if num_workers is not None and num_workers < 1:
        raise ValueError(f'num_workers must be at least 1, got {num_workers}')
    root = Path(out_dir)
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f'out_dir {str(root)!r} is a file; name a folder to write RefShapes to')
    arguments = dict(image_size=image_size, counts=filled, seed=seed, difficulty=difficulty,
                     num_objects=list(settings.num_objects))
    meta = existing_meta(root, arguments, overwrite)
    if meta is not None:
        print_log(f'RefShapes with these arguments is already in {root}; nothing to do.', logger='current')
        return meta

    root.mkdir(parents=True, exist_ok=True)
    partial_dir = Path(tempfile.mkdtemp(prefix='.refshapes-', dir=root))
    try:
        for folder in (ANNOTATION_FOLDER, IMAGE_FOLDER):
            (partial_dir / folder).mkdir(parents=True)
        draw = partial(generate_image, image_folder=str(partial_dir / IMAGE_FOLDER), image_size=image_size, seed=seed,
                       difficulty=settings)
        tasks = [(split, index) for split in SPLITS for index in range(filled[split])]
        results = draw_all(tasks, draw, num_workers or min(os.cpu_count() or 1, 8))
        meta = write_annotations(partial_dir / ANNOTATION_FOLDER, results, arguments)
        (root / IMAGE_FOLDER).parent.mkdir(exist_ok=True)
        # The annotations move last: a folder with meta.json is a complete dataset.
        for folder in (ANNOTATION_FOLDER, IMAGE_FOLDER):
            if (root / folder).exists():
                shutil.rmtree(root / folder)
        for folder in (IMAGE_FOLDER, ANNOTATION_FOLDER):
            os.replace(partial_dir / folder, root / folder)
    finally:
        shutil.rmtree(partial_dir, ignore_errors=True)
    return meta
