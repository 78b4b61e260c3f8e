import numpy as np
import pytest

from rvdtool.raw.color import neutral_of_white

A, D50, D65 = (0.44757, 0.40745), (0.34567, 0.3585), (0.31271, 0.32902)
WARM = np.array([[1.2, -0.4, -0.1], [-0.3, 1.1, 0.2], [0.0, 0.2, 0.5]])
COOL = np.array([[0.8, -0.2, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]])
BALANCE = np.ones(3)
PAIR = [(WARM, 17), (COOL, 21)]


def response(matrix, xy):
    raw = matrix @ [xy[0] / xy[1], 1, (1 - xy[0] - xy[1]) / xy[1]]
    return raw / raw.max()


@pytest.mark.parametrize("xy", [A, D50, D65])
def test_one_matrix_answers_for_every_white(xy):
    neutral = neutral_of_white(xy, [(COOL, 21)], [], BALANCE)
    np.testing.assert_allclose(neutral, response(COOL, xy), rtol=1e-12)


@pytest.mark.parametrize(("xy", "matrix"), [(A, WARM), (D65, COOL)])
def test_each_of_two_matrices_answers_for_its_own_illuminant(xy, matrix):
    neutral = neutral_of_white(xy, PAIR, [], BALANCE)
    np.testing.assert_allclose(neutral, response(matrix, xy), atol=2e-3)


def test_between_two_illuminants_inverse_temperature_decides():
    """D50 is 5003 K: 62 % of the way from 2850 K to 6500 K, in mired."""
    cool = (1 / 2850 - 1 / 5003) / (1 / 2850 - 1 / 6500)
    expected = response((1 - cool) * WARM + cool * COOL, D50)
    np.testing.assert_allclose(neutral_of_white(D50, PAIR, [], BALANCE), expected, rtol=1e-3)
    swapped = neutral_of_white(D50, PAIR[::-1], [], BALANCE)
    np.testing.assert_allclose(swapped, expected, rtol=1e-3)


def test_calibration_and_balance_follow_the_matrix():
    calibration = np.diag([1.1, 1.0, 0.9])
    balance = np.array([0.9, 1.0, 1.2])
    neutral = neutral_of_white(D50, [(COOL, 21)], [calibration], balance)
    np.testing.assert_allclose(
        neutral, response(np.diag(balance) @ calibration @ COOL, D50), rtol=1e-12
    )


def test_illuminants_nobody_knows_leave_the_first_matrix():
    neutral = neutral_of_white(D50, [(WARM, 255), (COOL, 21)], [], BALANCE)
    np.testing.assert_allclose(neutral, response(WARM, D50), rtol=1e-12)


def test_without_a_matrix_there_is_no_answer():
    assert neutral_of_white(D50, [], [], BALANCE) == []
    assert neutral_of_white((0.3, 0.0), PAIR, [], BALANCE) == []
