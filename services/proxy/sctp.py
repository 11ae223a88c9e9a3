"""Forwarding of one SCTP port, where the kernel has SCTP: as TCP, by recv and send alone.

One-to-one sockets; message boundaries and streams are not kept, which the original does not do either.
"""

import socket
from typing import Final

from services.proxy import tcp

SCTP_NODELAY: Final = 3


class Forward(tcp.Forward):
    level = socket.IPPROTO_SCTP
    nodelay = SCTP_NODELAY
    splices = False
