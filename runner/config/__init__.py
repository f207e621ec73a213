"""The configuration: a TOML file and variables, checked, as one frozen value.

Nothing heavy is imported here: a command reads its configuration before anything else.
"""

from runner.config.classes import beyond_host, rules
from runner.config.load import ConfigError, ConfigFault, Reading, load, read, reference
from runner.config.model import Config, Socket

__all__ = [
    "Config",
    "ConfigError",
    "ConfigFault",
    "Reading",
    "Socket",
    "beyond_host",
    "load",
    "read",
    "reference",
    "rules",
]
