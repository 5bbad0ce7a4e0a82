"""Meaning of RefShapes' expressions: what is true of which object, and when exactly one object fits.

Meaning comes before wording. An `Expression` is a predicate over the objects of a scene with three answers: true, false
and *unclear* (None), the last one for places near a boundary where people would disagree. An expression is used only
when it is true of exactly one object and false of every other one.
"""
from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Optional

from .scene import Attributes, SceneObject

KINDS = ('attribute', 'position', 'relation')
SUPERLATIVES = ('leftmost', 'rightmost', 'topmost', 'bottommost')
REGIONS = ('left', 'right', 'top', 'bottom', 'top left', 'top right', 'bottom left', 'bottom right', 'middle')
RELATIONS = ('left of', 'right of', 'above', 'below', 'closest to')

# Margins, as fractions of the image side.
REGION_TRUE, REGION_FALSE = 0.38, 0.52  # distance of the centre from the named side
MIDDLE_TRUE, MIDDLE_FALSE = 0.14, 0.26  # largest offset of the centre from the image's centre
SUPERLATIVE_CENTRE_GAP, SUPERLATIVE_EDGE_GAP = 0.08, 0.04
RELATION_GAP, RELATION_FALSE = 0.12, -0.02
NEAREST_GAP, NEAREST_RATIO = 0.08, 1.3

Truth = Optional[bool]


@dataclass(frozen=True)
class Description:
    """The attributes an expression names; None where it names none."""
    shape: str | None = None
    colour: str | None = None
    texture: str | None = None
    size: str | None = None

    def fits(self, attributes: Attributes) -> bool:
        """Whether every named attribute is the object's."""
        return (self.shape in (None, attributes.shape) and self.colour in (None, attributes.colour)
                and self.texture in (None, attributes.texture) and self.size in (None, attributes.size))


@dataclass(frozen=True)
class Expression:
    """An expression's meaning.

    Args:
        target: What is said about the target itself.
        position: One of ``SUPERLATIVES`` or ``REGIONS``, or None.
        relation: One of ``RELATIONS``, or None.
        anchor: What is said about the object that the relation refers to.
    """
    target: Description
    position: str | None = None
    relation: str | None = None
    anchor: Description | None = None

    @property
    def kind(self) -> str:
        """One of ``KINDS``."""
        if self.relation is not None:
            return 'relation'
        return 'attribute' if self.position is None else 'position'


def threshold(value: float, true_below: float, false_above: float) -> Truth:
    """True below the first limit, False above the second, None (unclear) between."""
    if value < true_below:
        return True
    return False if value > false_above else None


def all_of(answers: Sequence[Truth]) -> Truth:
    """Three-valued AND: false beats unclear beats true."""
    if any(answer is False for answer in answers):
        return False
    return None if any(answer is None for answer in answers) else True


def in_region(region: str, item: SceneObject) -> Truth:
    """Whether an object lies in an absolute region of the image."""
    if region == 'middle':
        return threshold(max(abs(item.x - 0.5), abs(item.y - 0.5)), MIDDLE_TRUE, MIDDLE_FALSE)
    distance = dict(left=item.x, right=1 - item.x, top=item.y, bottom=1 - item.y)
    return all_of([threshold(distance[side], REGION_TRUE, REGION_FALSE) for side in region.split()])


def reach(direction: str, item: SceneObject) -> tuple[float, float]:
    """How far the object's centre and its outermost edge lie in a direction (larger is farther)."""
    left, top, right, bottom = item.box
    return {
        'left': (-item.x, -left),
        'right': (item.x, right),
        'top': (-item.y, -top),
        'bottom': (item.y, bottom),
    }[direction]


def is_outermost(direction: str, item: SceneObject, rivals: Sequence[SceneObject]) -> Truth:
    """Whether an object lies farther in a direction than all rivals, by its centre and by its edge."""
    if not rivals:
        return None  # "the leftmost circle" of one circle is true, but nobody says it
    centre, edge = reach(direction, item)
    answers = []
    for rival in rivals:
        rival_centre, rival_edge = reach(direction, rival)
        ahead = centre - rival_centre > SUPERLATIVE_CENTRE_GAP and edge - rival_edge > SUPERLATIVE_EDGE_GAP
        behind = rival_centre - centre > SUPERLATIVE_CENTRE_GAP and rival_edge - edge > SUPERLATIVE_EDGE_GAP
        answers.append(True if ahead else False if behind else None)
    return all_of(answers)


def in_direction(relation: str, item: SceneObject, anchor: SceneObject) -> Truth:
    """Whether an object is left of, right of, above or below another one."""
    along, across = (anchor.x - item.x, anchor.y - item.y)
    half_sizes = (item.box[2] - item.box[0] + anchor.box[2] - anchor.box[0]) / 2
    if relation in ('above', 'below'):
        along, across = across, along
        half_sizes = (item.box[3] - item.box[1] + anchor.box[3] - anchor.box[1]) / 2
    if relation in ('right of', 'below'):
        along = -along
    if along < RELATION_FALSE:
        return False
    # clearly beside each other, and more in the named direction than across it
    return True if along > max(RELATION_GAP, 0.6 * half_sizes) and abs(across) < 0.9 * along else None


def distances(item: SceneObject, anchor: SceneObject) -> tuple[float, float]:
    """Distance of two objects' centres, and of the anchor's centre from the rim of the object."""
    centres = math.hypot(item.x - anchor.x, item.y - anchor.y)
    return centres, centres - (item.box[2] - item.box[0] + item.box[3] - item.box[1]) / 4


