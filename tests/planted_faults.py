"""Known faults, each with a test that must fail when the fault is in the code.

``python -m tests.planted_faults`` copies the package into a temporary directory, plants one
fault at a time in the copy, and runs the test that is named beside it. The command fails if a
test passes in spite of its fault, or if the text to replace is no longer in the code. A test that
this machine skips is reported, and does not make the command fail. After code has moved, correct
``file`` and ``old`` of the faults that moved with it. Options: ``--list``, ``--row N ...`` and
``--no-baseline``.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
LONGEST = 600  # seconds a test may take
# Errors of a replacement that is not legal code: a test that fails so has seen no fault.
DOES_NOT_RUN = ("numba.core.errors", "SyntaxError", "ImportError", "NameError", "UnboundLocalError")


class Fault(NamedTuple):
    """A fault to plant, and the test that must see it.

    Attributes
    ----------
    row : int
        Number of the group of faults it belongs to.
    file : str
        Path relative to ``skprune/``.
    old : str
        Text that occurs exactly once in that file.
    new : str
        Its replacement.
    test : str
        Node id of the test, as pytest takes it.
    """

    row: int
    file: str
    old: str
    new: str
    test: str

    def count(self, package: pathlib.Path) -> int:
        """Return how often ``old`` occurs in the file; 0 without the file."""
        path = package / self.file
        return path.read_text(encoding="utf-8").count(self.old) if path.exists() else 0

    def plant(self, package: pathlib.Path) -> None:
        """Replace the text in the file."""
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


FAULTS: list[Fault] = [
    # 1: the gradient step on a full level
    Fault(
        1,
        "_kernels/contrastive_steps.py",
        "by[e] -= options.l2 * moved[e]",
        "by[e] += options.l2 * moved[e]",
        "tests/test_training.py::test_two_minibatches_are_those_of_numpy[cd-0.5-0.0-0.2-None-full]",
    ),
    Fault(
        1,
        "_kernels/contrastive_steps.py",
        "one - rate * options.l2",
        "one - options.l2",
        "tests/test_training.py::test_two_minibatches_are_those_of_numpy[cd-0.0-0.0-0.2-None-full]",
    ),
    Fault(
        1,
        "_kernels/contrastive_steps.py",
        "_shrink(weights, first, count, rate * options.l1)",
        "_shrink(weights, first, count, options.l1)",
        "tests/test_training.py::test_two_minibatches_are_those_of_numpy[cd-0.0-0.05-0.0-None-full]",
    ),
    Fault(
        1,
        "_kernels/contrastive_steps.py",
        "stepped = into[first : first + count]",
        "stepped = weights[first : first + count]",
        "tests/test_training.py::test_two_minibatches_are_those_of_numpy[cd-0.5-0.0-0.0-None-dense]",
    ),
    # 2: the gradient of a network's masked level
    Fault(
        2,
        "_kernels/backprop_steps.py",
        "gradient[e] *= mask[e]",
        "gradient[e] *= scale / scale",
        "tests/test_network.py::test_masked_levels_learn_as_edges_do[sgd]",
    ),
    # 9: what a minibatch leaves behind for a smaller one
    Fault(
        9,
        "_training/contrastive.py",
        "states[:, X.shape[0] :] = 0",
        "states[:, X.shape[0] :] *= 1",
        "tests/test_dbm.py::test_uneven_minibatches_learn_as_each_by_itself[2-None]",
    ),
    # 10: products that overflow
    Fault(
        10,
        "_kernels/scores.py",
        "LOG_EVERY = 512",
        "LOG_EVERY = 2**40",
        "tests/test_rbm.py::test_free_energy_of_many_units_is_finite",
    ),
    Fault(
        10,
        "_kernels/scores.py",
        "if i % LOG_EVERY == LOG_EVERY - 1:",
        "if i < 0:",
        "tests/test_rbm.py::test_free_energy_of_many_units_is_finite",
    ),
    Fault(
        10,
        "_kernels/scores.py",
        "if (e - first) % LOG_EVERY == LOG_EVERY - 1:",
        "if e < first:",
        "tests/test_rbm.py::test_pseudo_log_likelihood_of_many_units_is_finite",
    ),
    Fault(
        10,
        "_kernels/chains.py",
        "if i % LOG_EVERY == LOG_EVERY - 1 or i == n_units - 1:",
        "if i == n_units - 1:",
        "tests/test_rbm.py::test_ais_of_many_units_is_finite",
    ),
    # 12: levels of a deep belief network
    Fault(
        12,
        "_training/stacking.py",
        "level.set_params(**new_seeds(level, rng))",
        "level.set_params(**new_seeds(level, np.random.RandomState(0)))",
        "tests/test_dbn.py::test_levels_have_seeds_of_their_own",
    ),
    Fault(
        12,
        "_training/stacking.py",
        'if self.upward == "samples":',
        'if self.upward == "never":',
        "tests/test_dbn.py::test_the_second_level_reads_samples_or_probabilities[samples]",
    ),
    # 13: what differs between passes, and what goes on
    Fault(
        13,
        "_training/contrastive.py",
        "np.random.default_rng([int(self.key), self.n_steps])",
        "np.random.default_rng([int(self.key), 0])",
        "tests/test_training.py::test_every_pass_has_its_own_order_of_rows",
    ),
    Fault(
        13,
        "_machine/base.py",
        'self._train(X, 1, schedule="constant", shuffle=False)',
        "self._train(X, 1, schedule=self.learning_rate_schedule, shuffle=False)",
        "tests/test_training.py::test_partial_fit_keeps_rate_and_momentum[0.0]",
    ),
    Fault(
        13,
        "_machine/base.py",
        "return [velocity.copy() for velocity in self._velocity]",
        "return new_velocity(stack, momentum)",
        "tests/test_training.py::test_momentum_goes_on_between_fits",
    ),
    # 20: running means and the moment gap
    Fault(
        20,
        "_kernels/contrastive_steps.py",
        "activity[i] += options.mean_rate * (here - activity[i])",
        "activity[i] += options.mean_rate * (here - delta[i] - activity[i])",
        "tests/test_training.py::test_running_means_follow_the_data",
    ),
    Fault(
        20,
        "_kernels/contrastive_steps.py",
        "gap[i] += abs(delta[i])",
        "gap[i] += delta[i]",
        "tests/test_training.py::test_moment_gap_is_a_mean_distance",
    ),
    Fault(
        20,
        "_training/contrastive.py",
        "self.state.gap.mean() / n_minibatches",
        "self.state.gap.mean()",
        "tests/test_training.py::test_moment_gap_is_a_mean_distance",
    ),
    # 23: packed states
    Fault(
        23,
        "_machine/inference.py",
        "totals.T - row_products(take_rows(X, rows), below)",
        "totals.T + row_products(take_rows(X, rows), below)",
        "tests/test_rbm.py::test_free_energy_by_look_up_is_that_of_its_formula",
    ),
    Fault(
        23,
        "_kernels/packing.py",
        "(kinds[4], model, model_scale)",
        "(kinds[4], model, data_scale)",
        "tests/test_training.py::test_packed_steps_are_those_of_numpy[40-64-binary]",
    ),
    # 25: threads and disks
    Fault(
        25,
        "_kernels/compile.py",
        "dispatcher.compile = partial(uninterrupted, dispatcher.compile)",
        "dispatcher.compile = dispatcher.compile",
        "tests/test_faults.py::test_kernels_compile_outside_the_main_thread",
    ),
    Fault(
        25,
        "_kernels/compile.py",
        "and version not in path.name",
        "and version in path.name",
        "tests/test_kernel_cache.py::test_files_of_an_older_version_are_removed",
    ),
    Fault(
        25,
        "_pruning/memory.py",
        "if checksum == _digest(content) else None",
        "if checksum else None",
        "tests/test_faults.py::test_a_damaged_round_is_computed_again[output.pkl-weight]",
    ),
    Fault(
        25,
        "_pruning/memory.py",
        "self._cached(args, VERSION, call)",
        'self._cached(args, "", call)',
        "tests/test_faults.py::test_results_of_another_version_are_not_used",
    ),
    Fault(
        25,
        "datasets.py",
        "str(own) != checksum_of(arrays)",
        "not str(own)",
        "tests/test_datasets.py::test_an_archive_carries_its_own_checksum",
    ),
    Fault(
        25,
        "_support/validation.py",
        "        attributes.update(before)\n",
        "",
        "tests/test_faults.py::test_a_fit_whose_thread_fails_raises_and_changes_nothing[takes part-0]",
    ),
    Fault(
        row=3,
        file="_machine/base.py",
        old="""stack, states, n_steps_between, n_chains, key, team, number * n_steps_between""",
        new="""stack, states, n_steps_between, n_chains, key, team, 0""",
        test="tests/test_rbm.py::test_every_step_of_model_states_has_its_own_draws",
    ),
    Fault(
        row=4,
        file="_machine/base.py",
        old="""        self._forget()
        self._set_sizes(""",
        new="""        self._set_sizes(""",
        test="tests/test_rbm.py::test_kept_log_partition_is_dropped_with_units_and_connections[compact]",
    ),
    Fault(
        row=4,
        file="_machine/layered.py",
        old="""        self._levels = [*changed, *others]
        self._forget()""",
        new="""        self._levels = [*changed, *others]""",
        test="tests/test_dbn.py::test_kept_log_partition_is_dropped_with_connections",
    ),
    Fault(
        row=7,
        file="_kernels/chains.py",
        old="""to_draw(x, i, new * bias, new, n_lanes""",
        new="""to_draw(x, i, old * bias, old, n_lanes""",
        test="tests/test_likelihood.py::test_ais_draws_each_layer_at_the_new_temperature",
    ),
    Fault(
        row=8,
        file="_training/doubling.py",
        old="""            machine.set_params(n_iter=n_iter, warm_start=True).fit(given)
            tie(machine, tiles)""",
        new="""            machine.set_params(n_iter=n_iter, warm_start=True).fit(given)""",
        test="tests/test_dbm.py::test_copies_of_doubled_units_are_tied_before_and_after_their_training",
    ),
    Fault(
        row=8,
        file="_kernels/fields.py",
        old="""        change[:] = 0
        for layer in range(1, n_layers):""",
        new="""        for layer in range(1, n_layers):
            change[:] = 0""",
        test="tests/test_dbm.py::test_a_row_is_updated_until_no_layer_of_it_moves[two]",
    ),
    Fault(
        row=24,
        file="_machine/base.py",
        old="""return check_machine_units(super()._stack())""",
        new="""return super()._stack()""",
        test="tests/test_levels.py::test_machines_refuse_units_that_their_kernels_do_not_know",
    ),
    Fault(
        row=15,
        file="likelihood.py",
        old="""    stack = as_dtype(stack, np.float64)""",
        new="""    stack = as_dtype(stack, stack.biases[0].dtype)""",
        test="tests/test_likelihood.py::test_exact_log_partition_of_float32_parameters_is_computed_in_float64[rbm]",
    ),
    Fault(
        row=15,
        file="likelihood.py",
        old="""(value - 3 * error, value + 3 * error), "ais", size)""",
        new="""(value - error, value + error), "ais", size)""",
        test="tests/test_likelihood.py::test_bracket_is_three_standard_errors_wide_on_either_side",
    ),
    Fault(
        row=15,
        file="likelihood.py",
        old="""(value - 3 * error, value + 3 * error), "reverse_ais", size)""",
        new="""(value - error, value + error), "reverse_ais", size)""",
        test="tests/test_likelihood.py::test_bracket_is_three_standard_errors_wide_on_either_side",
    ),
    Fault(
        row=15,
        file="likelihood.py",
        old="""float(weights.sum() ** 2 / (weights**2).sum())""",
        new="""float(weights.sum() / weights.max())""",
        test="tests/test_likelihood.py::test_standard_error_and_effective_sample_size_by_hand",
    ),
    Fault(
        row=16,
        file="dbn.py",
        old="""[*self.history_[: len(self.estimators_)], history]""",
        new="""[*self.history_, history]""",
        test="tests/test_dbn.py::test_history_of_fine_tuning_is_that_of_the_last_fit",
    ),
    Fault(
        row=16,
        file="_pruning/training.py",
        old="""        rest = n_iter - rewind_to""",
        new="""        rest = n_iter""",
        test="tests/test_pruning.py::test_rewinding_trains_no_pass_twice",
    ),
    Fault(
        row=16,
        file="_pruning/rounds.py",
        old="""np.concatenate([strengths[k][present[k]] for k in group])""",
        new="""np.concatenate([strengths[k].ravel() for k in group])""",
        test="tests/test_pruning.py::test_sigma_rule_measures_the_weights_that_remain",
    ),
    Fault(
        row=16,
        file="_pruning/loop.py",
        old="""np.where(on, 0, n + 1)""",
        new="""np.where(on, n, n + 1)""",
        test="tests/test_pruning.py::test_units_that_are_connected_again_start_a_new_grace_period",
    ),
    Fault(
        row=16,
        file="_pruning/delegation.py",
        old="""for estimator in (self.estimator, getattr(self, "estimator_", None)):""",
        new="""for estimator in (self.estimator,):""",
        test="tests/test_pruning.py::test_set_output_after_fit_reaches_the_pruned_machine",
    ),
    # 5, 6: what a round of a pruner depends on
    Fault(
        5,
        "_pruning/rounds.py",
        "np.asarray(_safe_indexing(self._y, self._rows))",
        "np.asarray(self._y)[: len(self._rows)]",
        "tests/test_pruning.py::test_labels_belong_to_the_rows_of_the_states",
    ),
    Fault(
        6,
        "_pruning/memory.py",
        "stored = self._cached(args, VERSION, call)",
        "stored = self._cached((*args[:2], None, *args[3:]), VERSION, call)",
        "tests/test_pruning.py::test_memory_knows_everything_that_a_round_depends_on[y]",
    ),
    Fault(
        6,
        "_pruning/memory.py",
        "stored = self._cached(args, VERSION, call)",
        "stored = self._cached((*args[:4], {}, *args[5:]), VERSION, call)",
        "tests/test_pruning.py::test_memory_knows_everything_that_a_round_depends_on[parameter]",
    ),
    # 11: criteria
    Fault(
        11,
        "criteria.py",
        """np.abs(self._products(level, "data")[0] - self._products(level, "model")[0])""",
        """self._products(level, "data")[0] - self._products(level, "model")[0]""",
        "tests/test_criteria.py::test_gradient_is_the_gap_of_data_and_model",
    ),
    Fault(
        11,
        "criteria.py",
        "return np.maximum(total, states.var(axis=0, dtype=np.float64))",
        "return total",
        "tests/test_criteria.py::test_the_bias_of_a_unit_has_fisher_information_too",
    ),
    # 14: weights of rows in partial_fit
    Fault(
        14,
        "classifier.py",
        "check_sample_weight(sample_weight, X) * self",
        "check_sample_weight(None, X) * self",
        "tests/test_network.py::test_partial_fit_weighs_its_rows",
    ),
    Fault(
        14,
        "autoencoder.py",
        "            weights = check_sample_weight(sample_weight, X)",
        "            weights = check_sample_weight(None, X)",
        "tests/test_network.py::test_partial_fit_weighs_its_rows",
    ),
    # 17: CSR data
    Fault(
        17,
        "_kernels/loading.py",
        "            if values[e] != 0:",
        "            if values[e] == values[e]:",
        "tests/test_border.py::test_duplicates_are_summed_and_explicit_zeros_are_zeros",
    ),
    Fault(
        17,
        "_support/validation.py",
        "X.sum_duplicates()",
        "X.sort_indices()",
        "tests/test_border.py::test_duplicates_are_summed_and_explicit_zeros_are_zeros",
    ),
    # 18: tempered ensembles
    Fault(
        18,
        "_machine/annealing.py",
        "derived_key(key, 1 + number) for number",
        "derived_key(key, 1) for number",
        "tests/test_annealing.py::test_every_replica_draws_from_a_stream_of_its_own",
    ),
    Fault(
        18,
        "_machine/annealing.py",
        "np.log(chances[a]) < gain",
        "np.log(chances[0]) < gain",
        "tests/test_annealing.py::test_pairs_of_replicas_exchange_independently_at_the_rate_of_metropolis",
    ),
    Fault(
        18,
        "_machine/annealing.py",
        "range((self._n_sweeps + done) % 2,",
        "range((self._n_sweeps + done + 1) % 2,",
        "tests/test_annealing.py::test_every_replica_draws_from_a_stream_of_its_own",
    ),
    Fault(
        18,
        "_machine/annealing.py",
        "slopes.std(axis=1, ddof=1)",
        "slopes.var(axis=1, ddof=1)",
        "tests/test_annealing.py::test_the_length_of_a_path_is_the_integral_of_a_standard_deviation",
    ),
    # 19: the type of indices
    Fault(
        19,
        "_machine/levels.py",
        "np.iinfo(np.uint16).max + 1",
        "np.iinfo(np.uint16).max + 2",
        "tests/test_levels.py::test_connections_know_their_type",
    ),
    # 21: divergence, and when training stops
    Fault(
        21,
        "_training/passes.py",
        "[*stack.biases, *(parameters(level) for level in stack.levels)]",
        "[*stack.biases]",
        "tests/test_training.py::test_a_weight_that_is_not_finite_is_noticed_as_a_bias_is",
    ),
    Fault(
        21,
        "_network/base.py",
        "max(recent) < max(earlier) + float(self.tol)",
        "max(recent) < max(earlier) - float(self.tol)",
        "tests/test_network.py::test_an_improvement_below_tol_does_not_count[0.9-4]",
    ),
    # 22: data sets
    Fault(
        22,
        "datasets.py",
        "int(generator.random() * (i + 1))",
        "int(generator.random() * i)",
        "tests/test_datasets.py::test_letters",
    ),
    Fault(
        22,
        "datasets.py",
        "rng.randint(reach, height - reach, size=n_patches)",
        "rng.randint(reach, max(reach + 1, height - reach - 1), size=n_patches)",
        "tests/test_datasets.py::test_circular_patches_reach_every_border",
    ),
    # 24: tests that judged themselves, or nothing
    Fault(
        24,
        "_training/passes.py",
        "    for number in range(n_passes):",
        "    for number in range(n_passes - 1):",
        "tests/test_network.py::test_callbacks_see_every_epoch",
    ),
    Fault(
        24,
        "connectivity.py",
        "values = scores.ravel()[candidates]",
        "values = -scores.ravel()[candidates]",
        "tests/test_pruning.py::test_every_criterion_prunes_a_machine",
    ),
    Fault(
        24,
        "_network/base.py",
        "stratify=classes,",
        "stratify=None,",
        "tests/test_network.py::test_the_rows_held_back_are_those_not_trained_on",
    ),
    Fault(
        24,
        "classifier.py",
        "X_held, y_held, held_weights = X[out], numbers_[out], given[out]",
        "X_held, y_held, held_weights = X[stay], numbers_[stay], given[stay]",
        "tests/test_network.py::test_the_rows_held_back_are_those_not_trained_on",
    ),
    Fault(
        24,
        "pruning.py",
        "machines.append(deepcopy(machine))",
        "machines.append(machine)",
        "tests/test_pruning.py::test_path_is_one_training_and_short_ones",
    ),
    # 25: what is checked before a kernel reads it
    Fault(
        25,
        "_machine/inference.py",
        "if X.ndim != 2 or X.shape[1] != n_units:",
        "if X.ndim != 2:",
        "tests/test_border.py::test_data_that_do_not_fit_a_layer_never_reach_a_kernel",
    ),
    Fault(
        25,
        "_support/stored.py",
        "and not np.isfinite(array).all():",
        "and np.isinf(array).any():",
        "tests/test_tampered.py::test_a_tampered_state_is_refused",
    ),
    Fault(
        row=25,
        file="_support/tables.py",
        old="""        return array if np.isnan(array).any() else array.astype(np.uint8)""",
        new="""        return array""",
        test="tests/test_door.py::test_columns_of_bool_and_uint8_together_are_bits",
    ),
    Fault(
        row=25,
        file="_support/validation.py",
        old="""    if column_names(frame) is not None:
