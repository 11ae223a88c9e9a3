from typing import Any

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.logger.template import expand

DATA: dict[str, Any] = {
    "Name": "box", "ID": "abc", "ContainerLabels": {"role": "db", "a.b": "c"}, "ContainerArgs": ["x", "y"],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.Name}}/{{ .ID }}", "box/abc"),
        ("{{.Name | upper}}", "BOX"),
        ("{{upper (printf \"%s-%s\" .Name .ID)}}", "BOX-ABC"),
        ('{{index .ContainerLabels "a.b"}}', "c"),
        ("{{.ContainerLabels.role}}{{.ContainerLabels.none}}", "db"),
        ("{{.ContainerLabels}}", "map[a.b:c role:db]"),
        ("{{.ContainerArgs}} {{index .ContainerArgs 1}} {{len .ContainerArgs}}", "[x y] y 2"),
        ("{{json .ContainerArgs}}", '["x","y"]'),
        ("{{join .ContainerArgs `,`}}", "x,y"),
        ("{{truncate .ID 2}}", "ab"),
        ("a {{- .ID -}} b", "aabcb"),
        ("{{/* nothing */}}x", "x"),
        ("{{if .ContainerLabels.role}}{{.Name}}{{else}}none{{end}}", "box"),
        ("{{if .ContainerLabels.no}}a{{else if eq .Name `box`}}b{{else}}c{{end}}!", "b!"),
        ("{{if .ContainerLabels.no}}{{if .Name}}a{{end}}{{shout}}{{else}}b{{end}}", "b"),
        ("{{with .ContainerLabels}}{{.role}}{{end}}", "db"),
        ("{{if and .Name (not .ContainerLabels.no)}} x {{- end}}", " x"),
        ("{{or .ContainerLabels.no .Name}}", "box"),
        ("{{.}}", "map[ContainerArgs:[x y] ContainerLabels:map[a.b:c role:db] ID:abc Name:box]"),
        ('{{printf "%05d|%q" 7 .ID}}', '00007|"abc"'),
    ],
)
def test_what_templates_mean(template: str, text: str) -> None:
    assert expand("log-tag", template, DATA) == text


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{.Colour}}", r"template: log-tag:1: executing at <.Colour>: can't evaluate field Colour"),
        ("{{shout .ID}}", 'function "shout" not defined'),
        ("{{range .ID}}x{{end}}", 'function "range" not defined'),
        ("{{if .ID}}x", "template: log-tag:1: unexpected EOF"),
        ("x{{end}}", "unexpected {{end}}"),
        ("{{}}", "missing value for command"),
        ("{{(.ID}}", "unclosed left paren"),
        ("{{", "template: log-tag:1: unclosed action"),
        ("a\n{{.ID}} {{.ID", "template: log-tag:2: unclosed action"),
        ("{{index .ContainerArgs 9}}", "out of range"),
        ("x\n{{$x}}", "template: log-tag:2: unexpected '\\$' in command"),
    ],
)
def test_what_templates_do_not_mean(template: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        expand("log-tag", template, DATA)
