"""
How far to trust a likelihood
=============================

Annealed importance sampling underestimates log Z on average, reverse AIS
overestimates it; the truth lies between. With 20 hidden units log Z can be
enumerated, so here is the truth beside its bracket, as the number of
temperatures grows.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skprune import PrunedBernoulliRBM

X = (load_digits().data > 7).astype(np.uint8)
rbm = PrunedBernoulliRBM(20, n_iter=150, learning_rate=0.2, random_state=0).fit(X)
exact = rbm.log_partition("exact").value
unnormalised = -rbm.free_energy(X).mean()

# %%
# Few temperatures give a wide bracket, and a warning.

temperatures = [3, 10, 30, 100, 300, 1000]
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    brackets = [
        rbm.log_partition("bracket", n_temperatures=n, n_tempered_sweeps=200) for n in temperatures
    ]
for n, bracket in zip(temperatures, brackets, strict=True):
    print(
        f"{n:5d} temperatures: log-likelihood between {unnormalised - bracket.bracket[1]:.2f} and "
        f"{unnormalised - bracket.bracket[0]:.2f} nats, exactly {unnormalised - exact:.2f}"
    )

# %%
# The same as a picture.

figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
ends = np.array([bracket.bracket for bracket in brackets])
axis.fill_between(temperatures, *(unnormalised - ends).T, alpha=0.3, label="bracket, ± 3 s.e.")
axis.axhline(unnormalised - exact, color="k", label="exact")
axis.set(xscale="log", xlabel="temperatures", ylabel="mean log-likelihood (nats)")
axis.legend()
plt.show()
