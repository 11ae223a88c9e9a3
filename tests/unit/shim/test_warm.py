from services.shim import warm


def test_breaks_off_between_rounds() -> None:
    left = iter([False, True])
    warm.run(lambda: next(left))
    assert next(left, None) is None
