"""What goes on between this engine and registries, shared by all who ask."""

from collections.abc import Callable

from services.dockerd.images.downloads import Downloads
from services.dockerd.images.store import Images
from services.dockerd.images.turns import Turns
from services.dockerd.registry.settings import Settings


class Transfers:
    def __init__(self, images: Images, settings: Callable[[], Settings]) -> None:
        self.downloads = Downloads(images, settings)
        self.uploads = Turns(lambda: settings().uploads)
