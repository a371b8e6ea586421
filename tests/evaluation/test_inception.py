"""Inception features, with a stand-in for the 91 MB of weights: right names and shapes over a handful of numbers."""

import hashlib
import pickle

import pytest
import torch

from damage import Evil
from dcgan.evaluation.inception import load_inception, measure_fid
from dcgan.system.errors import BadDataError
from support import CPU


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file of 1 MB: every weight is a window of the same random numbers."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    numbers = torch.randn(20_000, generator=torch.Generator().manual_seed(0))

    def window(name, tensor):
        if name.endswith("num_batches_tracked"):
            return torch.zeros((), dtype=torch.int64)
        if name.endswith(("running_var", "bn.weight")):
            return torch.ones(1).expand(tensor.shape)
        scale = 0.5 * (2 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.1
        return torch.as_strided(scale * numbers, tensor.shape, [37 % (7 + axis) + 1 for axis in range(tensor.ndim)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_args, **_others: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_args: None)
        template = module.FeatureExtractorInceptionV3("template", ["2048"]).state_dict()
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({name: window(name, tensor) for name, tensor in template.items()}, path)
    assert path.stat().st_size < 30 * 2**20
    return path


@pytest.fixture(scope="module")
def inception(weights):
    return load_inception(weights, device=CPU)


def images(count: int, *, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 28, 28), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_fid_equals_the_closed_form_on_torch_fidelitys_own_features(weights, inception):
    """With centred rows A [n, D] and B [m, D], tr (Σ_A Σ_B)^½ is the sum of the singular values of A·Bᵀ, scaled."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("reference", ["2048"], feature_extractor_weights_path=str(weights))
    first, second = images(3, seed=0), images(4, seed=1) // 2
    a, b = (network(pixels.unsqueeze(1).repeat(1, 3, 1, 1))[0].double() for pixels in (first, second))
    centred_a, centred_b = a - a.mean(dim=0), b - b.mean(dim=0)
    traces = centred_a.square().sum() / 2 + centred_b.square().sum() / 3
    root = torch.linalg.svdvals(centred_a @ centred_b.T).sum() / (2 * 3) ** 0.5
    expected = (a.mean(dim=0) - b.mean(dim=0)).square().sum() + traces - 2 * root
    found = measure_fid(inception, first, test=second, train=second)
    assert found["fid"] == pytest.approx(expected.item(), rel=1e-4)
    assert found["fid_floor"] == pytest.approx(0, abs=1e-4 * expected.item())
    assert found["inception_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_weights_of_another_shape_are_refused(weights, tmp_path):
    other = torch.load(weights, weights_only=True) | {"fc.weight": torch.zeros(3, 2048)}
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(BadDataError, match=r"other\.pth: holds another network"):
        load_inception(tmp_path / "other.pth", device=CPU)


@pytest.mark.parametrize("content", [None, b"", b"0", b"not weights", pickle.dumps({"a": 1}, protocol=2)])
def test_missing_and_other_files_are_refused(tmp_path, content):
    path = tmp_path / "broken.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadDataError, match=r"broken\.pth: .*evaluate\.inception_weights"):
        load_inception(path, device=CPU)


def test_no_code_in_the_file_is_run(tmp_path):
    torch.save({"fc.weight": Evil(tmp_path / "marker")}, tmp_path / "evil.pth")
    with pytest.raises(BadDataError, match=r"evil\.pth: not a file of plain tensors"):
        load_inception(tmp_path / "evil.pth", device=CPU)
    assert not (tmp_path / "marker").exists()
