"""config.yaml: read once, judged whole, then frozen.

`read_config` gives a `Config`, or every mistake at once with line, column and the nearest right name. The values go to
other processes as they are, by pickling.
"""

from .frozen import FrozenDict
from .nearest import did_you_mean
from .positions import Positions
from .reading import find_config, made_config, read_config
from .values import ApiConfig, Config, LogsConfig, MongodbConfig, PluginConfig, RetentionConfig, Unusable, WorkersConfig

__all__ = [
    "ApiConfig",
    "Config",
    "FrozenDict",
    "LogsConfig",
    "MongodbConfig",
    "PluginConfig",
    "Positions",
    "RetentionConfig",
    "Unusable",
    "WorkersConfig",
    "did_you_mean",
    "find_config",
    "made_config",
    "read_config",
]
