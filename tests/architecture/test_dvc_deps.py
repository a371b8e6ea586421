import pytest

from architecture import stage_sources


@pytest.mark.parametrize("stage", stage_sources.stages())
def test_dvc_lists_exactly_the_sources_that_a_stage_reaches(stage):
    """DVC does not follow imports: a list that lacks a file leaves a change of it without effect."""
    assert stage_sources.listed_sources(stage) == stage_sources.sources_of(stage), "run `make deps`"


def test_a_change_of_a_loss_retrains_but_one_of_the_service_does_not():
    assert "src/dcgan/gan/losses.py" in stage_sources.sources_of("train")
    assert "src/dcgan/gan/losses.py" not in stage_sources.sources_of("train_classifier")
    reached = {source for stage in stage_sources.stages() for source in stage_sources.sources_of(stage)}
    assert not any(source.startswith("src/dcgan/cli") for source in reached)
