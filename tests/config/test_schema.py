"""Numbers that the schema knows, against the rooms that they come from."""

import dataclasses
from typing import get_args

import pytest

from dcgan.config.bounds import Section, bounds_in
from dcgan.config.schema import MAX_LATENT_DIM, MAX_MODEL_BYTES, NUM_TRAIN_IMAGES, KnownDataset, Params, StopRule
from dcgan.data.specs import KNOWN_DATA
from dcgan.inference import contract, model_file

SECTIONS = [field.type for field in dataclasses.fields(Params)] + [StopRule]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_number_has_bounds(section):
    assert issubclass(section, Section)
    for field in dataclasses.fields(section):
        if {int, float} & {field.type, *_kinds(field.type)}:
            (bound,) = bounds_in(field.type)
            assert not bound.holds(10**31), field.name
            assert not bound.holds(-1), field.name


def _kinds(kind) -> set:
    return {kind}.union(*map(_kinds, get_args(kind)))


def test_data_sets_have_as_many_training_images_as_their_specification_says():
    counts = {name: KNOWN_DATA[name].train.num_images for name in get_args(KnownDataset)}
    assert counts == NUM_TRAIN_IMAGES


def test_the_largest_latents_and_models_are_those_that_production_loads():
    assert (MAX_LATENT_DIM, MAX_MODEL_BYTES) == (contract.MAX_LATENT_DIM, model_file.MAX_BYTES)
