"""Linear probe: test accuracy of a linear classifier on features, as in the DCGAN paper."""

import warnings

from torch import Tensor

MAX_ITERATIONS = 30
"""More change the accuracy by 0.002 at most."""


def probe_accuracy(features: Tensor, labels: Tensor, *, test_features: Tensor, test_labels: Tensor) -> float:
    """Test accuracy, in [0, 1], of a logistic regression on standardised features float32 [N, F] with labels int64 [N].

    The test set has [M, F] and [M].
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(features.numpy(), labels.numpy())
    return float(probe.score(test_features.numpy(), test_labels.numpy()))