def clearly_less(near: tuple[float, float], far: tuple[float, float]) -> bool:
    """Whether one object's `distances` are smaller than another's beyond doubt."""
    return far[0] > max(near[0] + NEAREST_GAP, NEAREST_RATIO * near[0]) and far[1] > near[1] + NEAREST_GAP


def is_nearest(item: SceneObject, rivals: Sequence[SceneObject], anchor: SceneObject) -> Truth:
    """Whether an object is closer to the anchor than all rivals."""
    if not rivals:
        return None
    own = distances(item, anchor)
    answers = []
    for rival in rivals:
        other = distances(rival, anchor)
        answers.append(True if clearly_less(own, other) else False if clearly_less(other, own) else None)
    return all_of(answers)


def evaluate(expression: Expression, objects: Sequence[SceneObject]) -> list[Truth]:
    """Ask of every object whether the expression fits it.

    Returns:
        One answer per object: True, False, or None where people might disagree. All None when the anchor is not unique.
    """
    answers: list[Truth] = [expression.target.fits(item.attributes) for item in objects]
    anchor = None
    if expression.relation is not None:
        anchors = [index for index, item in enumerate(objects) if expression.anchor.fits(item.attributes)]
        if len(anchors) != 1:
            return [None] * len(objects)
        anchor = objects[anchors[0]]
        answers[anchors[0]] = False
    members = [index for index, answer in enumerate(answers) if answer]
    for index in members:
        item, rivals = objects[index], [objects[other] for other in members if other != index]
        if expression.position in SUPERLATIVES:
            answers[index] = is_outermost(expression.position[:-len('most')], item, rivals)
        elif expression.position is not None:
            answers[index] = in_region(expression.position, item)
        elif expression.relation == 'closest to':
            answers[index] = is_nearest(item, rivals, anchor)
        elif expression.relation is not None:
            answers[index] = in_direction(expression.relation, item, anchor)
    return answers


def is_unique(expression: Expression, objects: Sequence[SceneObject], index: int) -> bool:
    """Whether the expression is true of object ``index`` and false of every other one."""
    answers = evaluate(expression, objects)
    return all(answer is (other == index) for other, answer in enumerate(answers))


def describe(rng: random.Random, attributes: Attributes, counts: Sequence[int],
             must_name: Sequence[str]) -> Description:
    """Name a random selection of an object's attributes: one of ``counts`` many, ``must_name`` always among them."""
    count = max(rng.choice(tuple(counts)), len(must_name))
    others = [name for name in ('shape', 'shape', 'colour', 'colour', 'size', 'texture') if name not in must_name]
    names = set(must_name)
    while len(names) < count:
        names.add(rng.choice(others))
    # The order of a set of strings changes from one Python process to the next; keyword order does not matter here.
    return Description(**{name: getattr(attributes, name) for name in names})


def unique_descriptions(objects: Sequence[SceneObject], index: int, must_name: Sequence[str]) -> list[Description]:
    """Every selection of attributes that fits object ``index`` and no other one, shortest first."""
    attributes = objects[index].attributes
    found = []
    for count in range(1, 5):
        for names in combinations(('shape', 'colour', 'texture', 'size'), count):
            if set(must_name) <= set(names):
                description = Description(**{name: getattr(attributes, name) for name in names})
                if sum(description.fits(item.attributes) for item in objects) == 1:
                    found.append(description)
    return found


def named(description: Description) -> int:
    """Number of attributes that a description names."""
    return sum(value is not None for value in vars(description).values())


def sample_expression(rng: random.Random, objects: Sequence[SceneObject], index: int, kind: str, *,
                      must_name: Sequence[str] = (), strict: float = 0.75) -> Expression | None:
    """Draw an expression of one kind that is unique to one object.

    Args:
        rng: Source of every random choice.
        objects: The scene.
        index: The target.
        kind: One of ``KINDS``.
        must_name: Attributes (``shape``, ``colour``, ``texture``, ``size``) that the target's description names.
        strict: Share of position and relation expressions whose place words are necessary, i.e. whose description of
            the target alone would fit other objects too.

    Returns:
        The expression, or None when none was found.
    """
    if kind == 'attribute':
        options = unique_descriptions(objects, index, must_name)
        if not options:
            return None
        weights = [(0, 1.0, 3.0, 2.5, 1.0)[named(option)] for option in options]
        return Expression(rng.choices(options, weights)[0])

    necessary = rng.random() < strict
    names: dict[int, list[Description]] = {}  # of the anchors tried so far
    for _ in range(30):
        description = describe(rng, objects[index].attributes, (0, 1, 1, 1, 2, 2), must_name)
        if necessary and is_unique(Expression(description), objects, index):
            continue
        if kind == 'position':
            expression = Expression(description, position=rng.choice(SUPERLATIVES + REGIONS))
        else:
            anchor = rng.choice([other for other in range(len(objects)) if other != index])
            if anchor not in names:
                names[anchor] = unique_descriptions(objects, anchor, ())
            if not names[anchor]:
                continue
            weights = [(0, 2.0, 3.0, 1.0, 0.2)[named(option)] for option in names[anchor]]
            expression = Expression(description, relation=rng.choice(RELATIONS),
                                    anchor=rng.choices(names[anchor], weights)[0])
        if is_unique(expression, objects, index):
            return expression
    return None
