import pytest

from services.dockerd import versions
from services.dockerd.versions import Program


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (
            "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\ngo: go1.19.8\n",
            Program("1.1.5+ds1", "1.1.5+ds1-1+deb12u1"),
        ),
        ("tini version 0.19.0\n", Program("0.19.0", "")),
        ("tini version 0.13.0 - git.949e6fa\n", Program("0.13.0", "949e6fa")),
        ("crun version 1.8.1\ncommit: f8a096be060b22ccd3d5f3ebe44108517fbf6c30\nrundir: /run/user/0/crun\n",
         Program("1.8.1", "f8a096be060b22ccd3d5f3ebe44108517fbf6c30")),
        ("nonsense", Program("", "")),
    ],
)
def test_programs_tell_their_versions(text: str, program: Program) -> None:
    assert versions.parse(text) == program
