"""Compatibility with different versions of scikit-learn."""

from __future__ import annotations

from contextlib import nullcontext

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks

    HAS_CALLBACKS = True
except ImportError:  # scikit-learn < 1.9
    HAS_CALLBACKS = False

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replacement that does not support callbacks."""

        def _init_callback_context(self, **kwargs):
            return NullCallbackContext()

    def with_callbacks(method):
        """Return the method unchanged."""
        return method


class NullCallbackContext:
    """A callback context that does nothing."""

    def subcontext(self, **kwargs):
        return self

    def call_on_fit_task_begin(self, **kwargs):
        return None

    def call_on_fit_task_end(self, **kwargs):
        return False

    def propagate_callback_context(self, estimator):
        return nullcontext()


__all__ = ["HAS_CALLBACKS", "CallbackSupportMixin", "NullCallbackContext", "with_callbacks"]
