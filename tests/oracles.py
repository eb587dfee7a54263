"""Textbook definitions by enumeration of every state. NumPy and itertools only.

A machine is ``weights`` (one matrix (n_upper, n_lower) a level, bottom first)
and ``biases`` (one vector a layer). Everything here is exact, slow, and shares
no code with the package.
"""

import itertools

import numpy as np


def all_states(n_units):
    """Every state of n_units binary units, one a row."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=n_units))).reshape(-1, n_units)


def joint_states(sizes):
    """Every joint state, as one array (n_states, size) a layer."""
    joint = all_states(sum(sizes))
    return np.split(joint, np.cumsum(sizes)[:-1], axis=1)


def energy(weights, biases, layers):
    total = np.zeros(len(layers[0]))
    for n in range(len(layers[0])):
        for layer, bias in zip(layers, biases):  # noqa: B905
            total[n] -= float(np.dot(layer[n], bias))
        for number, w in enumerate(weights):
            total[n] -= float(layers[number + 1][n] @ w @ layers[number][n])
    return total


def log_sum_exp(x):
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def log_z(weights, biases):
    layers = joint_states([len(b) for b in biases])
    return log_sum_exp(-energy(weights, biases, layers))


def joint(weights, biases):
    """(states by layer, probability of each joint state)."""
    layers = joint_states([len(b) for b in biases])
    minus = -energy(weights, biases, layers)
    return layers, np.exp(minus - log_sum_exp(minus))


def free_energy(weights, biases, visible):
    """-log of the sum of e^-E over all hidden states, for each visible row."""
    hidden = joint_states([len(b) for b in biases[1:]])
    result = []
    for v in visible:
        layers = [np.tile(v, (len(hidden[0]), 1)), *hidden]
        result.append(-log_sum_exp(-energy(weights, biases, layers)))
    return np.array(result)


def conditional(weights, biases, layer, layers, row):
    """p(unit = 1 | the neighbouring layers of this row), unit by unit, from joint sums."""
    n_units = len(biases[layer])
    result = np.empty(n_units)
    for unit in range(n_units):
        minus = []
        for value in (0.0, 1.0):
            changed = [np.array(x[row : row + 1]) for x in layers]
            changed[layer][0, unit] = value
            minus.append(-energy(weights, biases, changed)[0])
        result[unit] = 1 / (1 + np.exp(minus[0] - minus[1]))
    return result


def log_likelihood_gradient(weights, biases, data):
    """Exact gradient of the mean log-likelihood of the rows of ``data``."""
    layers, p = joint(weights, biases)
    keys = [tuple(v) for v in layers[0]]
    positive_w = [np.zeros_like(w) for w in weights]
    positive_b = [np.zeros_like(b) for b in biases]
    for v in data:
        chosen = np.array([key == tuple(v) for key in keys])
        q = p * chosen / p[chosen].sum()
        for number in range(len(weights)):
            positive_w[number] += (layers[number + 1] * q[:, None]).T @ layers[number] / len(data)
        for number in range(len(biases)):
            positive_b[number] += q @ layers[number] / len(data)
    gradient_w = [
        positive_w[k] - (layers[k + 1] * p[:, None]).T @ layers[k] for k in range(len(weights))
    ]
    gradient_b = [positive_b[k] - p @ layers[k] for k in range(len(biases))]
    return gradient_w, gradient_b


def pseudo_log_likelihood(weights, biases, visible):
    result = []
    for v in visible:
        total = 0.0
        for i in range(len(v)):
            other = np.array(v)
            other[i] = 1 - other[i]
            f, g = free_energy(weights, biases, np.array([v, other]))
            total -= np.log1p(np.exp(f - g))
        result.append(total)
    return np.array(result)


def bernoulli(means, states):
    """Probability of each state (row) under independent means: (n_means, n_states)."""
    return np.array([[np.prod(np.where(s == 1, m, 1 - m)) for s in states] for m in means])


class RBMTwin:
    """Training of a restricted Boltzmann machine by contrastive divergence, in plain NumPy.

    ``uniforms(step, sweep, layer, n_units, n_lanes)`` returns the random numbers of a draw:
    ``step`` counts minibatches, ``sweep`` the draws of a layer within one. Chains and data are
    sample-major. ``momentum_of`` holds the velocities of the weights and of both biases.
    """

    MEAN_RATE = 0.01

    def __init__(self, weights, biases, mask, means, chains, uniforms, options):
        self.weights, self.mask = np.array(weights), np.array(mask)
        self.biases = [np.array(bias) for bias in biases]
        self.means = [np.array(mean) for mean in means]
        self.chains, self.uniforms, self.options = np.array(chains), uniforms, dict(options)
        self.momentum_of = [np.zeros_like(weights), *(np.zeros_like(bias) for bias in biases)]
        self.step = 0

    def run(self, minibatches, rates):
        """Train on these minibatches, centred on the running means of now; return the gap."""
        offsets = [mean * self.options["centered"] for mean in self.means]
        self.biases[0] += self.weights.T @ offsets[1]
        self.biases[1] += self.weights @ offsets[0]
        gaps = [
            self._train_minibatch(np.asarray(data, float), rate, offsets)
            for data, rate in zip(minibatches, rates, strict=True)
        ]
        self.biases[0] -= self.weights.T @ offsets[1]
        self.biases[1] -= self.weights @ offsets[0]
        return np.mean(gaps)

    def _hidden_means(self, visible, offsets):
        return 1 / (1 + np.exp(-((visible - offsets[0]) @ self.weights.T + self.biases[1])))

    def _draw(self, means, sweep, layer):
        n_lanes, n_units = means.shape
        numbers = self.uniforms(self.step, sweep, layer, n_units, n_lanes)
        return np.less(numbers.T, means).astype(float)

    def _negative_phase(self, given_data, offsets):
        """The last visible states, drawn, and the last hidden ones as means."""
        n_steps = self.options["n_gibbs_steps"]
        persistent = self.options["negative_phase"] == "pcd"
        hidden = self.chains if persistent else self._draw(given_data, 0, 1)
        for sweep in range(1, n_steps + 1):
            field = (hidden - offsets[1]) @ self.weights + self.biases[0]
            visible = self._draw(1 / (1 + np.exp(-field)), sweep, 0)
            means = self._hidden_means(visible, offsets)
            if sweep < n_steps:
                hidden = self._draw(means, sweep, 1)
        self.chains = self._draw(means, n_steps + 1, 1) if persistent else hidden
        return visible, means

    def _train_minibatch(self, data, rate, offsets):
        options, momentum = self.options, self.options["momentum"]
        positive = data, self._hidden_means(data, offsets)
        negative = self._negative_phase(positive[1], offsets)
        delta = [p.mean(axis=0) - n.mean(axis=0) for p, n in zip(positive, negative, strict=True)]
        gradient = (
            positive[1].T @ positive[0] / len(positive[0])
            - negative[1].T @ negative[0] / len(negative[0])
            - np.outer(delta[1], offsets[0])
            - np.outer(offsets[1], delta[0])
        ) * self.mask
        for mean, states in zip(self.means, positive, strict=True):
            mean += self.MEAN_RATE * (states.mean(axis=0) - mean)
        target, strength = options["hidden_activity_target"] or (0, 0)
        gradients = [
            gradient - options["l2"] * self.weights,
            delta[0],
            delta[1] + strength * (target - self.means[1]),
        ]
        for velocity, slope, stepped in zip(
            self.momentum_of, gradients, [self.weights, *self.biases], strict=True
        ):
            velocity *= momentum
            velocity += slope
            stepped += rate * velocity
        threshold = rate * options["l1"]
        self.weights = np.sign(self.weights) * np.maximum(np.abs(self.weights) - threshold, 0)
        if options["max_norm"] is not None:
            norms = np.linalg.norm(self.weights, axis=1, keepdims=True)
            self.weights *= np.minimum(1, options["max_norm"] / np.maximum(norms, 1e-300))
        self.step += 1
        return np.abs(delta[0]).mean()
