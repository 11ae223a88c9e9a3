import re

from services.dockerd.container import names, validate


def test_a_name_is_an_adjective_and_a_person() -> None:
    name = names.generate(lambda taken: False)
    assert re.fullmatch(r"[a-z]+_[a-z]+", name) and validate.NAME.fullmatch(name)


def test_a_taken_name_is_not_given_again() -> None:
    held = {"able_abel"}
    choices = iter(["able", "abel", "agile", "airy"])
    assert names.generate(held.__contains__, lambda words: next(choices)) == "agile_airy"


def test_a_digit_helps_when_luck_has_run_out() -> None:
    assert names.generate(lambda name: not name[-1].isdigit(), lambda words: words[0]) == "able_abel0"


def test_the_lists_hold_no_word_twice() -> None:
    assert len(set(names.ADJECTIVES)) == len(names.ADJECTIVES)
    assert len(set(names.PEOPLE)) == len(names.PEOPLE)
