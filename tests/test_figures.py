"""Numbers as people write them: no exponent, the digits that were asked for, and the unit that suits a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.spec.format import cost_in_seconds, digits, in_seconds

SIZES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12}


@given(st.floats(-1e15, 1e15), st.integers(1, 6))
def test_a_number_has_its_digits_and_no_exponent(value: float, most: int):
    told = digits(value, most)
    assert "e" not in told.lower()
    assert float(told) == float(f"{value:.{most}g}")
    assert "." not in told or not told.endswith(("0", "."))


@given(st.floats(1e-12, 1e6), st.integers(2, 6))
def test_a_time_is_rounded_and_stands_in_the_unit_that_leaves_one_to_three_digits_before_the_point(
    value: float, most: int
):
    number, unit = in_seconds(value, most).split()
    assert float(number) * SIZES[unit] == pytest.approx(value, rel=0.5001 * 10 ** (1 - most))
    assert 1 <= float(number) < 1000 or unit == "s"
    assert in_seconds(-value, most) == f"-{number} {unit}"


@given(st.floats(1e-11, 1e3))
def test_a_cost_is_told_so_too(value: float):
    number, unit = cost_in_seconds(value).split()
    assert "e" not in number
    assert float(number) * SIZES[unit] == pytest.approx(value, rel=0.0501)


@pytest.mark.parametrize(
    ("value", "most", "told"),
    [
        (730e-9, 2, "730 ns"), (0.99e-6, 2, "990 ns"), (0.999e-6, 2, "1 us"), (999.6e-6, 3, "1 ms"),
        (67.3e-6, 6, "67.3 us"), (0.00999951, 3, "10 ms"), (4.2e-13, 3, "0.42 ps"), (0, 3, "0 s"), (1e-17, 3, "0 s"), (1234567, 3, "1230000 s"),
    ],
)  # fmt: skip
def test_times_in_words(value, most, told):
    assert in_seconds(value, most) == told


def test_a_ratio_of_hundreds_and_a_machine_of_a_thousand_gibibytes_are_plain():
    assert (digits(730.4, 2), digits(1007.3, 3), digits(0.0000123, 2)) == ("730", "1010", "0.000012")
    assert digits(float("inf"), 2) == "inf"
