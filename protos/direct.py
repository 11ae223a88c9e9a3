"""The word by which a client on the same machine gets the file of an ingest, to write into it itself.

`Content.Write` with this header answers it with the file's path. Then a WRITE without data whose offset is beyond what
is known means: the file holds the bytes up to there. A docker-containerd of another make does not know the header, and
gets the bytes in messages.
"""

from typing import Final

HEADER: Final = "docker-ingest-path"
