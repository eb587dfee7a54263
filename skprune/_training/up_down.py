"""The up-down algorithm, which trains all levels of a deep belief network together."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from .._kernels import blas, wake_sleep_steps
from .._kernels.records import (
    LabelledMinibatches,
    Stack,
    Stream,
    TopOptions,
    UpDownTraining,
    UpDownWorkspace,
)
from .._machine import inference
from .._machine.levels import Layers, all_binary, as_dtype, scale_weights
from .._support.options import check_number, resolve
from .._support.threads import Team
from .passes import (
    check_rate_schedule,
    loaded_minibatches,
    minibatch_rates,
    one_hot,
    run_passes,
)

NEVER = np.iinfo(np.int64).max  # a step that is never reached, so that chains never persist


@dataclass(eq=False, repr=False)
class UpDown(BaseEstimator):
    """Options of the up-down algorithm, which fine-tunes a network as a generative model.

    The algorithm trains all levels together (Hinton, Osindero & Teh 2006, appendix B). In the wake
    phase, states are drawn upwards with the recognition weights, and the generative weights learn
    to predict each layer from the layer above. The undirected top level learns by contrastive
    divergence. In the sleep phase, states are drawn downwards, and the recognition weights learn
    to predict each layer from the layer below. Recognition and generative weights of a level
    become different, but they have the same connections.

    Parameters
    ----------
    n_iter : int, default=10
        Number of passes over the data.
    learning_rate : float, default=0.05
        Step size. It multiplies the mean gradient of a minibatch.
    n_gibbs_steps : int, default=3
        Number of Gibbs steps of the top level per minibatch.
    negative_phase : {"cd", "pcd"}, default="cd"
        Whether the chains of the top level start from the data of each minibatch ("cd", as in the
        paper) or continue from one minibatch to the next ("pcd", Tieleman 2008). Persistent chains
        also reach states far from the data, and training makes these less probable.
    n_label_draws : int, default=1
        Number of draws of the class, with shared weights, that represent the label while the top
        level learns (replicated softmax, Salakhutdinov & Hinton 2009). With more draws, samples
        with a clamped class belong to that class more often. The fitted label weights are the sum
        over all draws, so prediction and sampling use them as usual. Values above 1 require
        ``join_labels=True`` in the network.
    batch_size : int, default=100
        Number of rows per minibatch. Within a pass, minibatch sizes differ by at most one row.
    l2 : float, default=0.0
        L2 penalty on all weights. It is applied after each group of minibatches that are loaded
        together.
    learning_rate_schedule : {"linear", "constant"} or callable, default="linear"
        Factor of the learning rate. "linear" decreases it to 0 over the passes. A callable maps
        the progress of training, in [0, 1), to the factor.
    undirected_top : bool, default=True
        If False, the top level is directed too, and the units of the top layer are independent.
        The network is then a sigmoid belief net, trained by the wake-sleep algorithm (Hinton,
        Dayan, Frey & Neal 1995).
    """

    n_iter: int = 10
    learning_rate: float = 0.05
    n_gibbs_steps: int = 3
    negative_phase: str = "cd"
    n_label_draws: int = 1
    batch_size: int = 100
    l2: float = 0.0
    learning_rate_schedule: object = "linear"
    undirected_top: bool = True


FINE_TUNE = {"up_down": UpDown()}


def check_up_down(fine_tune, join_labels) -> UpDown:
    """Return valid options of the up-down algorithm.

    Parameters
    ----------
    fine_tune : {"up_down"} or UpDown
        Parameter of the network.
    join_labels : bool
        Whether the top level of the network has labels.

    Returns
    -------
    tuning : UpDown
        A copy of the options with Python numbers.

    Raises
    ------
    TypeError
        If ``fine_tune`` or an option has a wrong type.
    ValueError
        If an option is invalid.
    """
    tuning = resolve(fine_tune, FINE_TUNE, "fine_tune")
    if not isinstance(tuning, UpDown):
        raise TypeError(f"fine_tune must be 'up_down', an UpDown or None, got {tuning!r}.")
    integer = numbers.Integral
    plain = {
        name: check_number(getattr(tuning, name), f"{name} of UpDown", kind, low, high, closed)
        for name, kind, low, high, closed in (
            ("n_iter", integer, 0, None, "both"),
            ("batch_size", integer, 1, None, "both"),
            ("n_gibbs_steps", integer, 1, 1000, "both"),
            ("n_label_draws", integer, 1, 100, "both"),
            ("learning_rate", numbers.Real, 0, None, "right"),
            ("l2", numbers.Real, 0, None, "both"),
        )
    }
    if tuning.negative_phase not in ("cd", "pcd"):
        raise ValueError(
            f"negative_phase={tuning.negative_phase!r} of UpDown is not known. Use 'cd' or 'pcd'."
        )
    if tuning.n_label_draws > 1 and not join_labels:
        raise ValueError(
            "n_label_draws of UpDown must be 1 unless join_labels=True, got "
            f"{tuning.n_label_draws}."
        )
    check_rate_schedule(tuning.learning_rate_schedule, "learning_rate_schedule of UpDown")
    if join_labels and not tuning.undirected_top:
        raise ValueError(
            "join_labels=True needs an undirected top level. Use UpDown(undirected_top=True)."
        )
    return replace(tuning, **plain)


@dataclass
class UpDownTrainer:
    """Trains all levels of a deep belief network by the up-down algorithm, in place.

    See :class:`UpDown` for the algorithm.

    Attributes
    ----------
    recognition, generative : Stack
        Weights and biases of the directed levels, in the upward and in the downward direction.
    top : Stack
        Weights and biases of the top level. Its lower units are those of the last directed layer,
        followed by the labels.
    options : UpDown
        Options of the algorithm.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Training data.
    labels : ndarray of int of shape (n_samples,) or None
        Index of the class of each row.
    n_labels : int
        Number of labels, or 0 without labels.
    n_passes : int
        Number of passes over the data.
    key : numpy.uint64
        Key of the random numbers.
    n_steps : int
        Number of minibatches so far, including those of earlier fits.
    team : Team
        Threads that run the kernels.
    """

    recognition: Stack
    generative: Stack
    top: Stack
    options: Any
    X: Any
    labels: np.ndarray | None
    n_labels: int
    n_passes: int
    key: np.uint64
    n_steps: int
    team: Team

    def __post_init__(self):
        dtype = self.top.biases[0].dtype
        self._batch_size = min(self.options.batch_size, self.X.shape[0])
        sizes = [bias.size for bias in self.recognition.biases]
        sizes[-1] += self.n_labels
        n_top = self.top.biases[1].size
        if self.options.undirected_top and self.top.biases[0].size != sizes[-1]:
            raise ValueError(
                f"The top level has {self.top.biases[0].size} lower units, but {sizes[-1]} are "
                "needed: those of the last directed layer, and the labels."
            )

        def states(sizes):
            return tuple(inference.states_array(n, self._batch_size, dtype) for n in sizes)

        options = self.options
        self._training = UpDownTraining(
            self.recognition,
            self.generative,
            self.top,
            TopOptions(
                undirected=options.undirected_top,
                n_labels=self.n_labels,
                n_gibbs_steps=options.n_gibbs_steps,
                chains_from=self.n_steps + 1 if options.negative_phase == "pcd" else NEVER,
                n_draws=options.n_label_draws,
            ),
            UpDownWorkspace(
                wake=states(sizes),
                dream=states(sizes),
                errors=states(sizes),
                top_wake=states([n_top, n_top]),
                top_dream=states([n_top, n_top]),
                gradient=np.empty((self.team.n_threads, max(*sizes, n_top)), dtype),
                blas=blas.BLAS_ADDRESS[dtype],
            ),
        )

    @property
    def stacks(self) -> tuple:
        """The stacks that are trained."""
        return self.recognition, self.generative, self.top

    def run_pass(self, number) -> dict:
        """Train for one pass over the data, and return its row of the history."""
        options, dtype = self.options, self.top.biases[0].dtype
        n_samples = self.X.shape[0]
        n_minibatches = -(-n_samples // self._batch_size)
        rates = minibatch_rates(
            options.learning_rate, options.learning_rate_schedule, number, self.n_passes,
            n_minibatches,
        )  # fmt: skip
        order = np.random.default_rng([int(self.key), self.n_steps]).permutation(n_samples)
        groups = loaded_minibatches(self.X, order, self._batch_size, dtype, self.team)
        labels = np.zeros((0, 0, 0), dtype)
        for first, rows, sizes, data in groups:
            if self.n_labels:
                labels = one_hot(rows, sizes, self.labels, self.n_labels, data.shape[2], dtype)
            group_rates = rates[first : first + sizes.size]
            minibatches = LabelledMinibatches(data, labels, sizes, group_rates.astype(dtype))
            stream = Stream(self.key, self.n_steps + first)
            n_connections = sum(inference.n_parameters(stack) for stack in self.stacks)
            self.team.run(
                wake_sleep_steps.wake_sleep_minibatches, self._training, minibatches, stream,
                work=float(sizes.sum()) * n_connections * (3 + 2 * options.n_gibbs_steps),
            )  # fmt: skip
            if options.l2:
                share_left = dtype.type(np.exp(-options.l2 * group_rates.sum()))
                for stack in self.stacks:
                    scale_weights(stack, share_left)
        self.n_steps += n_minibatches
        return {"learning_rate": rates[-1]}


def generative_layers(machines, directed_top) -> Layers:
    """Return the directed levels of a stack of machines, with their recognition weights.

    Parameters
    ----------
    machines : list of PrunedBernoulliRBM
        Fitted levels, lowest level first.
    directed_top : bool
        Whether the top level is directed too. The biases of the top layer are then the log-odds
        of its mean activity.

    Returns
    -------
    layers : Layers
        Directed levels, and biases of all their layers.
    """
    directed = machines if directed_top else machines[:-1]
    n_top = directed[-1].intercept_hidden_.size
    if directed_top:
        prior = np.clip(machines[-1].activity_[1], 1e-3, 0.999)
        prior = np.log(prior / (1 - prior))
    else:  # the lower biases of the top level, without the biases of the labels
        prior = machines[-1].intercept_visible_[:n_top]
    biases = [*(machine.intercept_visible_ for machine in directed), prior]
    return Layers([machine.layers_.levels[0] for machine in directed], biases)


def train_up_down(machines, start, *, network, context, **fields) -> tuple:
    """Train a stack of machines by the up-down algorithm.

    Parameters
    ----------
    machines : list of PrunedBernoulliRBM
        Fitted levels, lowest level first. They are changed in place to the trained weights.
    start : Layers
        Directed levels with generative weights.
    network : estimator
        Network to which callbacks and messages refer.
    context : callback context
        Context of ``fit`` of the network.
    **fields : dict
        Other fields of :class:`UpDownTrainer`.

    Returns
    -------
    history : dict of ndarray
        One array per column, with one value per pass.
    generative : Layers
        Directed levels with trained generative weights.
    n_steps : int
        Number of minibatches, including those of earlier fits.
    """
    n_directed = len(start.levels)
    layers = [machine.layers_ for machine in machines]
    stacks = [as_dtype(level.stack(), level.biases[0].dtype) for level in layers]
    trainer = UpDownTrainer(
        recognition=Stack(
            tuple(stack.levels[0] for stack in stacks[:n_directed]),
            (stacks[0].biases[0], *(stack.biases[1] for stack in stacks[:n_directed])),
            all_binary(n_directed + 1),
        ),
        generative=as_dtype(start.stack(), stacks[0].biases[0].dtype),
        top=stacks[-1],
        **fields,
    )
    history = run_passes(
        trainer, trainer.n_passes, estimator=network, context=context, name="up-down pass"
    )
    generative = trainer.generative
    for number, (machine, stack) in enumerate(zip(machines, stacks, strict=True)):
        below, above = stack.biases
        if number < n_directed:
            below = generative.biases[number].copy()
        machine.set_layers(layers[number].with_weights_of(stack._replace(biases=(below, above))))
    return history, start.with_weights_of(generative), trainer.n_steps
