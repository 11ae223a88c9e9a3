from services.dockerd import manual


def test_every_option_there_is_has_an_entry() -> None:
    text = manual.text()
    for entry in ("  -H, --host list", "      --bip string", "  -D, --debug ", "      --default-ulimit map"):
        assert f"\n{entry}" in text
    assert "rootless" not in text