""",
        new="""    if False:
""",
        test="tests/test_door.py::test_clamped_frames_are_checked_by_name",
    ),
    Fault(
        row=25,
        file="_support/ranges.py",
        old="""        said.append(True)
""",
        new="""        pass
""",
        test="tests/test_door.py::test_folds_levels_and_rounds_do_not_repeat_the_warning",
    ),
    Fault(
        row=25,
        file="_support/ranges.py",
        old="""    token = _scope.set([True] if quiet else [])
""",
        new="""    token = _scope.set([])
""",
        test="tests/test_door.py::test_folds_in_threads_leave_the_warning_to_the_final_fit",
    ),
    Fault(
        row=25,
        file="_support/options.py",
        old="""if isinstance(value, numbers.Integral) and not -(2**63) <= value < 2**63:""",
        new="""if False:""",
        test="tests/test_options.py::test_what_is_no_integer_is_refused",
    ),
    Fault(
        row=25,
        file="_machine/base.py",
        old="""batch_size = min(int(self.batch_size), X.shape[0])""",
        new="""batch_size = min(self.batch_size, X.shape[0])""",
        test="tests/test_options.py::test_estimators_read_narrow_numbers_as_python_numbers",
    ),
    Fault(
        row=25,
        file="_pruning/early.py",
        old="""        if shapes is not None:
            check_sparsity(""",
        new="""        if False:
            check_sparsity(""",
        test="tests/test_refuse_early.py::test_pruners_refuse_before_training",
    ),
    Fault(
        row=25,
        file="_training/stacking.py",
        old="""            if not isinstance(level, FrozenEstimator):  # the errors of all levels come first
""",
        new="""            if False:
""",
        test="tests/test_refuse_early.py::test_dbns_refuse_before_training",
    ),
    Fault(
        row=25,
        file="_pruning/cross_validation.py",
        old="""_check_method_params(X, metadata.score, indices=test)""",
        new="""_check_method_params(X, metadata.score)""",
        test="tests/test_metadata.py::test_folds_are_fitted_and_scored_with_their_own_weights",
    ),
    Fault(
        row=26,
        file="_kernels/chains.py",
        old="""gain = step * (base.precision[i] - x.dtype.type(1)) / 2""",
        new="""gain = step * (x.dtype.type(1) - base.precision[i]) / 2""",
        test="tests/test_gaussian.py::test_annealing_covers_the_exact_log_z_in_both_directions",
    ),
    Fault(
        row=26,
        file="_kernels/chains.py",
        old="""scale, deviation = beta / precision, one / np.sqrt(precision)""",
        new="""scale, deviation = beta / precision, one / precision""",
        test="tests/test_gaussian.py::test_annealing_covers_the_exact_log_z_in_both_directions",
    ),
    Fault(
        row=26,
        file="_kernels/chains.py",
        old="""half = (base.precision[i] - dtype.type(1)) / 2""",
        new="""half = (dtype.type(1) - base.precision[i]) / 2""",
        test="tests/test_gaussian.py::test_slopes_of_a_tempered_sweep_are_derivatives_along_the_path",
    ),
    Fault(
        row=26,
        file="_kernels/normal.py",
        old="""is_central = builder.fcmp_ordered("<", w, splat(kind, 5.0))""",
        new="""is_central = builder.fcmp_ordered("<", w, splat(kind, 9.0))""",
        test="tests/test_gaussian.py::test_normal_draws_are_normal",
    ),
    Fault(
        row=26,
        file="_kernels/contrastive_steps.py",
        old="""drawn = training.workspace.local[layer][owner]""",
        new="""drawn = training.workspace.local[layer][member.thread]""",
        test="tests/test_gaussian.py::test_same_bits_for_any_number_of_threads",
    ),
    Fault(
        row=26,
        file="_machine/visible.py",
        old="""return free_energy, float(np.log(self.sigma).sum()) - free_energy""",
        new="""return free_energy, -free_energy""",
        test="tests/test_gaussian.py::test_densities_are_those_of_the_mixture",
    ),
    Fault(
        row=26,
        file="_machine/annealing.py",
        old="""variances = np.maximum(np.asarray(visible_variances, np.float64), 1) * (1 + softening) ** 2""",
        new="""variances = np.asarray(visible_variances, np.float64) * 0.01""",
        test="tests/test_gaussian.py::test_base_rates_have_the_moments_of_the_data",
    ),
    Fault(
        row=26,
        file="_training/variances.py",
        old="""gradient = ((x * (x - means[:, :n_rows])).mean(axis=1) - 1) / 2""",
        new="""gradient = (x * (x - means[:, :n_rows])).mean(axis=1) - 1""",
        test="tests/test_gaussian.py::test_learned_variances_follow_the_exact_gradient",
    ),
    Fault(
        row=26,
        file="_pruning/rounds.py",
        old="""types[0] = weights[0] / sigma,""",
        new="""types[0] = weights[0],""",
        test="tests/test_gaussian.py::test_penalties_and_magnitude_are_in_units_of_sigma",
    ),
    Fault(
        row=26,
        file="_support/tables.py",
        old="""if np.iscomplexobj(array):""",
        new="""if False:""",
        test="tests/test_door.py::test_complex_numbers_are_refused",
    ),
]


class Copy:
    """A copy of the package and its tests in a temporary directory.

    Every copy lies in the same place, so kernels compiled for one serve the next. A copy whose
    kernels have a fault compiles them into a directory of its own, because the kernel cache keeps
    one version of the source files and would remove the kernels of the others.
    """

    def __init__(self, directory: pathlib.Path):
        self.root = directory / "copy"
        self.package = self.root / "skprune"
        self.directory = directory

    def renew(self) -> None:
        """Copy everything again, with the times of the files kept."""
        shutil.rmtree(self.root, ignore_errors=True)
        without = shutil.ignore_patterns("__pycache__")
        for name in ("skprune", "tests"):
            shutil.copytree(ROOT / name, self.root / name, ignore=without)
        shutil.copy2(ROOT / "pyproject.toml", self.root)

    def run(self, tests, compiled_anew=False) -> tuple[int | None, str]:
        """Run tests; return pytest's exit code (None if it took too long) and what it printed."""
        cache = self.directory / "cache"
        if compiled_anew:
            cache = pathlib.Path(tempfile.mkdtemp(prefix="cache-", dir=self.directory))
        environment = {
            **os.environ, "PYTHONPATH": str(self.root), "NUMBA_CACHE_DIR": str(cache),
        }  # fmt: skip
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        try:
            done = subprocess.run(
                command, cwd=self.root, env=environment, text=True, timeout=LONGEST * len(tests),
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            if compiled_anew:
                shutil.rmtree(cache, ignore_errors=True)
        return done.returncode, done.stdout


def verdict(fault: Fault, copy: Copy) -> tuple[str, str]:
    """Plant a fault in a new copy and run its test; return a word, and output to show."""
    copy.renew()
    count = fault.count(copy.package)
    if count != 1:
        return "gone", f"The text occurs {count} times in {fault.file}, not once: {fault.old!r}"
    fault.plant(copy.package)
    code, output = copy.run([fault.test], compiled_anew="_kernels" in fault.file)
    if code == 1:
        broken = any(error in output for error in DOES_NOT_RUN)
        return ("broken", output) if broken else ("seen", "")
    if code == 0:
        return "skipped" if "skipped" in output and "passed" not in output else "survived", ""
    return "error", output or f"The test took longer than {LONGEST} seconds."


def main(arguments=None) -> int:
    """Check the faults; return 0 if every test that could run has seen its fault."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.planted_faults",
        description="Plant known faults, one at a time, and check that the test of each fails.",
    )
    parser.add_argument("--row", type=int, nargs="+", help="check only the faults of these rows")
    parser.add_argument("--list", action="store_true", help="list the faults and stop")
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not check that the tests pass without faults"
    )
    options = parser.parse_args(arguments)
    faults = [fault for fault in FAULTS if not options.row or fault.row in options.row]
    if not faults:
        parser.error(f"no fault belongs to the rows {options.row}.")
    if options.list:
        for fault in faults:
            print(f"{fault.row:3}  {fault.file}: {fault.old!r} -> {fault.new!r}\n     {fault.test}")
        return 0
    words = []
    with tempfile.TemporaryDirectory(prefix="planted-faults-") as directory:
        copy = Copy(pathlib.Path(directory))
        if not options.no_baseline:
            copy.renew()
            tests = list(dict.fromkeys(fault.test for fault in faults))
            started = time.perf_counter()
            code, output = copy.run(tests)
            if code != 0:
                print(output, "The tests do not pass without a fault.", sep="\n")
                return 1
            seconds = time.perf_counter() - started
            print(f"{len(tests)} tests pass without a fault, {seconds:.1f} s", flush=True)
        for fault in faults:
            started = time.perf_counter()
            word, output = verdict(fault, copy)
            seconds = time.perf_counter() - started
            words.append(word)
            print(
                f"{fault.row:3}  {word:8} {seconds:6.1f} s  {fault.file}: {fault.new!r}  {fault.test}",
                flush=True,
            )
            if output:
                print(output, flush=True)
    print(", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)))
    return 0 if set(words) <= {"seen", "skipped"} else 1


if __name__ == "__main__":
    sys.exit(main())
