"""Which log driver a configuration names."""

from protos.errdefs import FailedPrecondition, Unimplemented
from protos.streams.v1 import streams_pb2
from services.shim.logger.driver import Background, Driver
from services.shim.logger.jsonfile import JsonFile
from services.shim.logger.none import Nothing
from services.shim.logger.options import Options


def open_driver(config: streams_pb2.Config, background: Background) -> Driver:
    """InvalidArgument for its options, Unimplemented for a driver that is not there."""
    if config.log_driver in ("", "none"):
        return Nothing()
    if config.log_driver == "json-file":
        options = Options.parse(dict(config.log_options))
        try:
            return JsonFile(config.log_path, options, dict(config.log_attributes), background)
        except OSError as error:
            text = f"failed to initialize logging driver: open {config.log_path}: {error.strerror}"
            raise FailedPrecondition(text) from error
    raise Unimplemented(f"log driver {config.log_driver} is not there yet: use json-file or none")
