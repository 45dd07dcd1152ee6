"""What Numba is spared changes nothing of what it says."""

import pytest

from sensor.base.kernel import INTERPRETED

pytestmark = pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")

numba = pytest.importorskip("numba")


def _twin(value, ir):
    """Variables as Numba's own recursion finds them."""
    if isinstance(value, ir.Var):
        return [value]
    if isinstance(value, ir.Inst):
        return [v for one in vars(value).values() for v in _twin(one, ir)]
    if isinstance(value, list | tuple):
        return [v for one in value for v in _twin(one, ir)]
    if isinstance(value, dict):
        return [v for one in value.values() for v in _twin(one, ir)]
    return []


def test_the_variables_of_a_statement_are_all_found():
    from numba.core import ir
    from numba.core.compiler import run_frontend

    import sensor.base.entry_point  # noqa: F401
    from sensor.hosts import activity, table
    from sensor.tracking import loop, sessions, verdicts

    seen = 0
    for module in (activity, table, loop, sessions, verdicts):
        for one in list(vars(module).values()):
            if getattr(one, "__module__", "") == module.__name__ and hasattr(one, "py_func"):
                for block in run_frontend(one.py_func).blocks.values():
                    for statement in block.body:
                        assert statement.list_vars() == _twin(statement, ir)
                        seen += len(statement.list_vars())
    assert seen > 1000


def test_a_call_is_typed_by_its_own_arguments():
    import operator

    from numba.core import types
    from numba.core.registry import cpu_target

    import sensor.base.entry_point  # noqa: F401

    context = cpu_target.typing_context
    context.refresh()
    add = context.resolve_value_type(operator.add)

    def result(*kinds):
        return add.get_call_type(context, kinds, {}).return_type

    for _ in range(2):
        assert result(types.int64, types.int64) == types.int64
        assert result(types.uint64, types.uint64) == types.uint64
        assert result(types.float64, types.int64) == types.float64
    with pytest.raises(numba.core.errors.TypingError):
        result(types.int64, types.none)


def test_the_passes_left_out_are_numbas():
    from numba.core import typed_passes, untyped_passes

    from sensor.base.front_end import _ABSENT

    known = vars(typed_passes) | vars(untyped_passes)
    assert set(known) >= _ABSENT
